//! How a request is answered from the content.

use crate::blob::{self, Blob, OnDamage};
use crate::document;
use crate::names::{self, Names, Table};
use crate::range::{self, Part};
use crate::route::{self, Asked, Page, Place, Refusal, Wanted};
use crate::soundness::{FileVersion, Soundness};
use crate::{Event, Options};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use content_store::{DOCUMENT_LIMIT, Digest, Error as ContentError, Store};
use futures_util::{Stream, StreamExt};
use http::header::{ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LINK};
use http::response::Builder;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// More transfers wait for others to end: each holds two chunks in memory.
const TRANSFER_LIMIT: usize = 512;

/// A router that answers the read side of the OCI distribution API from `content`.
pub fn service(content: Store, options: Options) -> Router {
    let names = Names::new(content.clone());
    let answerer = Answerer {
        content,
        names,
        soundness: Arc::default(),
        transfers: Arc::new(Semaphore::new(TRANSFER_LIMIT)),
        options,
    };
    Router::new().fallback(answer).with_state(Arc::new(answerer))
}

#[derive(Debug)]
struct Answerer {
    content: Store,
    names: Names,
    soundness: Arc<Soundness>,
    transfers: Arc<Semaphore>,
    options: Options,
}

/// Why there is no answer: the client's doing, or ours.
enum Failure {
    Refusal(Refusal),
    Internal(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

type Answer = Result<Response<Body>, Failure>;

async fn answer(State(answerer): State<Arc<Answerer>>, request: Request<Body>) -> Response<Body> {
    let (head, _body) = request.into_parts();
    let answered = match route::route(&head.method, head.uri.path(), head.uri.query()) {
        Err(refusal) => Err(refusal.into()),
        Ok(asked) => answerer.clone().answer(asked, &head.method, head.headers).await,
    };
    answered.unwrap_or_else(|failure| {
        let refusal = match failure {
            Failure::Refusal(refusal) => refusal,
            Failure::Internal(reason) => {
                answerer.tell(Event::Failed { request: format!("{} {}", head.method, head.uri.path()), reason });
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "UNKNOWN",
                    "the registry cannot read its content; its log says why",
                )
            }
        };
        refuse(&refusal)
    })
}

impl Answerer {
    async fn answer(self: Arc<Self>, asked: Asked, method: &Method, headers: HeaderMap) -> Answer {
        let is_head = method == Method::HEAD;
        match asked {
            Asked::Version => json_answer(&json!({}), is_head, None),
            Asked::Manifest { place, reference } => self.manifest(place, reference, is_head, headers).await,
            Asked::Blob { digest, .. } => self.blob(digest, is_head, headers).await,
            Asked::Tags { place, page } => self.tags(place, page, is_head).await,
            Asked::Catalog { page } => self.catalog(page, is_head).await,
        }
    }

