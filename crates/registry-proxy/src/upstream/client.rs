//! Makes the client of an upstream out of its configuration.

use super::config::{ANY, UpstreamConfig};
use super::limit::Limited;
use super::memory::Expiring;
use crate::error::{Error, Result};
use registry_client::{Error as RegistryError, Https, Login, Options, Reference, Registry};
use std::sync::Arc;
use std::time::Duration;

/// The largest file with a password or with certificates that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;
/// The longest time that an upstream may want to be left alone.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// An upstream that can be asked.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) config: UpstreamConfig,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) title: String,
    /// What every path begins with there; ends with a slash, or is empty.
    prefix: String,
    /// Why it is not asked at the moment.
    resting: Expiring<(), String>,
}

impl Upstream {
    /// Reads the files that the configuration names. Nothing is sent.
    pub(super) fn new(config: UpstreamConfig) -> Result<Self> {
        let title = config.title();
        let fail = |reason: String| Error::Upstream { upstream: title.clone(), reason };
        let (options, prefix) = options(&config).map_err(fail)?;
        let https = Https::new(options).map_err(|error| fail(error_report::one_line(&error)))?;
        let registry: Arc<dyn Registry> = match (config.requests_per_second, config.bytes_per_second) {
            (None, None) => Arc::new(https),
            (requests, bytes) => Arc::new(Limited::new(https, requests, bytes)),
        };
        Ok(Self { config, registry, title, prefix, resting: Expiring::default() })
    }

    /// The image as this upstream names it.
    pub(super) fn image(&self, registry: &str, path: &str, tag_or_digest: &str) -> Option<Reference> {
        Reference::new(registry, &format!("{}{path}", self.prefix), tag_or_digest).ok()
    }

    /// Why it is not to be asked now.
    pub(super) fn rests(&self) -> Option<String> {
        self.resting.get(&())
    }

    /// Takes note of a failure: one that cannot be reached, or was asked too often, is left alone for a while.
    pub(super) fn note(&self, error: &RegistryError) {
        let own = Duration::from_secs(self.config.rest_seconds);
        let rest = match error {
            RegistryError::TooManyRequests { retry_after, .. } => retry_after.unwrap_or(own).min(LONGEST_REST),
            RegistryError::Unreachable { .. } => own,
            _ => return,
        };
        self.resting.insert((), error_report::one_line(error), rest);
    }

    /// Takes note that it gave no answer in time.
    pub(super) fn note_silence(&self) -> String {
        let reason = format!("{} does not answer within {} seconds", self.title, self.config.timeout_seconds);
        self.resting.insert((), reason.clone(), Duration::from_secs(self.config.rest_seconds));
        reason
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.config.timeout_seconds)
    }
}

/// The options of the client, and what paths begin with at its URL.
fn options(config: &UpstreamConfig) -> std::result::Result<(Options, String), String> {
    let mut options = Options::default();
    let mut prefix = String::new();
    let mut host = config.registry.clone();
    if let Some(url) = &config.url {
        options.mirrors_only = true;
        let place = match url.strip_prefix("unix:") {
            Some(path) => {
                options.unix_socket = Some(path.into());
                host = "localhost".to_owned();
                "http://localhost".to_owned()
            }
            None => {
                let (scheme, rest) =
                    url.split_once("://").ok_or("its URL begins neither with https:// nor with unix:")?;
                let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
                host = name.to_owned();
                prefix = path.trim_end_matches('/').to_owned();
                format!("{scheme}://{name}")
            }
        };
        options.mirrors.insert(config.registry.clone(), vec![place]);
    }
    if !prefix.is_empty() {
        prefix.push('/');
    }
    if config.insecure && host != ANY {
        options.insecure.insert(host.clone());
    }
    match (&config.username, &config.password_file) {
        (Some(user), Some(path)) => {
            let password = read(path)?.trim_end_matches(['\r', '\n']).to_owned();
            options.known_logins.insert(host, Login::password(user, password));
        }
        (None, None) => {}
        _ => return Err("username and passwordFile belong together".to_owned()),
    }
    if let Some(path) = &config.ca {
        options.extra_ca.push(read(path)?);
    }
    options.https_proxy.clone_from(&config.proxy);
    options.http_proxy.clone_from(&config.proxy);
    Ok((options, prefix))
}

fn read(path: &std::path::Path) -> std::result::Result<String, String> {
    use std::io::Read as _;
    let read = || {
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_LIMIT).read_to_string(&mut text).map(|_| text)
    };
    read().map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_says_where_and_below_what() {
        let upstream = Upstream::new(UpstreamConfig::new("docker.io").at("https://harbor.example/hub/")).unwrap();
        assert_eq!(
            upstream.image("docker.io", "library/nginx", "1").unwrap().to_string(),
            "docker.io/hub/library/nginx:1"
        );
        let own = Upstream::new(UpstreamConfig::new("quay.io")).unwrap();
        assert_eq!(own.image("quay.io", "a/b", "1").unwrap().to_string(), "quay.io/a/b:1");
        assert!(own.image("quay.io", "A", "1").is_none());
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let mut login = UpstreamConfig::new("quay.io");
        login.username = Some("me".to_owned());
        for (config, part) in [
            (UpstreamConfig::new("quay.io").at("quay.example"), "URL"),
            (UpstreamConfig::new("quay.io").at("ftp://quay.example"), "mirrors"),
            (login, "belong together"),
        ] {
            let error = Upstream::new(config).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
