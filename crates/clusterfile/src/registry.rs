//! The registry that hosts pull images from: the one on the masters, or one outside the cluster.

use std::net::IpAddr;

use crate::Secret;

/// The registry on the masters or, if one is named, a registry outside the cluster instead of it.
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
    /// A registry outside the cluster, from which hosts pull instead: the masters then have none.
    pub external: Option<ExternalRegistry>,
}

impl RegistrySettings {
    /// The domain of the registry that hosts pull from.
    #[must_use]
    pub fn used_domain(&self) -> &str {
        self.external.as_ref().map_or(&self.domain, |external| &external.domain)
    }

    /// Its TCP port.
    #[must_use]
    pub fn used_port(&self) -> u16 {
        let of_protocol = if self.is_plain_http() { 80 } else { 443 };
        self.external.as_ref().map_or(self.port, |external| external.port.unwrap_or(of_protocol))
    }

    /// What its images are called by: `domain:port`, or the domain alone at the protocol's own port.
    #[must_use]
    pub fn used_host(&self) -> String {
        match &self.external {
            Some(ExternalRegistry { domain, port: None, .. }) => domain.clone(),
            _ => format!("{}:{}", self.used_domain(), self.used_port()),
        }
    }

    /// Whether it speaks plain HTTP.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.external.as_ref().map_or(self.insecure, |external| external.insecure)
    }

    /// The user name and password that it asks for, if it asks.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &Secret)> {
        let (username, password) = match &self.external {
            Some(external) => (&external.username, &external.password),
            None => (&self.username, &self.password),
        };
        username.as_deref().zip(password.as_ref())
    }
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
    /// Whether it speaks plain HTTP.
    pub insecure: bool,
    /// The certificate (PEM) of the authority that signed its own, when systems do not know that one.
    pub ca: Option<String>,
}

impl ExternalRegistry {
    /// A registry at the protocol's own port that asks for no login.
    #[must_use]
    pub fn new(domain: impl Into<String>) -> Self {
        Self { domain: domain.into(), port: None, username: None, password: None, insecure: false, ca: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_pull_from_the_registry_outside_when_one_is_named() {
        let mut registry = RegistrySettings { username: Some("a".to_owned()), ..RegistrySettings::default() };
        assert_eq!((registry.used_host().as_str(), registry.login()), ("sea.hub:5000", None));
        registry.password = Some("b".into());
        assert_eq!(registry.login(), Some(("a", &"b".into())));
        registry.external = Some(ExternalRegistry::new("hub.example"));
        assert_eq!((registry.used_host().as_str(), registry.used_port()), ("hub.example", 443));
        assert_eq!((registry.login(), registry.is_plain_http()), (None, false));
        registry.external = Some(ExternalRegistry { port: Some(80), insecure: true, ..ExternalRegistry::new("h") });
        assert_eq!((registry.used_host().as_str(), registry.is_plain_http()), ("h:80", true));
    }
}
