//! Finds the host that serves a product in a region.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::Uri;

/// A product that is asked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Product {
    /// Elastic Compute Service: machines, security groups, key pairs.
    Ecs,
    /// Virtual Private Cloud: networks and elastic addresses.
    Vpc,
}

impl Product {
    /// Version of its interface, for `x-acs-version`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Ecs => "2014-05-26",
            Self::Vpc => "2016-04-28",
        }
    }

    /// Its name in host names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Vpc => "vpc",
        }
    }
}

/// Scheme and authority of a product's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    host: String,
}

impl Endpoint {
    /// Reads `host`, `host:port`, `http://host:port` or `https://host:port`; without a scheme it is `https`. Whether plain
    /// `http` may be used is for [`Endpoints::with`] to decide.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let bad = |reason| EndpointError::Endpoint { text: without_login(text), reason };
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: Uri = full.trim_end_matches('/').parse().map_err(|_| bad("it is not an address"))?;
        let (scheme, own_port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            _ => return Err(bad("its scheme is neither http nor https")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(bad("it must be a host and nothing but a port behind it"));
        }
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(bad("it must not have a path"));
        }
        let host = authority.host().to_ascii_lowercase();
        match authority.port_u16() {
            Some(port) if port != own_port => Ok(Self { scheme, host: format!("{host}:{port}") }),
            None if authority.as_str().len() > authority.host().len() => Err(bad("its port is not a number")),
            _ => Ok(Self { scheme, host }),
        }
    }

    /// Whether what is said to it can be read and changed on its way: plain HTTP beyond this machine. A name is not on
    /// this machine, whatever it resolves to.
    fn is_exposed(&self) -> bool {
        let address = self.host.parse::<SocketAddr>().map(|address| address.ip());
        let address = address.or_else(|_| self.host.trim_matches(['[', ']']).parse::<IpAddr>());
        self.scheme == "http" && !address.is_ok_and(|address| address.is_loopback())
    }

    /// Host and, unless it is the scheme's own, port: the value of the header `host`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

/// Endpoints that are to be used instead of the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    ecs: Option<Endpoint>,
    vpc: Option<Endpoint>,
    insecure: bool,
}

impl Endpoints {
    /// Also takes endpoints of plain `http://` that are not on this machine: requests, which hold passwords of machines,
    /// can then be read on their way.
    #[must_use]
    pub fn allow_insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Uses `endpoint` (see [`Endpoint::parse`]) for `product`.
    ///
    /// # Errors
    /// The text is no endpoint, or one of plain `http://` that is neither a loopback address nor
    /// [allowed](Self::allow_insecure).
    pub fn with(mut self, product: Product, endpoint: &str) -> Result<Self, EndpointError> {
        let parsed = Endpoint::parse(endpoint)?;
        if parsed.is_exposed() && !self.insecure {
            return Err(EndpointError::Insecure { text: parsed.to_string() });
        }
        let endpoint = Some(parsed);
        match product {
            Product::Ecs => self.ecs = endpoint,
            Product::Vpc => self.vpc = endpoint,
        }
        Ok(self)
    }

    /// The server of `product` in `region`: the one given, or else the usual one.
    ///
    /// # Errors
    /// The region cannot be part of a host name.
    pub fn resolve(&self, product: Product, region: &str) -> Result<Endpoint, EndpointError> {
        let usable = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || region.len() > 40 || region.starts_with('-') || !region.bytes().all(usable) {
            return Err(EndpointError::Region { region: region.to_owned() });
        }
        let given = match product {
            Product::Ecs => &self.ecs,
            Product::Vpc => &self.vpc,
        };
        Ok(given.clone().unwrap_or_else(|| Endpoint { scheme: "https", host: usual(product, region) }))
    }
}

