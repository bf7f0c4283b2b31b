//! Makes the client of an upstream out of its configuration.

use super::config::{ANY, UpstreamConfig};
use super::limit::{Limited, Pace};
use super::memory::Expiring;
use crate::error::{Error, Result};
use registry_client::{Error as RegistryError, Https, Login, Options, Reference, Registry};
use std::sync::Arc;
use std::time::Duration;

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
    /// Paces its requests.
    pace: Option<Arc<Pace>>,
    /// Why one of its hosts is not asked at the moment.
    resting: Expiring<String, String>,
}

impl Upstream {
    /// Reads the files that the configuration names. Nothing is sent.
    pub(super) fn new(config: UpstreamConfig) -> Result<Self> {
        let title = config.title();
        let fail = |reason: String| Error::Upstream { upstream: title.clone(), reason };
        let (options, prefix) = options(&config).map_err(fail)?;
        let https = Https::new(options).map_err(|error| fail(error_report::one_line(&error)))?;
        https.prepare(&config.registry);
        let pace = config.requests_per_second.map(|count| Arc::new(Pace::new(count.into())));
        let registry = Arc::new(Limited::new(https, pace.clone(), config.bytes_per_second));
        Ok(Self { config, registry, title, prefix, pace, resting: Expiring::default() })
    }

    /// The image as this upstream names it.
    pub(super) fn image(&self, registry: &str, path: &str, tag_or_digest: &str) -> Option<Reference> {
        Reference::new(registry, &format!("{}{path}", self.prefix), tag_or_digest).ok()
    }

    /// Which of its hosts has the image: `*` without a URL is as many hosts as there are registries, and one of them rests alone.
    fn host(&self, image: &Reference) -> String {
        if self.config.url.is_some() { String::new() } else { image.registry().to_owned() }
    }

    /// Why it is not to be asked for the image now.
    pub(super) fn rests(&self, image: &Reference) -> Option<String> {
        self.resting.get(&self.host(image))
    }

    /// Waits until it may be asked again; an error when that is later than `longest` from now.
    pub(super) async fn turn(&self, longest: Duration) -> std::result::Result<(), String> {
        match &self.pace {
            Some(pace) if !pace.pass(1, longest).await => {
                Err(format!("more is asked of {} than its requestsPerSecond allow", self.title))
            }
            _ => Ok(()),
        }
    }

    /// Takes note of a failure: one that cannot be reached, or was asked too often, is left alone for a while.
    pub(super) fn note(&self, image: &Reference, error: &RegistryError) {
        let own = Duration::from_secs(self.config.rest_seconds);
        let rest = match error {
            RegistryError::TooManyRequests { retry_after, .. } => retry_after.unwrap_or(own).min(LONGEST_REST),
            RegistryError::Unreachable { .. } => own,
            _ => return,
        };
        self.resting.insert(self.host(image), error_report::one_line(error), rest);
    }

    /// Takes note that it gave no answer in time.
    pub(super) fn note_silence(&self, image: &Reference) -> String {
        let reason = format!("{} does not answer within {} seconds", self.title, self.config.timeout_seconds);
        self.resting.insert(self.host(image), reason.clone(), Duration::from_secs(self.config.rest_seconds));
        reason
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.config.timeout_seconds)
    }
}

/// The options of the client, and what paths begin with at its URL.
fn options(config: &UpstreamConfig) -> std::result::Result<(Options, String), String> {
    if config.registry == ANY && config.url.is_none() && (config.username.is_some() || config.insecure) {
        return Err("`*` without `url` is every registry, which none of username and insecure is for".to_owned());
    }
    let mut options = Options::default();
    // What it may not be asked now it is not waited for: what is cached is there at once.
    options.longest_retry_after = None;
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
                if name.contains('@') {
                    return Err("its URL holds a login, which belongs in username and passwordFile".to_owned());
                }
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
    if config.insecure {
        options.insecure.insert(host.clone());
    }
    match (&config.username, &config.password_file) {
        (Some(user), Some(path)) => {
            let password = read(path)?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
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
    crate::config::read(path).map_err(|error| error_report::one_line(&error))
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
            (UpstreamConfig { insecure: true, ..UpstreamConfig::new("*") }, "every registry"),
            (UpstreamConfig::new("quay.io").at("https://me:hunter2@quay.example"), "holds a login"),
        ] {
            let error = Upstream::new(config).unwrap_err();
            assert!(error.to_string().contains(part) && !error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn one_registry_rests_alone() {
        let [dead, other] = ["dead.example/a:1", "other.example/a:1"].map(|name| name.parse::<Reference>().unwrap());
        let any = Upstream::new(UpstreamConfig::new("*")).unwrap();
        any.note_silence(&dead);
        assert!(any.rests(&dead).is_some() && any.rests(&other).is_none());
        let mirror = Upstream::new(UpstreamConfig::new("*").at("https://mirror.example")).unwrap();
        mirror.note_silence(&dead);
        assert!(mirror.rests(&other).is_some(), "it is one host");
    }
}
