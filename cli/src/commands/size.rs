//! Reads sizes as users write them.

/// A number of bytes such as `700MB`, `4GB`, `650MiB` or `4096`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is not a size; expected a number and a unit, such as 700MB, 4GB or 650MiB");
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(expected()),
    };
    if let Ok(number) = number.parse::<u64>() {
        return number.checked_mul(factor).filter(|size| *size > 0).ok_or_else(expected);
    }
    let number: f64 = number.parse().map_err(|_| expected())?;
    let size = number * factor as f64;
    if (1.0..9e18).contains(&size) { Ok(size as u64) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_units() {
        for (text, size) in [
            ("4096", 4096),
            ("700MB", 700_000_000),
            ("4gb", 4_000_000_000),
            ("4.7GB", 4_700_000_000),
            ("650MiB", 650 << 20),
            ("1 k", 1000),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in ["", "GB", "0", "-1", "1x", "1.2.3MB", "99999999999TB", "0.1"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
