//! Makes the HTTP request of a check, and refuses what no request can hold.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderValue};
use http_body_util::Full;

use super::check::HealthConfig;
use crate::{Error, Result};

/// The request of a check, for any server. Refuses what cannot be put in a request, such as line breaks in a header.
pub(super) fn template(check: &HealthConfig) -> Result<Request<Full<Bytes>>> {
    let invalid = |reason| Error::Check { part: "request", reason };
    let mut request = Request::builder();
    for (name, value) in &check.headers {
        request = request.header(name, value);
        // The value may be a secret and is not shown.
        request.headers_ref().ok_or_else(|| invalid(format!("it cannot have this header: {name}")))?;
    }
    let slash = if check.path.starts_with('/') { "" } else { "/" };
    let request = request.method(&*check.method).uri(format!("{slash}{}", check.path));
    let body = Full::from(check.body.clone());
    let mut request = request.body(body).map_err(|error| invalid(error.to_string()))?;
    request.headers_mut().entry(header::USER_AGENT).or_insert(HeaderValue::from_static("sealer-lvscare"));
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
            (refused(|check| check.path = "/a b".to_owned()), "uri"),
            (refused(|check| check.headers = [("a b".to_owned(), String::new())].into()), "a b"),
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
