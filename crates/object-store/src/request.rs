//! Builds, signs and sends requests.

use crate::error::{Error, Result};
use crate::options::{Kind, Options};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, RANGE};
use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Response;
use std::time::Duration;

/// What stands as it is in paths and queries of signed requests (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// As above, for keys: their slashes stay.
const RESERVED_IN_KEY: &AsciiSet = &RESERVED.remove(b'/');
const ATTEMPTS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest silence during a transfer.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read into memory, in bytes.
const ANSWER_LIMIT: usize = 16 << 20;
/// How much of a refusal is shown.
const MESSAGE_LIMIT: usize = 300;

/// One request about an object.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// The key without the prefix of the store; empty for the bucket itself.
    pub(crate) key: &'a str,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) range: Option<String>,
    pub(crate) body: Bytes,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, key: &'a str) -> Self {
        Self { method, key, query: Vec::new(), range: None, body: Bytes::new() }
    }
}

/// Signs with the login of a store.
enum Signer {
    S3(reqsign_core::Signer<reqsign_aws_v4::Credential>),
    Oss(reqsign_core::Signer<reqsign_aliyun_oss::Credential>),
}

/// Sends signed requests to one bucket.
pub(crate) struct Client {
    pub(crate) options: Options,
    /// Scheme and host, and the path that keys follow.
    base: (String, String),
    signer: Option<Signer>,
    http: reqwest::Client,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(options: Options) -> Result<Self> {
        let wrong = |option, reason: &str| Error::Option { option, reason: reason.to_owned() };
        let endpoint = options.endpoint.trim_end_matches('/');
        let (scheme, host) = endpoint
            .split_once("://")
            .filter(|(scheme, host)| matches!(*scheme, "http" | "https") && !host.is_empty() && !host.contains('/'))
            .ok_or_else(|| wrong("endpoint", "it is no URL of a host"))?;
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if options.bucket.is_empty() || !options.bucket.bytes().all(is_name) {
            return Err(wrong("bucket", "it is no name that a bucket may have"));
        }
        if options.path_style && options.kind == Kind::Oss {
            return Err(wrong("path style", "Alibaba OSS knows only the bucket in the name of the host"));
        }
        let base = match options.path_style {
            true => (format!("{scheme}://{host}"), format!("/{}/", options.bucket)),
            false => (format!("{scheme}://{}.{host}", options.bucket), "/".to_owned()),
        };
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(TIMEOUT).no_proxy();
        for pem in &options.extra_ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
            let certificates = certificates.map_err(|_| wrong("CA", "the text holds no certificate"))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| wrong("TLS settings", &error.to_string()))?;
        Ok(Self { signer: signer(&options), options, base, http })
    }

    /// Bucket and object, for messages.
    pub(crate) fn title(&self, key: &str) -> String {
        format!("{}/{}{key}", self.options.bucket, self.options.prefix)
    }

    /// A signed head; with `expires` the signature is in its URL.
    pub(crate) async fn sign(&self, call: &Call<'_>, expires: Option<Duration>) -> Result<Parts> {
        let fail = |source| Error::Sign { object: self.title(call.key), source };
        let (origin, path) = &self.base;
        let key = if call.key.is_empty() { String::new() } else { format!("{}{}", self.options.prefix, call.key) };
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let pairs: Vec<String> = call
            .query
            .iter()
            .map(
                |(name, value)| if value.is_empty() { (*name).to_owned() } else { format!("{name}={}", encode(value)) },
            )
            .collect();
        let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
        let url = format!("{origin}{path}{}{query}", utf8_percent_encode(&key, RESERVED_IN_KEY));
        let mut request = http::Request::builder().method(call.method.clone()).uri(url);
        if let Some(range) = &call.range {
            request = request.header(RANGE, range);
        }
        let mut parts = request.body(()).map_err(|error| fail(error.into()))?.into_parts().0;
        match &self.signer {
            None => {}
            Some(Signer::S3(signer)) => signer.sign(&mut parts, expires).await.map_err(|error| fail(error.into()))?,
            Some(Signer::Oss(signer)) => signer.sign(&mut parts, expires).await.map_err(|error| fail(error.into()))?,
        }
        Ok(parts)
    }

    /// Sends the request until it succeeds, is refused for good, or failed too often. What is not there is an answer.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Option<Response>> {
        let mut failures = 0;
        loop {
            let error = match self.once(call).await {
                Ok(response) if response.status().is_success() => return Ok(Some(response)),
                Ok(response) if response.status() == StatusCode::NOT_FOUND => return Ok(None),
                Ok(response) => self.refusal(call, response).await,
                Err(error) => error,
            };
            failures += 1;
            if !error.is_transient() || failures >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(FIRST_WAIT * 2_u32.pow(failures - 1)).await;
        }
    }

    /// The same for something that must be there.
    pub(crate) async fn expect(&self, call: &Call<'_>) -> Result<Response> {
        let missing = || Error::Refused {
            object: self.title(call.key),
            status: StatusCode::NOT_FOUND,
            message: "the bucket or the upload is not there".to_owned(),
        };
        self.send(call).await?.ok_or_else(missing)
    }

    async fn once(&self, call: &Call<'_>) -> Result<Response> {
        let parts = self.sign(call, None).await?;
        let mut request = self.http.request(parts.method, parts.uri.to_string()).headers(parts.headers);
        if call.method == Method::PUT || call.method == Method::POST {
            request = request.header(CONTENT_LENGTH, call.body.len()).body(call.body.clone());
        }
        request.send().await.map_err(|error| self.transport(call.key, error))
    }

    /// A connection that failed; URLs may hold a signature and are not told.
    pub(crate) fn transport(&self, key: &str, error: reqwest::Error) -> Error {
        Error::Transport { object: self.title(key), source: error.without_url().into() }
    }

    /// A whole answer.
    pub(crate) async fn text(&self, call: &Call<'_>, response: Response) -> Result<String> {
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| self.transport(call.key, error))?);
            if bytes.len() > ANSWER_LIMIT {
                return Err(self.odd(call.key, "it is too long"));
            }
        }
        String::from_utf8(bytes).map_err(|_| self.odd(call.key, "it is no text"))
    }

    pub(crate) fn odd(&self, key: &str, reason: &str) -> Error {
        Error::Answer { object: self.title(key), reason: reason.to_owned() }
    }

    async fn refusal(&self, call: &Call<'_>, response: Response) -> Error {
        let status = response.status();
        let text = self.text(call, response).await.unwrap_or_default();
        let part = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner.to_owned())
        };
        let message = [part("Code"), part("Message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let message = message.chars().filter(|letter| !letter.is_control()).take(MESSAGE_LIMIT).collect();
        Error::Refused { object: self.title(call.key), status, message }
    }
}

fn signer(options: &Options) -> Option<Signer> {
    use reqsign_aliyun_oss::SigningVersion;
    let (id, secret) = options.login.as_ref()?;
    let (id, secret) = (id.as_str(), secret.expose());
    let context = reqsign_core::Context::new();
    Some(match options.kind {
        Kind::S3 => {
            let provider = reqsign_aws_v4::StaticCredentialProvider::new(id, secret);
            let signer = reqsign_aws_v4::RequestSigner::new("s3", &options.region);
            Signer::S3(reqsign_core::Signer::new(context, provider, signer))
        }
        Kind::Oss => {
            let provider = reqsign_aliyun_oss::StaticCredentialProvider::new(id, secret);
            let signer = reqsign_aliyun_oss::RequestSigner::new(&options.bucket);
            let signer = signer.with_region(options.region.as_str()).with_signing_version(SigningVersion::V4);
            Signer::Oss(reqsign_core::Signer::new(context, provider, signer))
        }
    })
}
