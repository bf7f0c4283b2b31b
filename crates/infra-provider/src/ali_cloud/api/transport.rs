//! Sends HTTP requests and reads bounded responses.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use clusterfile::Secret;
use http::{Request, Response, header};

use crate::Cause;

/// Carries one request and its answer. Implementations neither retry nor follow redirections.
#[async_trait]
pub trait Transport: Send + Sync + Debug {
    /// Sends `request`, whose URI is absolute, and gives the whole answer, whatever its status.
    ///
    /// # Errors
    /// There is no complete answer after `timeout`, or there will be none.
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, TransportFailure>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportFailure {
    /// No connection came about; the server knows nothing of the request.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the network said.
        #[source]
        source: Cause,
    },
    /// The answer did not come in time.
    #[error("{host} gave no answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// Host and port.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to {host} broke off")]
    Interrupted {
        /// Host and port.
        host: String,
        /// What the network said.
        #[source]
        source: Cause,
    },
    /// More came than any answer of this cloud should have.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLong {
        /// Host and port.
        host: String,
        /// How long an answer may be.
        limit: usize,
    },
    /// The request could not be put into HTTP.
    #[error("the request to {host} cannot be sent")]
    Unsendable {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up")]
    Setup {
        /// Why: bad proxy address, no certificates.
        #[source]
        source: Cause,
    },
}

impl TransportFailure {
    /// Whether the server may have got the request, and done what it says.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Interrupted { .. } | Self::TooLong { .. } => true,
            Self::Unreachable { .. } | Self::Unsendable { .. } | Self::Setup { .. } => false,
        }
    }
}

/// How [`HttpTransport`] connects.
///
/// ```
/// use infra_provider::ali_cloud::api::HttpOptions;
///
/// let mut options = HttpOptions::new();
/// options.no_proxy = Some("127.0.0.1".to_owned());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Proxy for all requests, as `http://[user:password@]host:port`.
    pub proxy: Option<Secret>,
    /// Hosts to reach without the proxy, comma-separated as in `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer may be, in bytes.
    pub max_answer: usize,
}

impl HttpOptions {
    /// No proxy, 10 s for a connection, 8 MiB for an answer.
    #[must_use]
    pub const fn new() -> Self {
        Self { proxy: None, no_proxy: None, connect_timeout: Duration::from_secs(10), max_answer: 8 << 20 }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// HTTP over TCP and TLS, with a pool of connections. Made once and shared.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    max_answer: usize,
}

impl HttpTransport {
    /// Sets the client up; connects nowhere.
    ///
    /// # Errors
    /// The proxy is no address, or this machine has no certificates to trust.
    pub fn new(options: &HttpOptions) -> Result<Self, TransportFailure> {
        let setup = |error: reqwest::Error| TransportFailure::Setup { source: error.without_url().into() };
        let mut builder = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy();
        if let Some(proxy) = &options.proxy {
            let direct = options.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
            builder = builder.proxy(reqwest::Proxy::all(proxy.expose()).map_err(setup)?.no_proxy(direct));
        }
        Ok(Self { client: builder.build().map_err(setup)?, max_answer: options.max_answer })
    }

    async fn exchange(&self, request: reqwest::Request, host: &str) -> Result<Response<Bytes>, TransportFailure> {
        let failed = |error: reqwest::Error| failure(error, host);
        let too_long = || TransportFailure::TooLong { host: host.to_owned(), limit: self.max_answer };
        let mut answer = self.client.execute(request).await.map_err(failed)?;
        if answer.content_length().is_some_and(|length| length > self.max_answer as u64) {
            return Err(too_long());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.max_answer {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        let mut whole = Response::new(body.freeze());
        *whole.status_mut() = answer.status();
        *whole.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(whole)
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, mut request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, TransportFailure> {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        // The client writes it itself, and differently for each version of HTTP.
        request.headers_mut().remove(header::HOST);
        let request = reqwest::Request::try_from(request)
            .map_err(|error| TransportFailure::Unsendable { host: host.clone(), source: error.without_url().into() })?;
        match tokio::time::timeout(timeout, self.exchange(request, &host)).await {
            Ok(answered) => answered,
            Err(_) => Err(TransportFailure::TimedOut { host, after: timeout }),
        }
    }
}

/// What a failed exchange means. The URL is taken out of the error: it holds every parameter.
fn failure(error: reqwest::Error, host: &str) -> TransportFailure {
    let error = error.without_url();
    let host = host.to_owned();
    if error.is_builder() {
        TransportFailure::Unsendable { host, source: error.into() }
    } else if error.is_connect() {
        TransportFailure::Unreachable { host, source: error.into() }
    } else {
        TransportFailure::Interrupted { host, source: error.into() }
    }
}
