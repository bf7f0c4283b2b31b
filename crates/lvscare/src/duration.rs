//! Reads and writes spans of time: `400ms`, `5s`, `1m30s`, or seconds as a bare number.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Units by name, in seconds; longer names first where one begins with the other.
const UNITS: [(&str, f64); 5] = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
/// Nobody waits longer than a hundred days.
const LONGEST: Duration = Duration::from_hours(2400);

/// Reads a span of time: numbers with units (`400ms`, `1.5s`, `1m30s`), or a bare number of seconds.
///
/// # Errors
/// What was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let is_bare = text.chars().all(is_numeric);
    let parsed = seconds(&if is_bare { format!("{text}s") } else { text.to_owned() });
    let parsed = parsed.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let wrong = || format!("`{text}` is no span of time; expected something like 400ms, 5s or 1m30s");
    parsed.filter(|duration| *duration <= LONGEST).ok_or_else(wrong)
}

/// The sum of numbers that each have a unit.
fn seconds(mut text: &str) -> Option<f64> {
    let mut total = 0.0;
    while !text.is_empty() {
        let (number, rest) = text.split_at(text.find(|letter| !is_numeric(letter))?);
        let (name, seconds) = UNITS.into_iter().find(|(name, _)| rest.starts_with(name))?;
        total += number.parse::<f64>().ok()? * seconds;
        text = &rest[name.len()..];
    }
    Some(total)
}

fn is_numeric(letter: char) -> bool {
    letter.is_ascii_digit() || letter == '.'
}

/// The shortest form that [`parse_duration`] reads back: `400ms`, `5s`.
pub fn duration_text(duration: Duration) -> String {
    let micros = duration.as_micros();
    match (micros % 1_000_000, micros % 1_000) {
        (0, _) => format!("{}s", micros / 1_000_000),
        (_, 0) => format!("{}ms", micros / 1_000),
        _ => format!("{micros}us"),
    }
}

pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(*duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
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
        for text in [
            "",
            "s",
            "5x",
            "5s5",
            "1.1.1s",
            ".s",
            "-1s",
            "5 s",
            "1m-30s",
            "1e3",
            "2401h",
            "99999999999999999999s",
            "5ß",
        ] {
            assert!(parse_duration(text).is_err_and(|error| error.contains("400ms")), "{text}");
        }
    }
}
