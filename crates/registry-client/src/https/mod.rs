//! Registries of the outside world: which host is asked, with which trust and login, and how patiently.

mod authenticator;
mod endpoint;
mod login;
mod options;
mod trust;

pub use options::Options;

use crate::error::{Error, Result};
use crate::resume::{self, Retry};
use crate::wire::{self, Object};
use crate::{BlobStream, ImageName, Manifest, Registry, name};
use async_trait::async_trait;
use authenticator::Authenticator;
use endpoint::{Endpoint, Endpoints};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, RANGE, RETRY_AFTER};
use http::{Method, StatusCode};
use reqwest::Response;
use std::sync::Arc;
use std::time::Duration;
use trust::Clients;

const RETRY: Retry =
    Retry { attempts: 5, first_wait: Duration::from_millis(200), longest_wait: Duration::from_secs(5) };
/// A host that cannot even be connected to is tried this often.
const CONNECT_ATTEMPTS: u32 = 2;
/// The longest wait that a registry may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Registries over HTTPS, and over HTTP where the options say so. Cheap to clone.
///
/// Token exchange is oci-client's; the transfers are done here, because they need limits, ranges, media types, and the reason of a refusal.
#[derive(Clone, Debug)]
pub struct Https {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoints: Endpoints,
    clients: Clients,
    authenticator: Authenticator,
}

impl Https {
    /// Checks the options. Nothing is sent before something is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] names the option that cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        let endpoints = Endpoints::new(&options)?;
        let authenticator = Authenticator::new(&options)?;
        let clients = Clients::new(options)?;
        Ok(Self { shared: Arc::new(Shared { endpoints, clients, authenticator }) })
    }

    async fn open_blob(self, image: ImageName, digest: String, offset: u64) -> Result<BlobStream> {
        let object = Object::Blob(&image, &digest);
        self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.blob(endpoint, object, offset))).await
    }
}

#[async_trait]
impl Registry for Https {
    async fn manifest(&self, image: &ImageName, accept: &[&str]) -> Result<Manifest> {
        image.check()?;
        let object = Object::Manifest(image);
        let accept = wire::accept(accept);
        self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.manifest(endpoint, image, &accept))).await
    }

    async fn blob(&self, image: &ImageName, digest: &str, offset: u64) -> Result<BlobStream> {
        image.check()?;
        name::check_digest(digest)?;
        let (image, digest) = (image.clone(), digest.to_owned());
        let first = self.clone().open_blob(image.clone(), digest.clone(), offset).await?;
        let (object, host) = (Object::Blob(&image, &digest).title(), image.registry.clone());
        let broken = move || Error::Interrupted {
            object: object.clone(),
            host: host.clone(),
            source: "it ended at the wrong place".into(),
        };
        let again = self.clone();
        let open: resume::Open =
            Box::new(move |offset| Box::pin(again.clone().open_blob(image.clone(), digest.clone(), offset)));
        Ok(resume::resuming(first, offset, RETRY, open, broken))
    }

    async fn blob_exists(&self, image: &ImageName, digest: &str) -> Result<Option<u64>> {
        image.check()?;
        name::check_digest(digest)?;
        let object = Object::Blob(image, digest);
        let found = self.shared.everywhere(&object, |endpoint| Box::pin(self.shared.size(endpoint, object))).await;
        match found {
            Err(error) if error.is_not_found() => Ok(None),
            done => done,
        }
    }
}

impl Shared {
    /// Asks the mirrors of the registry in turn, then the registry itself.
    async fn everywhere<'a, T>(
        &self,
        object: &Object<'_>,
        ask: impl Fn(Endpoint) -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let (mirrors, own) = self.endpoints.of(&object.image().registry);
        let mut failed = Vec::new();
        for mirror in mirrors {
            let host = mirror.host.clone();
            match ask(mirror).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failed.push(format!("{host}: {}", whole(&error))),
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
    async fn manifest(&self, endpoint: Endpoint, image: &ImageName, accept: &str) -> Result<Manifest> {
        let mut failures = 0;
        loop {
            match self.manifest_once(&endpoint, image, accept).await {
                Err(Error::Interrupted { .. }) if failures + 1 < RETRY.attempts => failures += 1,
                done => return done,
            }
            tokio::time::sleep(RETRY.wait(failures)).await;
        }
    }

    async fn manifest_once(&self, endpoint: &Endpoint, image: &ImageName, accept: &str) -> Result<Manifest> {
        let object = Object::Manifest(image);
        let response = self.send(endpoint, Method::GET, &object, 0, Some(accept)).await?;
        let headers = response.headers().clone();
        let body = response.bytes_stream().map_err(|error| trust::transport(&object.title(), &endpoint.host, error));
        let bytes = wire::collect(body, wire::MANIFEST_LIMIT).await?;
        let too_large =
            || Error::TooLarge { object: object.title(), host: endpoint.host.clone(), limit: wire::MANIFEST_LIMIT };
        wire::manifest(image, &endpoint.host, &headers, bytes.ok_or_else(too_large)?)
    }

    async fn blob(&self, endpoint: Endpoint, object: Object<'_>, offset: u64) -> Result<BlobStream> {
        let response = self.send(&endpoint, Method::GET, &object, offset, None).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (host, title) = (endpoint.host.clone(), object.title());
        let body = response.bytes_stream().map_err(move |error| trust::transport(&title, &host, error));
        wire::blob(status, &headers, offset, body).ok_or_else(|| wire::refusal(&object, &endpoint.host, status, b""))
    }

    async fn size(&self, endpoint: Endpoint, object: Object<'_>) -> Result<Option<u64>> {
        let response = self.send(&endpoint, Method::HEAD, &object, 0, None).await?;
        Ok(wire::length(response.headers()))
    }

    /// Sends the request until it succeeds, is refused for good, or failed too often.
    async fn send(
        &self,
        endpoint: &Endpoint,
        method: Method,
        object: &Object<'_>,
        offset: u64,
        accept: Option<&str>,
    ) -> Result<Response> {
        let mut failures = 0;
        let mut renewed = false;
        loop {
            let (error, wait) = match self.send_once(endpoint, &method, object, offset, accept).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && offset > 0 => {
                    return Ok(response);
                }
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    self.authenticator.forget(endpoint, object);
                    continue;
                }
                Ok(response) => self.refusal(endpoint, object, response).await,
                Err(error) => (error, None),
            };
            failures += 1;
            let attempts = match error {
                Error::Unreachable { .. } => CONNECT_ATTEMPTS,
                _ if endpoint.is_mirror => CONNECT_ATTEMPTS,
                _ => RETRY.attempts,
            };
            if !error.is_transient() || failures >= attempts {
                return Err(error);
            }
            tokio::time::sleep(wait.unwrap_or_else(|| RETRY.wait(failures))).await;
        }
    }

    async fn send_once(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        object: &Object<'_>,
        offset: u64,
        accept: Option<&str>,
    ) -> Result<Response> {
        let scheme = self.endpoints.scheme(endpoint, &self.clients).await?;
        let access = self.authenticator.access(endpoint, scheme, object, &self.clients).await?;
        let url = format!("{}://{}{}", scheme.as_str(), endpoint.host, object.path(endpoint.is_mirror));
        let mut request = access.apply(self.clients.transfer(scheme, &endpoint.host)?.request(method.clone(), url));
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        request.send().await.map_err(|error| trust::transport(&object.title(), &endpoint.host, error))
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
        let error = self.authenticator.explain(endpoint, wire::refusal(object, &endpoint.host, status, &body));
        (error, seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER)))
    }
}

/// The error with its causes on one line.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
