//! Which image, in the words of the registry's API.

use crate::error::{Error, Result, shorten};
use std::fmt;

/// An image of a registry: host, repository, and a tag or digest. Nothing is filled in: names are made whole elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// Host and optional port, `docker.io` for Docker Hub.
    pub registry: String,
    /// The path within the registry, for example `library/nginx`.
    pub repository: String,
    /// A tag, or a digest with its algorithm.
    pub reference: String,
}

impl ImageName {
    /// The name of these parts. They are checked when a request is made.
    pub fn new(registry: impl Into<String>, repository: impl Into<String>, reference: impl Into<String>) -> Self {
        Self { registry: registry.into(), repository: repository.into(), reference: reference.into() }
    }

    /// The digest, if the reference is one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.reference.contains(':').then_some(self.reference.as_str())
    }

    /// The same repository with another tag or digest.
    #[must_use]
    pub fn with_reference(&self, reference: impl Into<String>) -> Self {
        Self { reference: reference.into(), ..self.clone() }
    }

    /// Refuses everything that would change the meaning of a URL.
    pub(crate) fn check(&self) -> Result<()> {
        let fail = |reason| Err(Error::InvalidName { name: shorten(&self.to_string(), 120), reason });
        if !is_host(&self.registry) {
            return fail("its registry is not a host name with an optional port");
        }
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        };
        if self.repository.len() > 255 || !self.repository.split('/').all(is_part) {
            return fail("its repository is not made of lower-case letters, digits, `.`, `_`, `-` and `/`");
        }
        match self.digest() {
            Some(digest) => check_digest(digest),
            None if is_tag(&self.reference) => Ok(()),
            None => fail("its tag is not made of at most 128 letters, digits, `.`, `_` and `-`"),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.digest().is_some() { '@' } else { ':' };
        write!(formatter, "{}/{}{separator}{}", self.registry, self.repository, self.reference)
    }
}

/// Refuses digests that this crate cannot verify.
pub(crate) fn check_digest(digest: &str) -> Result<()> {
    let is_hex =
        |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digest.strip_prefix("sha256:").is_some_and(is_hex) {
        Ok(())
    } else {
        Err(Error::InvalidName { name: shorten(digest, 120), reason: "a digest is sha256: and 64 hexadecimal digits" })
    }
}

/// Whether the text is a host name or address with an optional port and nothing else.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("ip", port),
            _ => return false,
        },
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok() && !digits.starts_with('+'));
    text.len() <= 255 && is_port && host.split('.').all(is_label)
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_that_make_urls_are_taken() {
        for (registry, repository, reference) in [
            ("docker.io", "library/nginx", "1.19"),
            ("localhost:5000", "a", "latest"),
            ("[::1]:5000", "a/b-c/d_e.f", "v1_2.3-x"),
            ("10.0.0.1", "a", DIGEST),
        ] {
            ImageName::new(registry, repository, reference).check().unwrap();
        }
    }

    #[test]
    fn names_that_would_change_the_url_are_refused() {
        for (registry, repository, reference) in [
            ("", "a", "b"),
            ("a/b", "a", "b"),
            ("user@host", "a", "b"),
            ("host:port", "a", "b"),
            ("host:+1", "a", "b"),
            ("host#", "a", "b"),
            ("[::1", "a", "b"),
            ("h", "", "b"),
            ("h", "../a", "b"),
            ("h", "a/../b", "b"),
            ("h", "a//b", "b"),
            ("h", "a?x=1", "b"),
            ("h", "A", "b"),
            ("h", "a%2f", "b"),
            ("h", "a", ""),
            ("h", "a", ".."),
            ("h", "a", "b/c"),
            ("h", "a", "b c"),
            ("h", "a", "sha256:00"),
            ("h", "a", "sha512:00"),
        ] {
            assert!(
                ImageName::new(registry, repository, reference).check().is_err(),
                "{registry} {repository} {reference}"
            );
        }
    }
}
