//! Signs and sends requests to a double, by either scheme.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cloud_double::{Double, Lost};
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, Response};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Which scheme, which key, and what time the caller believes it is.
pub(crate) struct Caller {
    pub(crate) double: Double,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    pub(crate) first_scheme: bool,
    /// Seconds that the caller's clock is ahead.
    pub(crate) ahead: i64,
    pub(crate) region: String,
    /// Instead of the version that follows from the action.
    pub(crate) version: Option<&'static str>,
    nonce: Cell<u64>,
}

/// A refusal, as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retry_after: Option<u64>,
}

impl Caller {
    pub(crate) fn new(double: Double) -> Caller {
        Caller {
            double,
            id: "testid".to_string(),
            secret: "testsecret".to_string(),
            token: None,
            first_scheme: false,
            ahead: 0,
            region: "cn-chengdu".to_string(),
            version: None,
            nonce: Cell::new(0),
        }
    }

    /// Calls an action in the caller's region. The version follows from the action.
    pub(crate) async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Value, Refusal> {
        let answer = self.send(self.request(action, parameters)).await.unwrap();
        read(&answer)
    }

    pub(crate) async fn code(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        match self.call(action, parameters).await {
            Ok(_) => "done".to_string(),
            Err(refusal) => refusal.code,
        }
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Lost> {
        self.double.handle(request).await
    }

    pub(crate) fn request(&self, action: &str, parameters: &[(&str, &str)]) -> Request<Bytes> {
        let vpc = ["Vpc", "VSwitch", "Eip", "UnTag"].iter().any(|part| action.contains(part));
        let version = self.version.unwrap_or(if vpc { "2016-04-28" } else { "2014-05-26" });
        let mut pairs: Vec<(String, String)> =
            parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        if !parameters.iter().any(|(name, _)| *name == "RegionId") && !self.region.is_empty() {
            pairs.push(("RegionId".to_string(), self.region.clone()));
        }
        self.nonce.set(self.nonce.get() + 1);
        let nonce = format!("nonce-{}", self.nonce.get());
        if self.first_scheme {
            self.v1(action, version, pairs, nonce)
        } else {
            self.v3(action, version, &pairs, &nonce)
        }
    }

    fn v1(&self, action: &str, version: &str, mut pairs: Vec<(String, String)>, nonce: String) -> Request<Bytes> {
        let common = [
            ("Action", action.to_string()),
            ("Version", version.to_string()),
            ("Format", "JSON".to_string()),
            ("AccessKeyId", self.id.clone()),
            ("SignatureMethod", "HMAC-SHA1".to_string()),
            ("SignatureVersion", "1.0".to_string()),
            ("SignatureNonce", nonce),
            ("Timestamp", self.time()),
        ];
        pairs.extend(common.map(|(name, value)| (name.to_string(), value)));
        pairs.extend(self.token.iter().map(|token| ("SecurityToken".to_string(), token.clone())));
        let canonical = canonical(&pairs);
        let text = format!("POST&%2F&{}", encode(&canonical));
        let mac = Hmac::<Sha1>::new_from_slice(format!("{}&", self.secret).as_bytes()).unwrap().chain_update(text);
        let signature = encode(&STANDARD.encode(mac.finalize().into_bytes()));
        Request::post(format!("http://127.0.0.1/?{canonical}&Signature={signature}")).body(Bytes::new()).unwrap()
    }

    fn v3(&self, action: &str, version: &str, pairs: &[(String, String)], nonce: &str) -> Request<Bytes> {
        let query = canonical(pairs);
        let mut headers = vec![
            ("host", "127.0.0.1".to_string()),
            ("x-acs-action", action.to_string()),
            ("x-acs-content-sha256", hex::encode(Sha256::digest(b""))),
            ("x-acs-date", self.time()),
            ("x-acs-signature-nonce", nonce.to_string()),
            ("x-acs-version", version.to_string()),
        ];
        headers.extend(self.token.iter().map(|token| ("x-acs-security-token", token.clone())));
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = names.join(";");
        let canonical = format!("POST\n/\n{query}\n{lines}\n{names}\n{}", hex::encode(Sha256::digest(b"")));
        let text = format!("ACS3-HMAC-SHA256\n{}", hex::encode(Sha256::digest(canonical)));
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap().chain_update(text);
        let signature = hex::encode(mac.finalize().into_bytes());
        let mut request = Request::post(format!("http://127.0.0.1/?{query}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let value = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", self.id);
        request.header("authorization", value).body(Bytes::new()).unwrap()
    }

    fn time(&self) -> String {
        let shift = Duration::from_secs(self.ahead.unsigned_abs());
        let wall: SystemTime = if self.ahead < 0 { self.double.wall() - shift } else { self.double.wall() + shift };
        OffsetDateTime::from(wall).replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()
    }
}

pub(crate) fn read(answer: &Response<Bytes>) -> Result<Value, Refusal> {
    let value: Value = serde_json::from_slice(answer.body()).unwrap();
    assert!(value["RequestId"].as_str().is_some_and(|id| id.len() == 36), "{value}");
    if answer.status() == 200 {
        return Ok(value);
    }
    let text = |name: &str| value[name].as_str().unwrap().to_string();
    let retry_after = answer.headers().get("x-acs-retry-after");
    Err(Refusal {
        status: answer.status().as_u16(),
        code: text("Code"),
        message: text("Message"),
        retry_after: retry_after.map(|value| value.to_str().unwrap().parse().unwrap()),
    })
}

fn canonical(pairs: &[(String, String)]) -> String {
    let mut encoded: Vec<(String, String)> = pairs.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    encoded.sort();
    encoded.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encode(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
