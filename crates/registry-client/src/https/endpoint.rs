//! Maps a registry to the hosts that are asked and the scheme of each.

use super::Options;
use super::trust::Clients;
use crate::error::{Error, Result};
use crate::login::{HUB_HOST, is_host, not_a_host};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Where Docker Hub's images are.
const HUB_ENDPOINT: &str = "registry-1.docker.io";

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scheme {
    /// HTTPS, the certificate checked.
    Https,
    /// HTTPS, the certificate not checked.
    Unverified,
    /// Plain HTTP.
    Http,
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Https | Self::Unverified => "https",
            Self::Http => "http",
        }
    }
}

/// A host to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host and optional port.
    pub(super) host: String,
    /// Whether it stands in for another registry.
    pub(super) is_mirror: bool,
    scheme: Option<Scheme>,
}

impl Endpoint {
    /// What users call it.
    pub(super) fn name(&self) -> &str {
        if self.host == HUB_ENDPOINT { HUB_HOST } else { &self.host }
    }
}

/// The host that is asked for a registry's own content.
pub(super) fn host_of(registry: &str) -> &str {
    if registry == HUB_HOST { HUB_ENDPOINT } else { registry }
}

/// The hosts of every registry.
#[derive(Debug)]
pub(super) struct Endpoints {
    mirrors: BTreeMap<String, Vec<Endpoint>>,
    mirrors_only: bool,
    insecure: BTreeSet<String>,
    plain_http: BTreeSet<String>,
    /// What insecure hosts turned out to speak.
    found: Mutex<BTreeMap<String, Scheme>>,
}

impl Endpoints {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let mut mirrors = BTreeMap::new();
        for (registry, hosts) in &options.mirrors {
            let parsed: Result<Vec<Endpoint>> = hosts.iter().map(|text| mirror(text)).collect();
            mirrors.insert(registry.clone(), parsed?);
        }
        for (option, hosts) in [("insecure", &options.insecure), ("plain_http", &options.plain_http)] {
            if let Some(wrong) = hosts.iter().find(|host| !is_host(host)) {
                return Err(not_a_host(option, wrong));
            }
        }
        let of = |hosts: &BTreeSet<String>| hosts.iter().map(|host| host_of(host).to_owned()).collect();
        let (insecure, plain_http) = (of(&options.insecure), of(&options.plain_http));
        Ok(Self { mirrors, mirrors_only: options.mirrors_only, insecure, plain_http, found: Mutex::default() })
    }

    /// The mirrors of the registry, and the host that is asked last: its own, unless mirrors stand for it alone.
    pub(super) fn of(&self, registry: &str) -> (Vec<Endpoint>, Endpoint) {
        let mirrors = self.mirrors.get(registry).or_else(|| self.mirrors.get("*"));
        let mut mirrors = mirrors.cloned().unwrap_or_default();
        if self.mirrors_only
            && let Some(last) = mirrors.pop()
        {
            return (mirrors, last);
        }
        (mirrors, Endpoint { host: host_of(registry).to_owned(), is_mirror: false, scheme: None })
    }

    /// How to speak to the host. One that may speak plain HTTP is tried with HTTPS first, once.
    pub(super) async fn scheme(&self, endpoint: &Endpoint, clients: &Clients) -> Result<Scheme> {
        let host = &endpoint.host;
        if endpoint.scheme == Some(Scheme::Http) || self.plain_http.contains(host) {
            return Ok(Scheme::Http);
        }
        let is_insecure = self.insecure.contains(host);
        let with_tls = if is_insecure { Scheme::Unverified } else { Scheme::Https };
        if endpoint.scheme == Some(Scheme::Https) || !(is_insecure || is_loopback(host)) {
            return Ok(with_tls);
        }
        if let Some(scheme) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(host) {
            return Ok(*scheme);
        }
        let scheme = match probe(with_tls, host, clients).await {
            Ok(()) => with_tls,
            Err(error) => probe(Scheme::Http, host, clients).await.map(|()| Scheme::Http).map_err(|_| error)?,
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), scheme);
        Ok(scheme)
    }
}

/// Whether the host answers in this scheme, whatever it answers.
async fn probe(scheme: Scheme, host: &str, clients: &Clients) -> Result<()> {
    let request = clients.transfer(scheme, host)?.get(format!("{}://{host}/v2/", scheme.as_str()));
    let answer = request.send().await.map_err(|error| super::trust::transport("the registry API", host, error))?;
    // A TLS server tells who speaks plain HTTP to it that this is a bad request.
    if scheme == Scheme::Http && answer.status() == http::StatusCode::BAD_REQUEST {
        return Err(Error::Answer {
            object: "the registry API".to_owned(),
            host: host.to_owned(),
            status: answer.status(),
            message: String::new(),
        });
    }
    Ok(())
}

fn mirror(text: &str) -> Result<Endpoint> {
    let (scheme, host) = match text.split_once("://") {
        Some(("https", host)) => (Some(Scheme::Https), host),
        Some(("http", host)) => (Some(Scheme::Http), host),
        Some(_) => return Err(not_a_host("mirrors", text)),
        None => (None, text),
    };
    let host = host.trim_end_matches('/');
    if !is_host(host) {
        return Err(not_a_host("mirrors", text));
    }
    Ok(Endpoint { host: host.to_owned(), is_mirror: true, scheme })
}

/// Whether the host, with or without a port, is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn endpoints(mirrors: &[(&str, &[&str])]) -> Result<Endpoints> {
        let mirrors = mirrors
            .iter()
            .map(|(registry, hosts)| ((*registry).to_owned(), hosts.iter().map(|host| (*host).to_owned()).collect()));
        Endpoints::new(&Options { mirrors: mirrors.collect(), ..Options::default() })
    }

    #[test]
    fn mirrors_come_first_and_the_registry_last() {
        let endpoints = endpoints(&[("docker.io", &["https://a:1/", "b"]), ("*", &["http://c"])]).unwrap();
        let hosts = |registry| {
            let (mirrors, own) = endpoints.of(registry);
            mirrors.into_iter().chain([own]).map(|endpoint| endpoint.host).collect::<Vec<_>>()
        };
        assert_eq!(hosts("docker.io"), ["a:1", "b", "registry-1.docker.io"]);
        assert_eq!(hosts("other:5000"), ["c", "other:5000"]);
    }

    #[test]
    fn mirrors_may_stand_for_their_registry_alone() {
        let mirrors = [("docker.io".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into();
        let endpoints = Endpoints::new(&Options { mirrors, mirrors_only: true, ..Options::default() }).unwrap();
        let (first, last) = endpoints.of("docker.io");
        assert_eq!((first.len(), last.host.as_str(), last.is_mirror), (1, "b", true));
        assert_eq!(endpoints.of("other:5000").1.host, "other:5000", "one without mirrors is asked itself");
    }

    #[test]
    fn a_mirror_with_a_path_or_other_scheme_is_refused() {
        for text in ["https://a/b", "ftp://a", "user@a", "", "a b"] {
            let error = endpoints(&[("*", &[text])]).unwrap_err();
            assert!(matches!(error, Error::InvalidOption { option: "mirrors", .. }), "{text}: {error}");
        }
    }

    #[test]
    fn only_loopback_is_loopback() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:5000", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "[fe80::1]", "example", "127.0.0.1.example:5000"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
