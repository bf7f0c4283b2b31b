//! Registries over HTTPS: hosts and mirrors, trust, logins, retries.

mod authenticator;
mod certificates;
mod challenge;
mod endpoint;
mod options;
mod pinned;
mod registry;
mod token;
mod trust;

pub use options::Options;

use crate::error::{Error, Result};
use crate::login::Login;
use crate::resume;
use crate::wire::{self, Object};
use crate::{BlobStream, Digest, Manifest, Reference};
use authenticator::{Authenticator, Scope};
use bytes::Bytes;
use endpoint::{Endpoint, Endpoints, Scheme};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, RANGE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::Response;
use std::sync::Arc;
use std::time::Duration;
use trust::Clients;

/// A host that cannot even be connected to is tried this often.
const CONNECT_ATTEMPTS: u32 = 2;

/// Registries over HTTPS, and over HTTP where the options say so. Cheap to clone.
///
/// A login goes to the registry that it is for and to the token server that this registry names, and never along with a redirect to another
/// host. A token is asked for what a request needs, kept while it is good, and renewed once when the registry refuses it.
#[derive(Clone, Debug)]
pub struct Https {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoints: Endpoints,
    clients: Clients,
    authenticator: Authenticator,
    longest_retry_after: Option<Duration>,
}

impl Https {
    /// Checks the options. Nothing is sent before something is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] names the option that cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        let endpoints = Endpoints::new(&options)?;
        let (authenticator, longest_retry_after) = (Authenticator::new(&options), options.longest_retry_after);
        let clients = Clients::new(options)?;
        Ok(Self { shared: Arc::new(Shared { endpoints, clients, authenticator, longest_retry_after }) })
    }

    /// Reads the system's certificates now, so that the first request to `host` or one like it does not wait for that. What fails here is told by
    /// the first request.
    pub fn prepare(&self, host: &str) {
        let _ = self.shared.clients.transfer(Scheme::Https, host);
    }

    /// Asks a registry (`host[:port]`) whether it accepts a login, which is used for nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorised`] when it does not, and see [`Error`].
    pub async fn check_login(&self, registry: &str, login: &Login) -> Result<CheckedLogin> {
        let shared = &self.shared;
        let (_, endpoint) = shared.endpoints.of(registry);
        let scheme = shared.endpoints.scheme(&endpoint, &shared.clients).await?;
        let (login, was_asked_for) = shared.authenticator.check(&endpoint, scheme, login, &shared.clients).await?;
        Ok(CheckedLogin { login, was_asked_for })
    }
}

/// A login that a registry accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedLogin {
    /// What to keep: an identity token where the registry gives one, so that the password need not be kept.
    pub login: Login,
    /// Whether the registry asked for a login. If not, nobody knows whether this one is right.
    pub was_asked_for: bool,
}

