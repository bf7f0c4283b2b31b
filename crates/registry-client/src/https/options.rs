//! The options of the HTTPS client.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// How registries are reached. The default asks every registry itself, anonymously, over HTTPS with the system's certificates.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Hosts to ask first, by registry; `*` stands for every registry without its own list. A mirror is `host[:port]`, or a URL without a path.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Hosts (`host[:port]`) whose certificate is not checked, and that may speak plain HTTP. Loopback addresses may always speak plain HTTP.
    pub insecure: BTreeSet<String>,
    /// Hosts (`host[:port]`) that speak plain HTTP.
    pub plain_http: BTreeSet<String>,
    /// User and password by host (`host[:port]`). They are sent as they are (HTTP Basic) with every request, as container engines do with a
    /// header of their configuration: no token is asked for.
    pub logins: BTreeMap<String, (String, Zeroizing<String>)>,
    /// The path of docker's `config.json`, for its logins. Read only when a registry is asked; it need not be there.
    pub docker_config: Option<PathBuf>,
    /// Whether programs named in the docker config (`docker-credential-…`) may be run to get a login.
    pub run_credential_helpers: bool,
    /// CA certificates (PEM) to trust besides those of the system.
    pub extra_ca: Vec<String>,
    /// What is told to registries.
    pub user_agent: &'static str,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest silence during a transfer.
    pub idle_timeout: Duration,
    /// The URL of a proxy for HTTPS requests. No proxy is taken from the environment.
    pub https_proxy: Option<String>,
    /// The URL of a proxy for plain HTTP requests.
    pub http_proxy: Option<String>,
    /// Hosts to reach without a proxy, separated by commas.
    pub no_proxy: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            insecure: BTreeSet::new(),
            plain_http: BTreeSet::new(),
            logins: BTreeMap::new(),
            docker_config: None,
            run_credential_helpers: false,
            extra_ca: Vec::new(),
            user_agent: concat!("sealer/", env!("CARGO_PKG_VERSION")),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            https_proxy: None,
            http_proxy: None,
            no_proxy: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("mirrors", &self.mirrors)
            .field("insecure", &self.insecure)
            .field("plain_http", &self.plain_http)
            .field("docker_config", &self.docker_config)
            .field("run_credential_helpers", &self.run_credential_helpers)
            .finish_non_exhaustive()
    }
}
