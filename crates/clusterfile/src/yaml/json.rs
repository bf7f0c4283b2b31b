//! Types plain scalars as the YAML reader of Kubernetes does (Go, YAML 1.1).

use serde_json::{Map, Number, Value as Json};

use super::{Node, Value, is_null_text};

/// The tree as JSON, plain scalars typed as Kubernetes' own reader would type them.
pub(crate) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar { text, plain: false } => Json::String(text.clone()),
        Value::Scalar { text, plain: true } => typed(text),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.text.clone(), to_json(value)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
    }
}

fn typed(text: &str) -> Json {
    match text {
        _ if is_null_text(text) => Json::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => Json::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => Json::Bool(false),
        _ => number(text).map_or_else(|| Json::String(text.to_owned()), Json::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return None;
    }
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix(['+', '-']) {
        Some(digits) => (plain.starts_with('-'), digits),
        None => (false, plain.as_str()),
    };
    if let Some(magnitude) = integer(digits) {
        if !negative {
            return Some(magnitude.into());
        }
        if let Some(value) = 0_i64.checked_sub_unsigned(magnitude) {
            return Some(value.into());
        }
    }
    if is_float(digits) { plain.parse().ok().and_then(Number::from_f64) } else { None }
}

fn integer(digits: &str) -> Option<u64> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => (16, &digits[2..]),
        [b'0', b'o' | b'O', rest @ ..] if !rest.is_empty() => (8, &digits[2..]),
        [b'0', b'b' | b'B', rest @ ..] if !rest.is_empty() => (2, &digits[2..]),
        [b'0', rest @ ..] if !rest.is_empty() => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Digits with at most one point and a decimal exponent; no words, which Rust's own parser would take.
fn is_float(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (digits, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_have_the_types_that_kubernetes_gives_them() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("n", json!(false)),
            ("10", json!(10)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0644", json!(420)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("089", json!(89.0)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("v1.20.2", json!("v1.20.2")),
            ("1.20.2", json!("1.20.2")),
            ("2020-01-01", json!("2020-01-01")),
            ("10m0s", json!("10m0s")),
            (".inf", json!(".inf")),
            ("infinity", json!("infinity")),
            ("-", json!("-")),
            (".", json!(".")),
            ("0x", json!("0x")),
            ("0x+1", json!("0x+1")),
            ("1e", json!("1e")),
        ] {
            assert_eq!(typed(text), expected, "{text}");
        }
    }
}
