//! Makes the HTTP request of a check, and refuses what no request can hold.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request};
use http_body_util::Full;

use super::check::HealthConfig;
use crate::{Error, Result};

/// The request of a check, for any server. Refuses what cannot be put in a request, such as line breaks in a header.
pub(super) fn template(check: &HealthConfig) -> Result<Request<Full<Bytes>>> {
    let method = Method::from_bytes(check.method.as_bytes());
    let method = method.map_err(|_| invalid("method", format!("{:?} is no word", check.method)))?;
    let slash = if check.path.starts_with('/') { "" } else { "/" };
    let path = PathAndQuery::try_from(format!("{slash}{}", check.path));
    let path = path.map_err(|_| invalid("path", format!("{:?} cannot stand in a request", check.path)))?;
    let mut request = Request::new(Full::new(Bytes::from(check.body.clone())));
    *request.method_mut() = method;
    *request.uri_mut() = path.into();
    for (name, value) in &check.headers {
        let (name, value) = header(name, value)?;
        request.headers_mut().append(name, value);
    }
    let agent = HeaderValue::from_static("sealer-lvscare");
    request.headers_mut().entry(header::USER_AGENT).or_insert(agent);
    Ok(request)
}

/// The request for this server: `Host` is its address if the check does not say it.
pub(super) fn request(template: &Request<Full<Bytes>>, server: SocketAddr) -> Request<Full<Bytes>> {
    let mut request = template.clone();
    if let Ok(host) = HeaderValue::try_from(server.to_string()) {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    request
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let known = HeaderName::from_bytes(name.as_bytes());
    let known = known.map_err(|_| invalid("header name", format!("{name:?} is no word")))?;
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(change: impl FnOnce(&mut HealthConfig)) -> String {
        let mut check = HealthConfig::default();
        change(&mut check);
        template(&check).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn what_no_request_can_hold_is_refused() {
        for (said, part) in [
            (refused(|check| check.method = "GET /".to_owned()), "method"),
            (refused(|check| check.path = "/a b".to_owned()), "path"),
            (refused(|check| check.headers = [("a b".to_owned(), String::new())].into()), "header name"),
        ] {
            assert!(said.contains(part), "`{said}` should name {part}");
        }
        let secret = refused(|check| check.headers = [("Authorization".to_owned(), "s3cret\r\n".to_owned())].into());
        assert!(secret.contains("Authorization") && !secret.contains("s3cret"), "{secret}");
    }

    #[test]
    fn the_host_is_what_is_given_or_the_server_itself() {
        let mut check = HealthConfig { path: "readyz".to_owned(), ..HealthConfig::default() };
        let server = SocketAddr::from(([10, 0, 0, 1], 6443));
        let made = request(&template(&check).unwrap(), server);
        assert_eq!(made.uri().path(), "/readyz");
        assert_eq!(made.headers()[header::HOST], "10.0.0.1:6443");
        check.headers = [("Host".to_owned(), "a".to_owned()), ("User-Agent".to_owned(), "me".to_owned())].into();
        let made = request(&template(&check).unwrap(), server);
        assert_eq!(made.headers()[header::HOST], "a");
        assert_eq!(made.headers()[header::USER_AGENT], "me");
    }
}
