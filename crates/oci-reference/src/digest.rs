//! Names bytes by their digest.

use crate::{Error, shorten};
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use std::str::FromStr;

/// How a digest is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256: what everything that is made here uses.
    #[default]
    Sha256,
    /// SHA-512: understood where others use it.
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Its name in a digest, for example `sha256`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// The digest of a blob, written `sha256:` and 64 lower-case hexadecimal digits, or `sha512:` and 128.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Value);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Value {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Algorithm::Sha256.digest(bytes)
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Value::Sha256(_) => Algorithm::Sha256,
            Value::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Whether it is the digest of `bytes`.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.algorithm().digest(bytes) == *self
    }

    /// The hexadecimal digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        match &self.0 {
            Value::Sha256(bytes) => hex::encode(bytes),
            Value::Sha512(bytes) => hex::encode(bytes),
        }
    }

    /// Reads a digest from its lower-case hexadecimal digits alone, as blob files are named: 64 are SHA-256, 128 SHA-512.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidDigest`] for anything else.
    pub fn from_hex(hex: &str) -> Result<Self, Error> {
        let algorithm = if hex.len() == 128 { Algorithm::Sha512 } else { Algorithm::Sha256 };
        parse_hex(hex, algorithm, hex)
    }
}

impl Algorithm {
    /// The digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Computes a digest piece by piece.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Starts a digest of this algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            State::Sha256(hasher) => Value::Sha256(hasher.finalize().into()),
            State::Sha512(hasher) => Value::Sha512(hasher.finalize().into()),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm().as_str(), self.hex())
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
        let Some((name, hex)) = text.split_once(':') else {
            return Err(invalid(text, "the algorithm is missing"));
        };
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
        parse_hex(text, algorithm.ok_or_else(|| invalid(text, "only sha256 and sha512 are supported"))?, hex)
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
        oci_spec::image::Digest::from_str(&digest.to_string())
            .expect("an algorithm and its number of hexadecimal digits are always a digest")
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

fn parse_hex(text: &str, algorithm: Algorithm, digits: &str) -> Result<Digest, Error> {
    // Upper-case digits would give one blob two names.
    if digits.bytes().any(|byte| !byte.is_ascii_digit() && !(b'a'..=b'f').contains(&byte)) {
        return Err(invalid(text, "the digits must be 0-9 and a-f"));
    }
    let mut digest = match algorithm {
        Algorithm::Sha256 => Value::Sha256([0; 32]),
        Algorithm::Sha512 => Value::Sha512([0; 64]),
    };
    let (decoded, reason) = match &mut digest {
        Value::Sha256(bytes) => (hex::decode_to_slice(digits, bytes), "it must have 64 digits after the colon"),
        Value::Sha512(bytes) => (hex::decode_to_slice(digits, bytes), "it must have 128 digits after the colon"),
    };
    decoded.map_err(|_| invalid(text, reason))?;
    Ok(Digest(digest))
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
    const EMPTY_512: &str = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        for (algorithm, text) in [(Algorithm::Sha256, EMPTY), (Algorithm::Sha512, EMPTY_512)] {
            let digest = algorithm.digest(b"");
            assert_eq!(text.parse::<Digest>().unwrap(), digest);
            assert_eq!(digest.to_string(), text);
            assert!(digest.matches(b"") && !digest.matches(b"x"));
            assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{text}\""));
            let spec: oci_spec::image::Digest = digest.into();
            assert_eq!(spec.as_ref(), text);
            assert_eq!(Digest::try_from(&spec).unwrap(), digest);
        }
    }

    #[test]
    fn other_algorithms_lengths_and_digits_are_refused() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha512:00",
            "sha384:00",
            "sha256:00",
            &EMPTY[7..],
            &upper,
            &format!("{EMPTY}0"),
            "sha256:é",
            &EMPTY_512.replace("sha512", "sha256"),
        ] {
            assert!(matches!(text.parse::<Digest>(), Err(Error::InvalidDigest { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_digest_round_trips(bytes: [u8; 32], more: [u8; 32]) {
            for digest in [Digest(Value::Sha256(bytes)), Digest(Value::Sha512([bytes, more].concat().try_into().unwrap()))] {
                prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
                prop_assert_eq!(Digest::from_hex(&digest.hex()).unwrap(), digest);
            }
        }

        #[test]
        fn any_text_is_refused_or_written_back_the_same(text in "(sha256:|sha512:)?\\PC{0,130}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
