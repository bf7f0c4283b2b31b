//! The configuration of an upstream registry, and which names it answers for.

use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// Stands for every registry that no other upstream is for.
pub(super) const ANY: &str = "*";

/// One upstream registry. Several for the same registry are asked in their order.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// The registry whose images it has, as image names say it (`docker.io`, `host:5000`); `*` for every registry that no other upstream is for.
    pub registry: String,
    /// Where it is: `https://host[:port][/prefix]`, `http://…`, or `unix:/path` for a socket behind which another `sealer registry serve` listens.
    /// Without it the registry itself is asked.
    #[serde(default)]
    pub url: Option<String>,
    /// The user of its login.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password of that user.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A file with CA certificates (PEM) to trust besides those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Does not check its certificate, and allows plain HTTP.
    #[serde(default)]
    pub insecure: bool,
    /// The URL of a proxy that leads to it.
    #[serde(default)]
    pub proxy: Option<String>,
    /// The most requests a second.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
    /// The most bytes of blobs a second.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// Repositories that may be asked for, for example `library/*`; a star stands for any characters. All, when there are none.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Repositories that may not be asked for, whatever `allow` says.
    #[serde(default)]
    pub deny: Vec<String>,
    /// For how many seconds a tag is answered without asking again.
    #[serde(default = "tag_ttl")]
    pub tag_ttl_seconds: u64,
    /// For how many seconds something that is not there is not asked for again.
    #[serde(default = "negative_ttl")]
    pub negative_ttl_seconds: u64,
    /// For how many seconds an upstream that cannot be reached is left alone, unless it says so itself.
    #[serde(default = "rest")]
    pub rest_seconds: u64,
    /// After how many seconds without an answer what is cached is served.
    #[serde(default = "timeout")]
    pub timeout_seconds: u64,
}

fn tag_ttl() -> u64 {
    60
}

fn negative_ttl() -> u64 {
    30
}

fn rest() -> u64 {
    5
}

fn timeout() -> u64 {
    5
}

impl UpstreamConfig {
    /// The registry itself, asked as it is.
    pub fn new(registry: impl Into<String>) -> Self {
        Self {
            registry: registry.into(),
            url: None,
            username: None,
            password_file: None,
            ca: None,
            insecure: false,
            proxy: None,
            requests_per_second: None,
            bytes_per_second: None,
            allow: Vec::new(),
            deny: Vec::new(),
            tag_ttl_seconds: tag_ttl(),
            negative_ttl_seconds: negative_ttl(),
            rest_seconds: rest(),
            timeout_seconds: timeout(),
        }
    }

    /// The same registry at another place.
    #[must_use]
    pub fn at(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// How events and records call it.
    pub(super) fn title(&self) -> String {
        match &self.url {
            // A login is refused, and told to nobody.
            Some(url) => match (url.split_once("://"), url.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, host))) => format!("{} at {scheme}://{host}", self.registry),
                _ => format!("{} at {url}", self.registry),
            },
            None => self.registry.clone(),
        }
    }

    /// Whether it may be asked for the repository.
    pub(super) fn admits(&self, path: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, path));
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.deny)
    }
}

impl fmt::Debug for UpstreamConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UpstreamConfig").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Whether the text is what the pattern says; a star in it stands for any characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, expected) in [
            ("library/*", "library/nginx", true),
            ("library/*", "team/nginx", false),
            ("*", "", true),
            ("*/nginx", "library/nginx", true),
            ("*/nginx", "library/nginx2", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("*.example:443", "quay.example:443", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_denied_is_not_allowed() {
        let mut config = UpstreamConfig::new("docker.io");
        assert!(config.admits("library/nginx"));
        config.allow = vec!["library/*".to_owned()];
        config.deny = vec!["*/secret".to_owned()];
        assert!(config.admits("library/nginx") && !config.admits("team/app") && !config.admits("library/secret"));
    }
}