    async fn manifest(self: Arc<Self>, place: Place, reference: Wanted, is_head: bool, headers: HeaderMap) -> Answer {
        let repository = place.repository.clone();
        let title = match &reference {
            Wanted::Tag(tag) => format!("{repository}:{tag}"),
            Wanted::Digest(digest) => format!("{repository}@{digest}"),
        };
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("{title} is not here"));
        let this = self.clone();
        let (digest, stored_as) = match reference {
            Wanted::Digest(digest) => (digest, None),
            Wanted::Tag(tag) => {
                let table = self.table().await?;
                let target = table.resolve(&place, &self.options.own_names, &tag).ok_or_else(unknown)?;
                (target.digest, Some(target.media_type.clone()))
            }
        };
        let read = blocking(move || this.content.read_verified(&digest, DOCUMENT_LIMIT)).await?;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(ContentError::Missing { .. } | ContentError::TooLarge { .. }) => return Err(unknown().into()),
            Err(ContentError::Damaged { .. }) => {
                self.tell(Event::Damaged { digest, path: self.content.blob_path(&digest) });
                return Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "MANIFEST_UNKNOWN",
                    format!("{title} is damaged here"),
                )
                .into());
            }
            Err(error) => return Err(Failure::Internal(whole(&error))),
        };
        let media_type = document::media_type(&bytes, stored_as.as_deref()).ok_or_else(unknown)?;
        let etag = format!("\"{digest}\"");
        let response = described(StatusCode::OK, &digest, &etag);
        if range::is_known(&headers, &etag) {
            return finish(response.status(StatusCode::NOT_MODIFIED), Body::empty());
        }
        let response = response.header(CONTENT_TYPE, media_type).header(CONTENT_LENGTH, bytes.len());
        finish(response, if is_head { Body::empty() } else { bytes.into() })
    }

    async fn blob(self: Arc<Self>, digest: Digest, is_head: bool, headers: HeaderMap) -> Answer {
        let this = self.clone();
        let opened = blocking(move || this.open(digest)).await?;
        let unknown = |message: String| Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message);
        let mut blob = opened?.ok_or_else(|| unknown(format!("{digest} is not here")))?;
        if self.soundness.get(&digest, blob.version) == Some(false) {
            return Err(unknown(format!("{digest} is damaged here")).into());
        }
        let etag = format!("\"{digest}\"");
        let size = blob.size;
        if range::is_known(&headers, &etag) {
            return finish(described(StatusCode::NOT_MODIFIED, &digest, &etag), Body::empty());
        }
        let response = |status| {
            described(status, &digest, &etag)
                .header(ACCEPT_RANGES, "bytes")
                .header(CONTENT_TYPE, "application/octet-stream")
        };
        let part = range::part(&headers, &etag, size);
        let (status, start, end) = match part {
            Part::Unsatisfiable => {
                let response =
                    response(StatusCode::RANGE_NOT_SATISFIABLE).header(CONTENT_RANGE, format!("bytes */{size}"));
                return finish(response, Body::empty());
            }
            Part::Whole => (StatusCode::OK, 0, size),
            Part::Range { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
        };
        let mut response = response(status).header(CONTENT_LENGTH, end - start);
        if status == StatusCode::PARTIAL_CONTENT {
            response = response.header(CONTENT_RANGE, format!("bytes {start}-{}/{size}", end - 1));
        }
        if is_head {
            return finish(response, Body::empty());
        }
        if (start, end) == (0, size) {
            let bytes = blob::whole(blob, self.soundness.clone(), self.clone().on_damage());
            return finish(response, self.transfer(bytes).await?);
        }
        if self.soundness.get(&digest, blob.version).is_none() {
            blob = self.clone().check(blob).await?.ok_or_else(|| unknown(format!("{digest} is damaged here")))?;
        }
        let bytes = blob::section(blob, start, end)
            .map_err(|error| Failure::Internal(format!("cannot read {digest}: {error}")))?;
        finish(response, self.transfer(bytes).await?)
    }

    /// Makes the bytes a body as soon as there is room for another transfer.
    async fn transfer(&self, bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Result<Body, Failure> {
        let place =
            self.transfers.clone().acquire_owned().await.map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(Body::from_stream(bytes.inspect(move |_| {
            // The place is taken until the stream is dropped.
            let _ = &place;
        })))
    }

    /// A part of a blob can only be trusted when all of it was read once.
    async fn check(self: Arc<Self>, mut blob: Blob) -> Result<Option<Blob>, Failure> {
        let checked = blocking(move || blob::is_sound(&mut blob).map(|is_sound| (blob, is_sound))).await?;
        let (blob, is_sound) = checked.map_err(|error| Failure::Internal(error.to_string()))?;
        self.soundness.set(blob.digest, blob.version, is_sound);
        if is_sound {
            return Ok(Some(blob));
        }
        self.on_damage()(blob.digest);
        Ok(None)
    }

    fn open(&self, digest: Digest) -> Result<Option<Blob>, Failure> {
        let file = match self.content.open_blob(&digest) {
            Ok(file) => file,
            Err(ContentError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(Failure::Internal(whole(&error))),
        };
        let metadata = file.metadata().map_err(|error| Failure::Internal(format!("cannot read {digest}: {error}")))?;
        Ok(Some(Blob { digest, size: metadata.len(), version: FileVersion::from(&metadata), file }))
    }

    async fn tags(self: Arc<Self>, place: Place, page: Page, is_head: bool) -> Answer {
        let table = self.table().await?;
        let unknown =
            || Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("{} is not here", place.repository));
        let tags = table.tags(&place, &self.options.own_names).ok_or_else(unknown)?;
        let (tags, last) = names::page(&tags, &page);
        let link = last.map(|last| next_page(&format!("/v2/{}/tags/list", place.repository), &page, last));
        json_answer(&json!({ "name": place.repository, "tags": tags }), is_head, link)
    }

    async fn catalog(self: Arc<Self>, page: Page, is_head: bool) -> Answer {
        let table = self.table().await?;
        let (repositories, last) = names::page(&table.repositories(), &page);
        let link = last.map(|last| next_page("/v2/_catalog", &page, last));
        json_answer(&json!({ "repositories": repositories }), is_head, link)
    }

    async fn table(self: &Arc<Self>) -> Result<Arc<Table>, Failure> {
        let this = self.clone();
        blocking(move || this.names.table()).await?.map_err(|error| Failure::Internal(whole(&error)))
    }

    fn on_damage(self: Arc<Self>) -> OnDamage {
        Arc::new(move |digest| self.tell(Event::Damaged { digest, path: self.content.blob_path(&digest) }))
    }

    fn tell(&self, event: Event) {
        if let Some(events) = &self.options.events {
            events(event);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|error| Failure::Internal(error.to_string()))
}

fn described(status: StatusCode, digest: &Digest, etag: &str) -> Builder {
    response(status).header("docker-content-digest", digest.to_string()).header(ETAG, etag)
}

fn response(status: StatusCode) -> Builder {
    Response::builder().status(status).header("docker-distribution-api-version", "registry/2.0")
}

fn finish(response: Builder, body: Body) -> Answer {
    response.body(body).map_err(|error| Failure::Internal(error.to_string()))
}

fn json_answer(value: &Value, is_head: bool, link: Option<String>) -> Answer {
    let text = value.to_string();
    let mut response =
        response(StatusCode::OK).header(CONTENT_TYPE, "application/json").header(CONTENT_LENGTH, text.len());
    if let Some(link) = link {
        response = response.header(LINK, link);
    }
    finish(response, if is_head { Body::empty() } else { text.into() })
}

fn next_page(path: &str, page: &Page, last: &str) -> String {
    format!("<{path}?n={}&last={last}>; rel=\"next\"", page.limit.unwrap_or_default())
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let body = json!({ "errors": [{ "code": refusal.code, "message": refusal.message }] }).to_string();
    let mut response = response(refusal.status).header(CONTENT_TYPE, "application/json");
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        response = response.header(ALLOW, "GET, HEAD");
    }
    response.body(body.into()).unwrap_or_else(|_| Response::new(Body::empty()))
}

/// The error with its causes on one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}
