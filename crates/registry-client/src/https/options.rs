//! The options of the HTTPS client.

use crate::login::{Login, LoginFiles};
use secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How registries are reached. The default asks every registry itself, anonymously, over HTTPS with the system's certificates.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Hosts to ask first, by registry; `*` stands for every registry without its own list. A mirror is `host[:port]`, or a URL without a path.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Mirrors stand for their registry alone: the registry itself is not asked after them.
    pub mirrors_only: bool,
    /// Hosts (`host[:port]`) whose certificate is not checked, and that may speak plain HTTP. Loopback addresses may always speak plain HTTP.
    pub insecure: BTreeSet<String>,
    /// Hosts (`host[:port]`) that speak plain HTTP.
    pub plain_http: BTreeSet<String>,
    /// User and password by host (`host[:port]`). They are sent as they are (HTTP Basic) with every request, as container engines do with a
    /// header of their configuration: no token is asked for.
    pub basic_logins: BTreeMap<String, (String, Secret)>,
    /// Logins by host (`host[:port]`), used before those that are kept in files.
    pub known_logins: BTreeMap<String, Login>,
    /// Where logins are found. Read only when a registry asks for one.
    pub logins: LoginFiles,
    /// CA certificates (PEM) to trust besides those of the system.
    pub extra_ca: Vec<String>,
    /// The same for one host (`host[:port]`) alone.
    pub host_ca: BTreeMap<String, Vec<String>>,
    /// A directory with certificates for one host (`host[:port]`), its files as in those of `certificate_directories`.
    pub host_certificates: BTreeMap<String, PathBuf>,
    /// Directories with a directory for each host (`host[:port]`), as docker and containers have them in `certs.d`: `*.crt` are CA
    /// certificates for that host, `NAME.cert` and `NAME.key` a client certificate. Read when a host is asked; they need not be there.
    pub certificate_directories: Vec<PathBuf>,
    /// What is told to registries.
    pub user_agent: &'static str,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest silence during a transfer.
    pub idle_timeout: Duration,
    /// The longest wait that a registry may ask for before the next attempt; without it, one that asks for a wait gets no other attempt.
    pub longest_retry_after: Option<Duration>,
    /// The URL of a proxy for HTTPS requests. No proxy is taken from the environment.
    pub https_proxy: Option<String>,
    /// The URL of a proxy for plain HTTP requests.
    pub http_proxy: Option<String>,
    /// Hosts to reach without a proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// A socket in the file system that every request goes through, whatever host it is for.
    pub unix_socket: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            mirrors_only: false,
            insecure: BTreeSet::new(),
            plain_http: BTreeSet::new(),
            basic_logins: BTreeMap::new(),
            known_logins: BTreeMap::new(),
            logins: LoginFiles::default(),
            extra_ca: Vec::new(),
            host_ca: BTreeMap::new(),
            host_certificates: BTreeMap::new(),
            certificate_directories: Vec::new(),
            user_agent: concat!("sealer/", env!("CARGO_PKG_VERSION")),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            longest_retry_after: Some(Duration::from_secs(30)),
            https_proxy: None,
            http_proxy: None,
            no_proxy: None,
            unix_socket: None,
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
            .field("logins", &self.logins)
            .finish_non_exhaustive()
    }
}
