//! Decodes requests; nothing of them is trusted yet.

use bytes::Bytes;
use http::{HeaderMap, Request};

use crate::failure::{Failure, Outcome};

/// The largest body that is read; the cloud's own limit is about the same.
const BODY_LIMIT: usize = 1 << 20;

/// One request with its parameters decoded.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Vec<(String, String)>,
    /// Only of a body that says it is a form.
    pub(crate) form: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Received {
    /// Decodes the address and, when it is a form, the body.
    pub(crate) fn read(request: Request<Bytes>) -> Outcome<Received> {
        let (head, body) = request.into_parts();
        if body.len() > BODY_LIMIT {
            return Err(Failure::new(413, "RequestEntityTooLarge", "the body is too large"));
        }
        let host = head.headers.get("host").and_then(|value| value.to_str().ok()).map(str::to_string);
        let host = host.or_else(|| head.uri.authority().map(ToString::to_string)).unwrap_or_default();
        let kind = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_form = kind.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded";
        let text = std::str::from_utf8(&body).unwrap_or_default();
        Ok(Received {
            method: head.method.to_string(),
            path: head.uri.path().to_string(),
            host,
            query: pairs(head.uri.query().unwrap_or_default())?,
            form: if is_form { pairs(text)? } else { Vec::new() },
            headers: head.headers,
            body,
        })
    }

    /// The text of a header; nothing when it is not there or is no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Splits and decodes `a=b&c=d`.
fn pairs(text: &str) -> Outcome<Vec<(String, String)>> {
    let split = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decode(name)?, decode(value)?))
    };
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| split(part).ok_or_else(|| Failure::new(400, "InvalidParameter", "a parameter cannot be decoded")))
        .collect()
}

/// Undoes form encoding: `+` is a space, `%XX` a byte; nothing when it is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? * 16 + hex(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_ways_to_write_a_space_are_read() {
        assert_eq!(decode("a+b%20c%2B%e4%B8%AD").unwrap(), "a b c+中");
        assert!(decode("%4").is_none());
        assert!(decode("%ff").is_none());
        assert_eq!(pairs("a=&b&c=1=2").unwrap()[2], ("c".to_string(), "1=2".to_string()));
    }
}
