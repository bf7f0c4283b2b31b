//! The configuration of the forward proxy, and what becomes of a host.

use crate::upstream::matches;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How a forward proxy listens, and for whom it answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ForwardConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The certificate (PEM) of the CA that its clients trust.
    pub ca_cert: PathBuf,
    /// The private key (PEM) of that CA.
    pub ca_key: PathBuf,
    /// Hosts (`host` or `host:port`) that are registries, and are answered here; a star stands for any characters.
    #[serde(default = "everything")]
    pub intercept: Vec<String>,
    /// Hosts to which connections are passed through unread. They go before `intercept`.
    #[serde(default)]
    pub pass: Vec<String>,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

impl ForwardConfig {
    /// A proxy that takes every host for a registry, and passes nothing through.
    #[must_use]
    pub fn new(listen: SocketAddr, ca_cert: PathBuf, ca_key: PathBuf) -> Self {
        Self { listen, ca_cert, ca_key, intercept: everything(), pass: Vec::new() }
    }
}

/// What becomes of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered here, as this registry.
    Intercept { host: String, registry: String },
    /// The connection is passed through.
    Pass,
    /// Neither.
    Refuse,
}

impl ForwardConfig {
    /// What becomes of `host`, an address without brackets or a name.
    pub(super) fn verdict(&self, host: &str, port: u16) -> Verdict {
        let host = host.to_ascii_lowercase();
        let with_port = format!("{host}:{port}");
        let any = |patterns: &[String]| {
            patterns.iter().any(|pattern| matches(pattern, &host) || matches(pattern, &with_port))
        };
        if any(&self.pass) {
            Verdict::Pass
        } else if any(&self.intercept) {
            let registry = registry(&host, port);
            Verdict::Intercept { host, registry }
        } else {
            Verdict::Refuse
        }
    }
}

/// What image names call the registry at this host.
fn registry(host: &str, port: u16) -> String {
    match (host, port) {
        ("registry-1.docker.io" | "index.docker.io" | "docker.io", 443) => "docker.io".to_owned(),
        (host, 443 | 80) if !host.contains(':') => host.to_owned(),
        (address, port) if address.contains(':') => format!("[{address}]:{port}"),
        (host, port) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_are_passed_answered_or_refused() {
        let mut config = ForwardConfig::new("127.0.0.1:0".parse().unwrap(), "a".into(), "b".into());
        config.pass = vec!["*.internal".to_owned(), "git.example:22".to_owned()];
        config.intercept =
            vec!["*.docker.io".to_owned(), "quay.io".to_owned(), "reg.example:5000".to_owned(), "::1".to_owned()];
        let answered =
            |host: &str, registry: &str| Verdict::Intercept { host: host.to_owned(), registry: registry.to_owned() };
        for (host, port, expected) in [
            ("registry-1.docker.io", 443, answered("registry-1.docker.io", "docker.io")),
            ("Quay.io", 443, answered("quay.io", "quay.io")),
            ("quay.io", 8443, answered("quay.io", "quay.io:8443")),
            ("reg.example", 5000, answered("reg.example", "reg.example:5000")),
            ("::1", 5000, answered("::1", "[::1]:5000")),
            ("reg.example", 443, Verdict::Refuse),
            ("a.internal", 443, Verdict::Pass),
            ("git.example", 22, Verdict::Pass),
            ("git.example", 443, Verdict::Refuse),
        ] {
            assert_eq!(config.verdict(host, port), expected, "{host}:{port}");
        }
    }
}
