//! Reads `KEY=VALUE` arguments, one or several in an argument.

use std::collections::BTreeMap;

use crate::exit::Failure;

/// `KEY=VALUE` arguments as [`listed`] takes them apart; a later one wins.
pub(crate) fn listed_pairs(option: &str, arguments: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    listed(arguments).iter().map(|text| pair(option, text)).collect()
}

/// Arguments, of which one may hold several pairs, separated by commas. A comma separates only where a key and `=` follow, so
/// that `URLS=a,b` is one value; a whole argument in double quotes is one pair, whatever is in it.
pub(crate) fn listed(arguments: &[String]) -> Vec<String> {
    arguments.iter().flat_map(|argument| split(argument)).collect()
}

fn pair(option: &str, text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::Usage(format!("{option} {text}: expected KEY=VALUE"))),
    }
}

fn split(argument: &str) -> Vec<String> {
    if let Some(quoted) = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return vec![quoted.replace("\"\"", "\"")];
    }
    let mut parts: Vec<String> = Vec::new();
    for piece in argument.split(',') {
        match parts.last_mut() {
            Some(last) if !starts_pair(piece) => {
                last.push(',');
                last.push_str(piece);
            }
            _ => parts.push(piece.to_owned()),
        }
    }
    parts
}

/// Whether a text begins with what can be the name of a variable, a label or an annotation, and `=`.
fn starts_pair(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    text.split_once('=').is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str]) -> Vec<String> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let pairs = listed_pairs("--label", &arguments).unwrap_or_default();
        pairs.iter().map(|(key, value)| format!("{key} -> {value}")).collect()
    }

    #[test]
    fn a_comma_separates_where_a_key_follows() {
        assert_eq!(said(&["MY_ARG=abc,PASSWORD=x"]), ["MY_ARG -> abc", "PASSWORD -> x"]);
        assert_eq!(said(&["HOSTS=a,b,c", "HOSTS2=d,"]), ["HOSTS -> a,b,c", "HOSTS2 -> d,"]);
        assert_eq!(said(&["a.b/c=1,team=the shop,2"]), ["a.b/c -> 1", "team -> the shop,2"]);
        assert_eq!(said(&["A=x==,y z=3"]), ["A -> x==,y z=3"], "`y z` is no name");
        assert_eq!(said(&["A=1", "A=2"]), ["A -> 2"]);
    }

    #[test]
    fn quotes_keep_an_argument_whole() {
        assert_eq!(said(&[r#""A=1,B=2""#]), ["A -> 1,B=2"]);
        assert_eq!(said(&[r#""A=say ""yes"",B=2""#]), [r#"A -> say "yes",B=2"#]);
    }

    #[test]
    fn what_is_no_pair_is_told_as_it_was_written() {
        let error = listed_pairs("--build-arg", &["novalue,A=1".to_owned()]).map_err(|error| error.to_string());
        assert_eq!(error, Err("--build-arg novalue: expected KEY=VALUE".to_owned()));
        assert!(listed_pairs("--cmd-args", &["=x".to_owned()]).is_err());
    }
}
