//! The registries that hosts pull images from.

use std::net::IpAddr;

use crate::Secret;

/// The registry on the masters and, if one is named, a registry outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrySettings {
    /// The name hosts know the local registry by, `sea.hub` when the file does not say.
    pub domain: String,
    /// Its TCP port, 5000 when the file does not say.
    pub port: u16,
    /// The user name it asks for, if it asks.
    pub username: Option<String>,
    /// The password it asks for, if it asks.
    pub password: Option<Secret>,
    /// Whether it runs on every master (the default) or on one only.
    pub high_availability: bool,
    /// Whether it speaks plain HTTP.
    pub insecure: bool,
    /// Further DNS names for its certificate.
    pub certificate_names: Vec<String>,
    /// Further addresses for its certificate.
    pub certificate_addresses: Vec<IpAddr>,
    /// A registry outside the cluster whose login the hosts get.
    pub external: Option<ExternalRegistry>,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            domain: "sea.hub".to_owned(),
            port: 5000,
            username: None,
            password: None,
            high_availability: true,
            insecure: false,
            certificate_names: Vec::new(),
            certificate_addresses: Vec::new(),
            external: None,
        }
    }
}

/// A registry outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExternalRegistry {
    /// Its domain.
    pub domain: String,
    /// Its TCP port, when it is not the protocol's own.
    pub port: Option<u16>,
    /// The user name it asks for, if it asks.
    pub username: Option<String>,
    /// The password it asks for, if it asks.
    pub password: Option<Secret>,
}

impl ExternalRegistry {
    /// A registry at the protocol's own port that asks for no login.
    #[must_use]
    pub fn new(domain: impl Into<String>) -> Self {
        Self { domain: domain.into(), port: None, username: None, password: None }
    }
}
