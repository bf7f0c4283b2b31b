//! Makes the HTTP request of a check, and refuses what no request can hold.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request};
use http_body_util::Full;

use super::check::HttpCheck;
use crate::{Error, Result};

/// The largest request body.
const MAX_BODY: usize = 32 * 1024;
/// The largest path and headers together.
const MAX_HEAD: usize = 16 * 1024;
/// Headers that belong to the connection, not to the check.
const RESERVED: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

/// A request that can be made of any server.
pub(super) struct Template {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
}

impl Template {
    /// Refuses what cannot be put in a request, such as line breaks in a header.
    pub(super) fn new(check: &HttpCheck) -> Result<Self> {
        let method = Method::from_bytes(check.method.as_bytes())
            .map_err(|_| invalid("method", format!("{:?} is no word", check.method)))?;
        if method == Method::CONNECT {
            return Err(invalid("method", "CONNECT asks for a tunnel, not for health".to_owned()));
        }
        let slash = if check.path.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{}", check.path);
        let path = PathAndQuery::try_from(path)
            .map_err(|_| invalid("path", format!("{:?} cannot stand in a request", check.path)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &check.headers {
            let (name, value) = header(name, value)?;
            headers.append(name, value);
        }
        if let Some(host) = &check.host {
            let host = HeaderValue::from_str(host).map_err(|_| invalid("host", format!("{host:?} is no host")))?;
            headers.insert(header::HOST, host);
        }
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static("sealer-lvscare"));
        if check.body.len() > MAX_BODY {
            return Err(invalid("body", format!("{} bytes are more than 32 KiB", check.body.len())));
        }
        let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if length + path.as_str().len() > MAX_HEAD {
            return Err(invalid("headers", "together with the path they are more than 16 KiB".to_owned()));
        }
        Ok(Self { method, path, headers, body: Bytes::copy_from_slice(&check.body) })
    }

    /// The request for this server.
    pub(super) fn request(&self, server: SocketAddr) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.clone().into();
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .entry(header::HOST)
            .or_insert_with(|| HeaderValue::try_from(server.to_string()).expect("an address has only visible letters"));
        request
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let known =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("header name", format!("{name:?} is no word")))?;
    if RESERVED.contains(&known) {
        return Err(invalid("headers", format!("{name} is set by the check itself")));
    }
    // The value may be a secret and is not shown.
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| invalid("headers", format!("the value of {name} cannot stand in a request")))?;
    value.set_sensitive(true);
    Ok((known, value))
}

fn invalid(part: &'static str, reason: String) -> Error {
    Error::Check { part, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut HttpCheck)) -> String {
        let mut check = HttpCheck::http();
        change(&mut check);
        match Template::new(&check) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_no_request_can_hold_is_refused() {
        for (said, part) in [
            (refused(|check| check.method = "GET /".to_owned()), "method"),
            (refused(|check| check.method = "CONNECT".to_owned()), "tunnel"),
            (refused(|check| check.path = "/a b".to_owned()), "path"),
            (refused(|check| check.headers = vec![("a b".to_owned(), String::new())]), "header name"),
            (refused(|check| check.headers = vec![("Expect".to_owned(), "x".to_owned())]), "set by the check itself"),
            (refused(|check| check.body = vec![0; MAX_BODY + 1]), "32 KiB"),
            (refused(|check| check.headers = vec![("a".to_owned(), "b".repeat(MAX_HEAD))]), "16 KiB"),
        ] {
            assert!(said.contains(part), "`{said}` should name {part}");
        }
        let secret = refused(|check| check.headers = vec![("Authorization".to_owned(), "s3cret\r\n".to_owned())]);
        assert!(secret.contains("Authorization") && !secret.contains("s3cret"), "{secret}");
    }

    #[test]
    fn the_host_is_what_is_given_or_the_server_itself() {
        let mut check = HttpCheck { path: "readyz".to_owned(), ..HttpCheck::http() };
        let server = SocketAddr::from(([10, 0, 0, 1], 6443));
        let request = Template::new(&check).unwrap().request(server);
        assert_eq!(request.uri().path(), "/readyz");
        assert_eq!(request.headers()[header::HOST], "10.0.0.1:6443");
        check.headers = vec![("Host".to_owned(), "a".to_owned()), ("User-Agent".to_owned(), "me".to_owned())];
        let request = Template::new(&check).unwrap().request(server);
        assert_eq!(request.headers()[header::HOST], "a");
        assert_eq!(request.headers()[header::USER_AGENT], "me");
    }
}
