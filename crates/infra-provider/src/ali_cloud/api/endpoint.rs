//! Finds the host that serves a product in a region.

use std::fmt;

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
    /// Reads `host`, `host:port`, `http://host:port` or `https://host:port`; without a scheme it is `https`.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let bad = |reason| EndpointError::Endpoint { text: text.to_owned(), reason };
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
}

impl Endpoints {
    /// Uses `endpoint` (see [`Endpoint::parse`]) for `product`.
    ///
    /// # Errors
    /// The text is no endpoint.
    pub fn with(mut self, product: Product, endpoint: &str) -> Result<Self, EndpointError> {
        let endpoint = Some(Endpoint::parse(endpoint)?);
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
    /// A region that cannot exist.
    #[error("`{region}` is no region of Alibaba Cloud: write one such as cn-chengdu")]
    Region {
        /// The region.
        region: String,
    },
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
    fn a_region_cannot_lead_elsewhere() {
        for region in ["", "cn hangzhou", "evil.test/", "CN-CHENGDU", "-x", "a@b", "é"] {
            assert!(Endpoints::default().resolve(Product::Ecs, region).is_err(), "{region}");
        }
    }
}
