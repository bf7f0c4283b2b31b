//! Describes an HTTP or HTTPS health check.

use std::fmt;
use std::ops::RangeInclusive;

/// One HTTP or HTTPS health check; the same for every server.
///
/// Start from [`HttpCheck::http`] or [`HttpCheck::https`] and change what differs:
///
/// ```
/// use lvscare::{HttpCheck, TlsCheck, Trust};
///
/// let tls = TlsCheck { trust: Trust::SkipVerify, ..TlsCheck::trusting(Vec::new()) };
/// let check = HttpCheck { path: "/readyz".to_owned(), ..HttpCheck::https(tls) };
/// assert_eq!(check.method, "GET");
/// ```
#[derive(Clone)]
pub struct HttpCheck {
    /// Plain or over TLS.
    pub scheme: Scheme,
    /// The request's method.
    pub method: String,
    /// Path and query; a missing `/` at the beginning is added.
    pub path: String,
    /// More headers, sent as they are; `Host` is the server's own address and port when absent. Their values may be
    /// secrets and are not shown by `Debug`.
    pub headers: Vec<(String, String)>,
    /// The request's body; none when empty.
    pub body: Vec<u8>,
    /// The accepted status codes.
    pub status: Vec<RangeInclusive<u16>>,
}

/// Plain or over TLS.
#[derive(Debug, Clone)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https(TlsCheck),
}

/// How a server proves who it is.
#[derive(Debug, Clone)]
pub struct TlsCheck {
    /// Which certificates are accepted.
    pub trust: Trust,
    /// The DNS name or IP address that the server's certificate must be for; the address it is reached at when absent.
    pub server_name: Option<String>,
}

/// Which certificates are accepted.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Certificates signed by one of these CAs (PEM, one or more certificates).
    Authorities(Vec<u8>),
    /// Any certificate, without verification.
    SkipVerify,
}

impl HttpCheck {
    /// `GET /healthz`, any status from 200 to 399, over plain HTTP.
    #[must_use]
    pub fn http() -> Self {
        Self {
            scheme: Scheme::Http,
            method: "GET".to_owned(),
            path: "/healthz".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            status: vec![200..=399],
        }
    }

    /// `GET /healthz`, any status from 200 to 399, over TLS.
    #[must_use]
    pub fn https(tls: TlsCheck) -> Self {
        Self { scheme: Scheme::Https(tls), ..Self::http() }
    }
}

impl TlsCheck {
    /// Certificates must be signed by one of these CAs (PEM) and be for the address that the server is reached at.
    #[must_use]
    pub fn trusting(authorities_pem: Vec<u8>) -> Self {
        Self { trust: Trust::Authorities(authorities_pem), server_name: None }
    }
}

impl fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCheck")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