impl Shared {
    /// Asks the mirrors of the registry in turn, then the registry itself.
    async fn everywhere<'a, T>(
        &self,
        object: &Object<'_>,
        ask: impl Fn(Endpoint) -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let (mirrors, own) = self.endpoints.of(object.image().registry());
        let mut failed = Vec::new();
        for mirror in mirrors {
            let host = mirror.host.clone();
            match ask(mirror).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failed.push(format!("{host}: {}", error_report::one_line(&error))),
            }
        }
        let host = own.host.clone();
        ask(own).await.map_err(|error| {
            if failed.is_empty() {
                return error;
            }
            Error::Everywhere { object: object.title(), host, mirrors: failed.join("; "), source: Box::new(error) }
        })
    }

    /// A manifest whose body breaks off is asked for again.
    async fn manifest(&self, endpoint: Endpoint, image: &Reference, accept: &str) -> Result<Manifest> {
        let mut failures = 0;
        loop {
            match self.manifest_once(&endpoint, image, accept).await {
                Err(Error::Interrupted { .. }) if failures + 1 < resume::ATTEMPTS => failures += 1,
                done => return done,
            }
            tokio::time::sleep(resume::wait(failures)).await;
        }
    }

    async fn manifest_once(&self, endpoint: &Endpoint, image: &Reference, accept: &str) -> Result<Manifest> {
        let object = Object::Manifest(image);
        let request = Call::get(endpoint, &object).header(ACCEPT, accept);
        let (headers, bytes) = self.document(endpoint, request).await?;
        wire::manifest(image, &endpoint.host, &headers, bytes)
    }

    /// The digest of a manifest without its bytes, as far as the host tells it.
    async fn manifest_digest(&self, endpoint: Endpoint, image: &Reference) -> Result<Digest> {
        let (object, accept) = (Object::Manifest(image), wire::accept(&[]));
        let call = Call { method: Method::HEAD, ..Call::get(&endpoint, &object) }.header(ACCEPT, &accept);
        let told = match self.send(&endpoint, &call).await {
            Ok(response) => wire::promised_digest(response.headers()),
            // Not every registry answers it.
            Err(Error::Answer { status: StatusCode::METHOD_NOT_ALLOWED, .. }) => None,
            Err(error) => return Err(error),
        };
        match told {
            Some(digest) => Ok(digest),
            None => Ok(self.manifest(endpoint, image, &accept).await?.digest),
        }
    }

    async fn tags(&self, endpoint: Endpoint, object: Object<'_>) -> Result<Vec<String>> {
        let mut tags = Vec::new();
        let mut next = Some(object.path(endpoint.is_mirror));
        while let Some(path) = next {
            let call = Call { path, ..Call::get(&endpoint, &object) };
            let (headers, page) = self.document(&endpoint, call).await?;
            next = wire::add_tags(&mut tags, &endpoint.host, &headers, &page)?;
        }
        Ok(tags)
    }

    /// Headers and body of an answer that is small.
    async fn document(&self, endpoint: &Endpoint, call: Call<'_>) -> Result<(HeaderMap, Bytes)> {
        let response = self.send(endpoint, &call).await?;
        let (title, host) = (call.object.title(), &endpoint.host);
        let headers = response.headers().clone();
        let body = response.bytes_stream().map_err(|error| trust::transport(&title, host, error));
        let bytes = wire::collect(body, wire::MANIFEST_LIMIT).await?;
        let too_large = || Error::TooLarge { object: title.clone(), host: host.clone(), limit: wire::MANIFEST_LIMIT };
        Ok((headers, bytes.ok_or_else(too_large)?))
    }

    async fn blob(&self, endpoint: Endpoint, object: Object<'_>, offset: u64) -> Result<BlobStream> {
        let mut call = Call::get(&endpoint, &object);
        if offset > 0 {
            call = call.header(RANGE, &format!("bytes={offset}-"));
        }
        let response = self.send(&endpoint, &call).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (host, title) = (endpoint.host.clone(), object.title());
        let body = response.bytes_stream().map_err(move |error| trust::transport(&title, &host, error));
        wire::blob(status, &headers, offset, body).ok_or_else(|| wire::refusal(&object, &endpoint.host, status, b""))
    }

    async fn size(&self, endpoint: Endpoint, object: Object<'_>) -> Result<Option<u64>> {
        let call = Call { method: Method::HEAD, ..Call::get(&endpoint, &object) };
        Ok(wire::length(self.send(&endpoint, &call).await?.headers()))
    }

    /// Sends the request until it succeeds, is refused for good, or failed too often.
    async fn send(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Response> {
        let mut failures = 0;
        let mut renewed = false;
        loop {
            let (error, wait) = match self.send_once(endpoint, call, call.body.clone().map(Into::into)).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                // An answer to a request for a part that is past the end.
                Ok(response)
                    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && call.headers.contains_key(RANGE) =>
                {
                    return Ok(response);
                }
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    continue;
                }
                Ok(response) => self.refusal(endpoint, call.object, response).await,
                Err(error) => (error, None),
            };
            failures += 1;
            let attempts = match error {
                Error::Unreachable { .. } => CONNECT_ATTEMPTS,
                _ if endpoint.is_mirror => CONNECT_ATTEMPTS,
                _ => resume::ATTEMPTS,
            };
            let wait = match wait.filter(|wait| !wait.is_zero()) {
                None => Some(resume::wait(failures)),
                Some(wait) => self.longest_retry_after.map(|longest| wait.min(longest)),
            };
            match wait.filter(|_| error.is_transient() && failures < attempts) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    async fn send_once(&self, endpoint: &Endpoint, call: &Call<'_>, body: Option<reqwest::Body>) -> Result<Response> {
        let scheme = self.endpoints.scheme(endpoint, &self.clients).await?;
        let scope = Scope::new(call.object, call.writes(), call.mounts_from.as_deref());
        let access = self.authenticator.access(endpoint, scheme, call.object, &scope, &self.clients).await?;
        let own = format!("{}://{}", scheme.as_str(), endpoint.host);
        let url = if call.path.starts_with('/') { format!("{own}{}", call.path) } else { call.path.clone() };
        let request = self.clients.transfer(scheme, &endpoint.host)?.request(call.method.clone(), &url);
        // A session may live on another host, which must not learn the login.
        let is_own = url.strip_prefix(&own).is_some_and(|rest| rest.starts_with('/'));
        let mut request = if is_own { access.apply(request) } else { request }.headers(call.headers.clone());
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await;
        let response = response.map_err(|error| trust::transport(&call.object.title(), &endpoint.host, error))?;
        // What a storage wants that it redirected to is not what the registry wants.
        let is_of_own = || reqwest::Url::parse(&own).is_ok_and(|own| own.origin() == response.url().origin());
        if response.status() == StatusCode::UNAUTHORIZED && is_of_own() {
            self.authenticator.refused(endpoint, &scope, &access, response.headers());
        }
        Ok(response)
    }

    /// What the answer means, and how long the registry wants to be left alone.
    async fn refusal(&self, endpoint: &Endpoint, object: &Object<'_>, response: Response) -> (Error, Option<Duration>) {
        let status = response.status();
        let seconds = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        let body = wire::collect(response.bytes_stream(), wire::REFUSAL_LIMIT).await.ok().flatten().unwrap_or_default();
        let wait = seconds.map(Duration::from_secs);
        let mut error = self.authenticator.explain(endpoint, wire::refusal(object, &endpoint.host, status, &body));
        if let Error::TooManyRequests { retry_after, .. } = &mut error {
            *retry_after = wait;
        }
        (error, wait)
    }
}

/// One request.
#[derive(Clone)]
struct Call<'a> {
    object: &'a Object<'a>,
    method: Method,
    /// Path and query on the host of the endpoint, or a whole URL.
    path: String,
    headers: HeaderMap,
    body: Option<Bytes>,
    /// The repository that a blob is to be taken from, which the token must allow to read.
    mounts_from: Option<String>,
}

impl<'a> Call<'a> {
    fn get(endpoint: &Endpoint, object: &'a Object<'a>) -> Self {
        let path = object.path(endpoint.is_mirror);
        Self { object, method: Method::GET, path, headers: HeaderMap::new(), body: None, mounts_from: None }
    }

    /// Adds a header; texts that no header may have are left out.
    fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    fn writes(&self) -> bool {
        matches!(self.object, Object::Upload(_)) || self.method == Method::PUT
    }
}
