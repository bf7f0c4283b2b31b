//! Names bytes by their digest.

use crate::error::{Error, shorten};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "sha256:";

/// The SHA-256 digest of a blob, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 hexadecimal digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.0
            .iter()
            .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
            .map(char::from)
            .collect()
    }

    /// Reads a digest from exactly 64 lower-case hexadecimal digits, as blob files are named.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidDigest`] for anything else.
    pub fn from_hex(hex: &str) -> Result<Self, Error> {
        parse_hex(hex, hex)
    }

    pub(crate) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(PREFIX)?;
        formatter.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.strip_prefix(PREFIX) {
            Some(hex) => parse_hex(text, hex),
            None if text.contains(':') => Err(invalid(text, "only the algorithm sha256 is supported")),
            None => Err(invalid(text, "the algorithm is missing")),
        }
    }
}

impl TryFrom<&oci_spec::image::Digest> for Digest {
    type Error = Error;

    fn try_from(digest: &oci_spec::image::Digest) -> Result<Self, Error> {
        digest.as_ref().parse()
    }
}

impl From<Digest> for oci_spec::image::Digest {
    fn from(digest: Digest) -> Self {
        oci_spec::image::Sha256Digest::from_str(&digest.hex())
            .expect("64 lower-case hexadecimal digits are always a SHA-256 digest")
            .into()
    }
}

impl From<&Digest> for oci_spec::image::Digest {
    fn from(digest: &Digest) -> Self {
        (*digest).into()
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn parse_hex(text: &str, hex: &str) -> Result<Digest, Error> {
    let hex = hex.as_bytes();
    if hex.len() != 64 {
        return Err(invalid(text, "it must have 64 digits after the colon"));
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        match (value(pair[0]), value(pair[1])) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return Err(invalid(text, "the digits must be 0-9 and a-f")),
        }
    }
    Ok(Digest(bytes))
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn invalid(text: &str, reason: &'static str) -> Error {
    Error::InvalidDigest { text: shorten(text), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
        assert_eq!(serde_json::to_string(&Digest::of(b"")).unwrap(), format!("\"{EMPTY}\""));
        let spec: oci_spec::image::Digest = Digest::of(b"").into();
        assert_eq!(spec.as_ref(), EMPTY);
        assert_eq!(Digest::try_from(&spec).unwrap(), Digest::of(b""));
    }

    #[test]
    fn other_algorithms_lengths_and_digits_are_refused() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for text in
            ["", "sha256", "sha256:", "sha512:00", "sha256:00", &EMPTY[7..], &upper, &format!("{EMPTY}0"), "sha256:é"]
        {
            assert!(matches!(text.parse::<Digest>(), Err(Error::InvalidDigest { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_digest_round_trips(bytes: [u8; 32]) {
            let digest = Digest(bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
            prop_assert_eq!(Digest::from_hex(&digest.hex()).unwrap(), digest);
        }

        #[test]
        fn any_text_is_refused_or_written_back_the_same(text in "(sha256:)?\\PC{0,70}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