/// Names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// An endpoint that was given cannot be used.
    #[error("`{text}` is no endpoint: {reason}; write HOST, HOST:PORT or http://HOST:PORT")]
    Endpoint {
        /// The endpoint.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An endpoint that would be spoken to without encryption.
    #[error("`{text}` would be spoken to without encryption; write https://, or allow plain HTTP")]
    Insecure {
        /// The endpoint.
        text: String,
    },
    /// A region that cannot exist.
    #[error("`{region}` is no region of Alibaba Cloud: write one such as cn-chengdu")]
    Region {
        /// The region.
        region: String,
    },
}

/// The text as it may be shown: user and password are not.
fn without_login(text: &str) -> String {
    let Some((before, host)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
    format!("{scheme}***@{host}")
}

/// The oldest region has names of its own; all others follow the rule.
fn usual(product: Product, region: &str) -> String {
    match (product, region) {
        (Product::Ecs, "cn-hangzhou") => "ecs-cn-hangzhou.aliyuncs.com".to_owned(),
        (Product::Vpc, "cn-hangzhou") => "vpc.aliyuncs.com".to_owned(),
        _ => format!("{}.{region}.aliyuncs.com", product.name()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn usual_endpoints_follow_the_rule_with_one_exception() {
        let usual = |product, region| Endpoints::default().resolve(product, region).unwrap().to_string();
        assert_eq!(usual(Product::Ecs, "cn-chengdu"), "https://ecs.cn-chengdu.aliyuncs.com");
        assert_eq!(usual(Product::Vpc, "ap-southeast-1"), "https://vpc.ap-southeast-1.aliyuncs.com");
        assert_eq!(usual(Product::Ecs, "cn-hangzhou"), "https://ecs-cn-hangzhou.aliyuncs.com");
        assert_eq!(usual(Product::Vpc, "cn-hangzhou"), "https://vpc.aliyuncs.com");
    }

    #[test]
    fn one_product_can_be_sent_elsewhere() {
        let endpoints = Endpoints::default().with(Product::Ecs, "http://127.0.0.1:18080").unwrap();
        let ecs = endpoints.resolve(Product::Ecs, "cn-chengdu").unwrap();
        assert_eq!((ecs.to_string().as_str(), ecs.host()), ("http://127.0.0.1:18080", "127.0.0.1:18080"));
        let vpc = endpoints.resolve(Product::Vpc, "cn-chengdu").unwrap();
        assert_eq!(vpc.host(), "vpc.cn-chengdu.aliyuncs.com");
    }

    #[test]
    fn endpoints_are_hosts_and_ports() {
        for (text, read) in [
            ("ecs.example.test", "https://ecs.example.test"),
            ("ECS.example.test:443", "https://ecs.example.test"),
            ("https://ecs.example.test:8443/", "https://ecs.example.test:8443"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), read, "{text}");
        }
        for text in ["", "ftp://x", "http://", "http://u:p@x", "https://x/path", "https://x?q", "x:port", "a b"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_leaves_this_machine_only_when_it_is_allowed() {
        for (text, stays) in [
            ("http://127.0.0.1:8080", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:80", true),
            ("https://ecs.example.test", true),
            ("ecs.example.test", true),
            ("http://ecs.example.test", false),
            ("http://localhost:8080", false),
            ("http://192.0.2.1", false),
            ("http://127.0.0.1.example.test", false),
            ("http://[::ffff:192.0.2.1]:80", false),
        ] {
            let given = Endpoints::default().with(Product::Ecs, text);
            assert_eq!(given.is_ok(), stays, "{text}: {given:?}");
            assert!(Endpoints::default().allow_insecure().with(Product::Ecs, text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_refused_and_not_shown() {
        for text in ["https://user:hush@ecs.example.test", "user:hush@ecs.example.test", "ftp://a@b:hush@c"] {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains("***@") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_region_cannot_lead_elsewhere() {
        for region in ["", "cn hangzhou", "evil.test/", "CN-CHENGDU", "-x", "a@b", "é"] {
            assert!(Endpoints::default().resolve(Product::Ecs, region).is_err(), "{region}");
        }
    }
}
