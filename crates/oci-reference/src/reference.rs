//! Parses image names and completes them as docker does.

use crate::{Digest, Error, shorten};
use std::fmt;
use std::str::FromStr;

pub(crate) const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Longer texts are refused before anything looks at them.
const TEXT_LIMIT: usize = 1024;
const REPOSITORY_LIMIT: usize = 255;

/// An image name made whole: `shop:1.4` is `docker.io/library/shop:1.4`.
///
/// [`fmt::Display`] writes the whole name. A name has a tag, a digest or both; when it was written with neither, the tag is `latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The name of these parts; the last one is a tag, or a digest with its algorithm.
    ///
    /// # Errors
    ///
    /// As parsing the whole text.
    pub fn new(registry: &str, repository: &str, tag_or_digest: &str) -> Result<Self, Error> {
        let separator = if tag_or_digest.contains(':') { '@' } else { ':' };
        format!("{registry}/{repository}{separator}{tag_or_digest}").parse()
    }

    /// Host and port of the registry, `docker.io` when none was written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry, with `library/` for docker's own single-word names.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The shortest way to write the same name: without `docker.io/` and `library/`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let mut text = String::new();
        if self.registry == DEFAULT_REGISTRY {
            let short = self.repository.strip_prefix(DEFAULT_NAMESPACE).filter(|rest| !rest.contains('/'));
            text.push_str(short.unwrap_or(&self.repository));
        } else {
            text.push_str(&self.registry);
            text.push('/');
            text.push_str(&self.repository);
        }
        self.push_suffix(&mut text);
        text
    }

    /// The digest, else the tag: what a registry is asked for.
    #[must_use]
    pub fn tag_or_digest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same repository under another tag, without a digest.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidReference`] when `tag` is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, Error> {
        if !is_tag(tag) {
            return Err(invalid(tag, TAG_RULE));
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository pinned to a digest, without a tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    fn push_suffix(&self, text: &mut String) {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut suffix = String::new();
        self.push_suffix(&mut suffix);
        write!(formatter, "{}/{}{suffix}", self.registry, self.repository)
    }
}

const TAG_RULE: &str = "a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two";

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fail = |reason| invalid(text, reason);
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        if text.len() > TEXT_LIMIT {
            return Err(fail("it is too long"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (path, tag) = split_tag(rest);
        if digest.is_none() && tag.is_none() && Digest::from_hex(path).is_ok() {
            return Err(fail("64 hexadecimal digits are an image ID, not a name"));
        }
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(fail(TAG_RULE));
        }
        let (registry, repository) = split_registry(path);
        if !is_registry(registry) {
            return Err(fail("the part before the first `/` is not a host name with an optional port"));
        }
        let repository = match (registry, repository.contains('/')) {
            (DEFAULT_REGISTRY, false) if !repository.is_empty() => {
                format!("{DEFAULT_NAMESPACE}{repository}")
            }
            _ => repository.to_owned(),
        };
        check_repository(&repository).map_err(fail)?;
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A colon after the last slash starts a tag; one before it belongs to a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (text, None),
    }
}

/// The first part is a registry when it looks like a host: a dot, a port, an upper-case letter or `localhost`.
pub(crate) fn split_registry(path: &str) -> (&str, &str) {
    match path.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(|letter| letter.is_ascii_uppercase()) =>
        {
            if first == "index.docker.io" {
                (DEFAULT_REGISTRY, rest)
            } else {
                (first, rest)
            }
        }
        _ => (DEFAULT_REGISTRY, path),
    }
}

pub(crate) fn is_registry(text: &str) -> bool {
    let host = if let Some(bracketed) = text.strip_prefix('[') {
        let Some((address, after)) = bracketed.split_once(']') else {
            return false;
        };
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port));
    } else if let Some((host, port)) = text.split_once(':') {
        if !is_port(port) {
            return false;
        }
        host
    } else {
        text
    };
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

pub(crate) fn check_repository(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the repository is missing");
    }
    if text.len() > REPOSITORY_LIMIT {
        return Err("the repository is longer than 255 characters");
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("the repository must be lower case");
    }
    if text.split('/').all(is_component) {
        Ok(())
    } else {
        Err("each part of the repository has lower-case letters and digits, separated by `.`, `_`, `__` or dashes")
    }
}

/// Words of `[a-z0-9]+` joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_are_words = bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word);
    ends_are_words
        && bytes.split(|byte| is_word(*byte)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        })
}

fn invalid(text: &str, reason: &'static str) -> Error {
    Error::InvalidReference { text: shorten(text), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_made_whole_as_docker_does() {
        let pinned = format!("docker.io/library/nginx@{DIGEST}");
        let both = format!("docker.io/library/nginx:1@{DIGEST}");
        let table = [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("shop:1.4", "docker.io/library/shop:1.4", "shop:1.4"),
            ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
            ("calico/node:v3.8.2", "docker.io/calico/node:v3.8.2", "calico/node:v3.8.2"),
            ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
            ("k8s.gcr.io/pause:3.2", "k8s.gcr.io/pause:3.2", "k8s.gcr.io/pause:3.2"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b"),
            ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
            ("sea.hub:5000/library/nginx:1.19", "sea.hub:5000/library/nginx:1.19", "sea.hub:5000/library/nginx:1.19"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("[fe80::1]/a", "[fe80::1]/a:latest", "[fe80::1]/a:latest"),
            ("UPPER/a", "UPPER/a:latest", "UPPER/a:latest"),
            ("a__b/c-d--e.f_g", "docker.io/a__b/c-d--e.f_g:latest", "a__b/c-d--e.f_g:latest"),
            ("a:_x", "docker.io/library/a:_x", "a:_x"),
            (&format!("nginx@{DIGEST}"), &pinned, &pinned["docker.io/library/".len()..]),
            (&format!("nginx:1@{DIGEST}"), &both, &both["docker.io/library/".len()..]),
        ];
        for (written, whole, familiar) in table {
            let reference: Reference = written.parse().unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(reference.to_string(), whole, "{written}");
            assert_eq!(reference.familiar(), familiar, "{written}");
            assert_eq!(familiar.parse::<Reference>().unwrap(), reference, "{familiar} means {written}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_path = "a/".repeat(200) + "a";
        for text in [
            "",
            ":",
            ":tag",
            "a:",
            "a:-b",
            "a:.b",
            "a:b c",
            "/a",
            "a/",
            "a//b",
            "Nginx",
            "docker.io/Nginx",
            "a/B",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a@",
            "a@sha256:00",
            "a@sha512:00",
            "a b",
            "ä",
            "http://a/b",
            "https://k8s.gcr.io/pause",
            "k8s.gcr.io/",
            "host:port/a",
            "host:99999/a",
            "-host.com/a",
            "[::1/a",
            "[zz]/a",
            "../../etc/passwd",
            "a/../b",
            "docker.io/",
            &DIGEST[7..],
            &long_tag,
            &long_path,
            "a\n",
            "a:b\n",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn parts_can_be_asked_for_and_exchanged() {
        let reference: Reference = format!("reg:1/a/b:t@{DIGEST}").parse().unwrap();
        assert_eq!((reference.registry(), reference.repository(), reference.tag()), ("reg:1", "a/b", Some("t")));
        assert_eq!(reference.digest().unwrap().to_string(), DIGEST);
        assert_eq!(reference.with_tag("u").unwrap().to_string(), "reg:1/a/b:u");
        assert!(reference.with_tag("/").is_err());
        assert_eq!(reference.with_digest(Digest::of(b"")).to_string(), format!("reg:1/a/b@{DIGEST}"));
        assert_eq!(reference.tag_or_digest(), DIGEST);
        assert_eq!(reference.with_tag("u").unwrap().tag_or_digest(), "u");
        assert_eq!(Reference::new("reg:1", "a/b", DIGEST).unwrap(), reference.with_digest(Digest::of(b"")));
        assert_eq!(Reference::new("docker.io", "nginx", "1").unwrap().to_string(), "docker.io/library/nginx:1");
        assert!(Reference::new("user@host", "a", "b").is_err() && Reference::new("h", "a?x=1", "b").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_stable(text in "[a-zA-Z0-9:/@._\\[\\]-]{0,40}|\\PC{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let whole = reference.to_string();
                prop_assert_eq!(&whole.parse::<Reference>().unwrap(), &reference);
                prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
                prop_assert!(!whole.contains("..") && !whole.contains(char::is_whitespace));
            }
        }

        #[test]
        fn well_formed_names_are_taken(
            host in "[a-z]{1,8}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?", path in "[a-z0-9]{1,6}([._-][a-z0-9]{1,6}){0,2}(/[a-z0-9]{1,6}){0,3}", tag in "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}",
        ) {
            let text = format!("{host}/{path}:{tag}");
            prop_assume!(host != "docker.io" && host != "index.docker.io");
            prop_assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }
}
