//! Which bytes ask a server about its health?

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::{Error, HttpCheck, Result};

/// The largest request body.
const MAX_BODY: usize = 32 * 1024;

/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// A request, checked, in wire format apart from the `Host` header of servers that are asked by their address.
pub(super) enum Request {
    /// The same bytes for every server.
    Same(Vec<u8>),
    /// What comes before and after the value of the `Host` header.
    Around(Vec<u8>, Vec<u8>),
}

impl Request {
    /// Refuses what cannot be put in a request, such as line breaks in a header.
    pub(super) fn new(check: &HttpCheck) -> Result<Self> {
        let method = token("method", &check.method)?;
        if method.eq_ignore_ascii_case("CONNECT") {
            return Err(invalid("method", "CONNECT asks for a tunnel, not for health".to_owned()));
        }
        let path = visible("path", &check.path, false)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        let before = format!("{method} {slash}{path} HTTP/1.1\r\nHost: ");

        let mut host = check.host.as_deref();
        let mut after = String::from("\r\n");
        let mut names_agent = false;
        for (name, value) in &check.headers {
            let name = token("header name", name)?;
            let value = visible("header value", value, true).map_err(|_| unreadable(name))?;
            match name.to_ascii_lowercase().as_str() {
                "host" => {
                    host = host.or(Some(value));
                    continue;
                }
                "connection" | "content-length" | "transfer-encoding" | "expect" | "upgrade" | "te" | "trailer" => {
                    return Err(invalid("headers", format!("{name} is set by the check itself")));
                }
                "user-agent" => names_agent = true,
                _ => {}
            }
            after.extend([name, ": ", value, "\r\n"]);
        }
        if !names_agent {
            after.push_str("User-Agent: sealer-lvscare\r\n");
        }
        if check.body.len() > MAX_BODY {
            return Err(invalid("body", format!("{} bytes are more than 32 KiB", check.body.len())));
        }
        if !check.body.is_empty() {
            after.push_str(&format!("Content-Length: {}\r\n", check.body.len()));
        }
        after.push_str("\r\n");
        if before.len() + after.len() > MAX_HEAD {
            return Err(invalid("headers", "together with the path they are more than 16 KiB".to_owned()));
        }
        let mut after = after.into_bytes();
        after.extend_from_slice(&check.body);
        match host {
            None => Ok(Self::Around(before.into_bytes(), after)),
            Some(host) => {
                let host = visible("host", host, false)?;
                Ok(Self::Same([before.as_bytes(), host.as_bytes(), &after].concat()))
            }
        }
    }

    /// The bytes for this server.
    pub(super) fn bytes(&self, server: SocketAddr) -> Cow<'_, [u8]> {
        match self {
            Self::Same(bytes) => Cow::Borrowed(bytes),
            Self::Around(before, after) => {
                use std::io::Write as _;
                let mut bytes = Vec::with_capacity(before.len() + after.len() + 56);
                bytes.extend_from_slice(before);
                // Writing to a vector cannot fail.
                let _ = match server {
                    SocketAddr::V4(server) => write!(bytes, "{server}"),
                    // Without the zone, which means something to this host only (RFC 6874).
                    SocketAddr::V6(server) => write!(bytes, "[{}]:{}", server.ip(), server.port()),
                };
                bytes.extend_from_slice(after);
                Cow::Owned(bytes)
            }
        }
    }
}

/// Takes a method or header name (RFC 9110 section 5.6.2).
fn token<'a>(part: &'static str, text: &'a str) -> Result<&'a str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(good) {
        return Err(invalid(part, format!("{text:?} is not a word of letters, digits and -")));
    }
    Ok(text)
}

/// Takes text without control characters; blanks and other alphabets only when `free`.
fn visible<'a>(part: &'static str, text: &'a str, free: bool) -> Result<&'a str> {
    let good = |byte: u8| byte.is_ascii_graphic() || free && (byte == b' ' || byte == b'\t' || byte >= 0x80);
    if !text.bytes().all(good) || (text.is_empty() && part == "host") {
        return Err(invalid(part, format!("{text:?} has characters that cannot be sent (encode them as %XX)")));
    }
    Ok(text)
}

fn unreadable(header: &str) -> Error {
    invalid("headers", format!("the value of {header} has characters that cannot be sent"))
}

fn invalid(part: &'static str, reason: String) -> Error {
    Error::Check { part, reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(check: &HttpCheck, server: &str) -> String {
        String::from_utf8(Request::new(check).unwrap().bytes(server.parse().unwrap()).into_owned()).unwrap()
    }

    #[test]
    fn host_is_the_servers_own_address() {
        let check = HttpCheck { path: "readyz?verbose".to_owned(), ..HttpCheck::http() };
        let wanted = "GET /readyz?verbose HTTP/1.1\r\nHost: 10.0.0.1:6443\r\nUser-Agent: sealer-lvscare\r\n\r\n";
        assert_eq!(text(&check, "10.0.0.1:6443"), wanted);
        assert!(text(&check, "[fe80::1%3]:6443").contains("Host: [fe80::1]:6443\r\n"));
    }

    #[test]
    fn body_headers_and_host_are_sent() {
        let headers = vec![
            ("Host".to_owned(), "api.example".to_owned()),
            ("Authorization".to_owned(), "Bearer t".to_owned()),
            ("user-agent".to_owned(), "me".to_owned()),
        ];
        let check = HttpCheck { method: "POST".to_owned(), headers, body: b"{}".to_vec(), ..HttpCheck::http() };
        let wanted = "POST /healthz HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer t\r\nuser-agent: me\r\n\
                      Content-Length: 2\r\n\r\n{}";
        assert_eq!(text(&check, "10.0.0.1:6443"), wanted);
        assert!(!format!("{check:?}").contains("Bearer"), "secrets are not shown");
    }

    #[test]
    fn what_would_break_the_request_is_refused() {
        let plain = HttpCheck::http();
        let header = |name: &str, value: &str| HttpCheck {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..HttpCheck::http()
        };
        for bad in [
            HttpCheck { path: "/a b".to_owned(), ..plain.clone() },
            HttpCheck { path: "/a\r\nX: y".to_owned(), ..plain.clone() },
            HttpCheck { method: "GE T".to_owned(), ..plain.clone() },
            HttpCheck { method: String::new(), ..plain.clone() },
            HttpCheck { method: "connect".to_owned(), ..plain.clone() },
            HttpCheck { host: Some(String::new()), ..plain.clone() },
            HttpCheck { body: vec![0; MAX_BODY + 1], ..plain.clone() },
            header("X", "a\r\nY: b"),
            header("X Y", "a"),
            header("Content-Length", "7"),
            header("X", &"x".repeat(MAX_HEAD)),
        ] {
            assert!(Request::new(&bad).is_err(), "{bad:?}");
        }
        let secret = Request::new(&header("Authorization", "Bearer s3cret\n")).err().unwrap().to_string();
        assert!(secret.contains("Authorization") && !secret.contains("s3cret"), "{secret}");
    }
}
