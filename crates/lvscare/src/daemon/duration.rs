//! Reads and writes spans of time: `400ms`, `5s`, `1m30s`, or seconds as a bare number.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Units by name, in microseconds; longer names first where one begins with the other.
const UNITS: [(&str, u64); 5] = [("ms", 1_000), ("us", 1), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
/// Nobody waits longer than a hundred days.
const LONGEST: Duration = Duration::from_hours(2400);

/// Reads a span of time: numbers with units (`400ms`, `1.5s`, `1m30s`), or a bare number of seconds.
///
/// # Errors
/// What was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no span of time; expected something like 400ms, 5s or 1m30s");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let bare = after.is_empty() && number.len() == text.len();
        let unit =
            if bare { Some(("", 1_000_000)) } else { UNITS.into_iter().find(|(name, _)| after.starts_with(name)) };
        let (name, micros) = unit.ok_or_else(wrong)?;
        total = total.checked_add(times(number, micros).ok_or_else(wrong)?).ok_or_else(wrong)?;
        rest = &after[name.len()..];
    }
    if text.is_empty() || total > LONGEST { Err(wrong()) } else { Ok(total) }
}

/// A decimal number of units, exactly: no floating point, no more than six digits behind the point.
fn times(number: &str, micros: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(micros)?;
    let parts = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = fraction.parse::<u64>().ok()?.checked_mul(micros)? / parts;
    whole.checked_add(fraction).map(Duration::from_micros)
}

/// The shortest form that [`parse_duration`] reads back: `400ms`, `5s`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let micros = duration.as_micros();
    match (micros % 1_000_000, micros % 1_000) {
        (0, _) => format!("{}s", micros / 1_000_000),
        (_, 0) => format!("{}ms", micros / 1_000),
        _ => format!("{micros}us"),
    }
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(*duration))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, millis) in [
            ("400ms", 400),
            ("5", 5000),
            ("5s", 5000),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("1h", 3_600_000),
            ("0.05", 50),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("250us"), Ok(Duration::from_micros(250)));
        for span in [Duration::from_millis(400), Duration::from_secs(90), Duration::from_micros(1), Duration::ZERO] {
            assert_eq!(parse_duration(&duration_text(span)), Ok(span));
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in
            ["", "s", "5x", "5s5", "1.s", ".5s", "-1s", "5 s", "1.0000001s", "2401h", "99999999999999999999s", "5ß"]
        {
            assert!(parse_duration(text).is_err_and(|error| error.contains("400ms")), "{text}");
        }
    }
}
