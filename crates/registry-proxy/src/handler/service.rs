//! Dispatches requests to the handlers, and their failures to answers and events.

use super::access::Running;
use super::response::{self, Answer, Failure};
use crate::authenticator::{Authenticator, Client};
use crate::event::{Event, Reporter};
use crate::metrics::Metrics;
use crate::route::{self, Refusal, Route};
use crate::source::{Repository, Source, SourceError};
use crate::token::LIFETIME;
use crate::{ContentSource, Options};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use content_store::Digest;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// More transfers wait for others to end: each holds two chunks in memory.
const TRANSFER_LIMIT: usize = 128;
/// Manifests that are read into memory at once.
const DOCUMENTS: usize = 4;

/// A router that answers the OCI distribution API from `sources`, asked in order.
///
/// Clones of the router share what they know: for many connections clone one rather than making many.
pub fn service(sources: Vec<Arc<dyn Source>>, options: Options) -> Router {
    let reporter = options.reporter();
    let handler = Handler {
        sources,
        own_names: options.own_names,
        transfers: Arc::new(Semaphore::new(TRANSFER_LIMIT)),
        documents: Semaphore::new(DOCUMENTS),
        authenticator: options.htpasswd.map(|users| Authenticator::new(users, options.anonymous_pull)),
        anonymous_pull: options.anonymous_pull,
        push: options.push,
        delete: options.delete,
        scheme: if options.is_tls { "https" } else { "http" },
        access_log: options.access_log.then(|| reporter.clone()),
        metrics: Arc::default(),
        reporter,
    };
    Router::new().fallback(answer).with_state(Arc::new(handler))
}

#[derive(Debug)]
pub(super) struct Handler {
    pub(super) sources: Vec<Arc<dyn Source>>,
    pub(super) transfers: Arc<Semaphore>,
    pub(super) documents: Semaphore,
    pub(super) metrics: Arc<Metrics>,
    own_names: Vec<String>,
    authenticator: Option<Authenticator>,
    anonymous_pull: bool,
    push: Option<ContentSource>,
    delete: Option<ContentSource>,
    scheme: &'static str,
    access_log: Option<Reporter>,
    reporter: Reporter,
}

/// Marks a request of a client that may push, as far as its login goes.
#[derive(Clone, Copy)]
struct MayPush;

async fn answer(State(handler): State<Arc<Handler>>, request: Request<Body>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let mut running = Running::new(&head, handler.metrics.clone(), handler.access_log.clone());
    let asked = route::route(&head.method, head.uri.path(), head.uri.query());
    let response = match handler.admit(&asked, &head, &mut running).await {
        Err(response) => response,
        Ok(may_push) => {
            if may_push {
                head.extensions.insert(MayPush);
            }
            let answered = match asked {
                Err(refusal) => Err(refusal.into()),
                Ok(asked) => handler.answer(asked, &head, body).await,
            };
            answered.unwrap_or_else(|failure| match failure {
                Failure::Refusal(refusal) => response::refuse(&refusal),
                Failure::Internal(reason) => {
                    handler.tell_failed(&head, reason);
                    response::refuse(&unreadable())
                }
            })
        }
    };
    running.answered(response)
}

impl Handler {
    /// Whether the client may ask this, and push; else the answer that says what is missing.
    async fn admit(
        &self,
        asked: &Result<Route, Refusal>,
        head: &Parts,
        running: &mut Running,
    ) -> Result<bool, Response<Body>> {
        let Some(authenticator) = &self.authenticator else { return Ok(true) };
        if matches!(asked, Ok(Route::Health | Route::Token)) {
            return Ok(false);
        }
        let client = authenticator.client(head.headers.get(AUTHORIZATION)).await;
        // Clients learn from the version whether there are tokens; what they pull needs none.
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let is_pull = self.anonymous_pull
            && asked.as_ref().map_or(is_read, |asked| {
                !asked.is_write(&head.method) && !matches!(asked, Route::Version | Route::Metrics)
            });
        let is_version = self.anonymous_pull && matches!(asked, Ok(Route::Version));
        match client {
            Client::User(user) => {
                running.set_user(Some(user));
                return Ok(true);
            }
            Client::Anonymous if is_pull || is_version => return Ok(false),
            Client::Unknown if is_pull => return Ok(false),
            _ => {}
        }
        let message = "this registry wants a user name and a password for this";
        let mut response = response::refuse(&Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message));
        let repository = asked.as_ref().ok().and_then(Route::repository).map(|repository| repository.path.as_str());
        let challenge = authenticator.challenge(&self.base(head), repository);
        if let Ok(challenge) = challenge.parse() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        Err(response)
    }

    async fn answer(&self, asked: Route, head: &Parts, body: Body) -> Answer {
        let meant = |repository| self.meant(repository);
        match asked {
            Route::Version => response::json(&json!({}), head, None),
            Route::Health => text("ok\n".to_owned()),
            Route::Metrics => text(self.metrics.text()),
            Route::Token => self.token(head).await,
            Route::Manifest { repository, reference, tags } => match head.method {
                Method::PUT => self.put_manifest(&meant(repository), &reference, tags, head, body).await,
                Method::DELETE => self.delete_manifest(&meant(repository), &reference).await,
                _ => self.manifest(&meant(repository), &reference, head).await,
            },
            Route::Blob { repository, digest } if head.method == Method::DELETE => {
                self.delete_blob(&meant(repository), digest).await
            }
            Route::Blob { repository, digest } => self.blob(&meant(repository), &digest, head).await,
            Route::Uploads { repository, digest, mount } => {
                self.start_upload(&meant(repository), digest, mount, body).await
            }
            Route::Upload { repository, id, digest } => self.upload(&meant(repository), &id, digest, head, body).await,
            Route::Referrers { repository, subject, artifact_type, after } => {
                self.referrers(&meant(repository), &subject, artifact_type.as_deref(), after, head).await
            }
            Route::Tags { repository, page } => self.tags(&meant(repository), &page, head).await,
            Route::Catalog { page } => self.catalog(&page, head).await,
        }
    }

    /// A token for the login of the request, or for nobody.
    async fn token(&self, head: &Parts) -> Answer {
        let authenticator = self.authenticator.as_ref().filter(|_| self.anonymous_pull);
        let Some(authenticator) = authenticator else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "this registry gives no tokens").into());
        };
        match authenticator.token(head.headers.get(AUTHORIZATION)).await {
            Some(token) => {
                let answer = json!({ "token": token, "access_token": token, "expires_in": LIFETIME });
                response::json(&answer, head, None)
            }
            None => Err(Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "the login is wrong").into()),
        }
    }

    /// Keeps a blob that a client looks for and may push an image of.
    pub(super) async fn keep(&self, digest: &Digest) {
        if let Some(content) = &self.push {
            // Without the mark a collection may be faster than the push, which is then told so.
            let _ = content.adopt(*digest).await;
        }
    }

    /// Whether a client that may push looks whether something is here already.
    pub(super) fn is_before_push(&self, repository: &Repository, head: &Parts) -> bool {
        let is_admitted = head.extensions.get::<MayPush>().is_some();
        is_admitted && head.method == Method::HEAD && self.pusher(repository).is_ok()
    }

    /// Where to push to.
    pub(super) fn pusher(&self, repository: &Repository) -> Result<&ContentSource, Refusal> {
        writable(self.push.as_ref(), repository, "takes no pushes")
    }

    /// Where to delete.
    pub(super) fn deleter(&self, repository: &Repository) -> Result<&ContentSource, Refusal> {
        writable(self.delete.as_ref(), repository, "deletes nothing")
    }

    /// The start of the addresses that clients are told.
    fn base(&self, head: &Parts) -> String {
        let host = head.uri.authority().map(|authority| authority.as_str());
        let host = host.or_else(|| head.headers.get(HOST)?.to_str().ok()).unwrap_or_default();
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
        let host = if !host.is_empty() && host.bytes().all(is_sound) { host } else { "localhost" };
        format!("{}://{host}", self.scheme)
    }

    /// The repository, its registry left open when the client names this one.
    fn meant(&self, repository: Repository) -> Repository {
        let registry = repository.registry.filter(|name| !self.own_names.contains(name));
        Repository { registry, ..repository }
    }

    /// For the answers of sources that do not have what `head` asks for.
    pub(super) fn misses<'a>(&'a self, head: &'a Parts) -> Misses<'a> {
        Misses { handler: self, head, is_corrupt: false, has_failed: false }
    }

    fn tell_failed(&self, head: &Parts, reason: String) {
        self.reporter.tell(Event::Failed { request: format!("{} {}", head.method, head.uri.path()), reason });
    }
}

/// Why no source has given an answer so far.
#[derive(Debug)]
pub(super) struct Misses<'a> {
    handler: &'a Handler,
    head: &'a Parts,
    is_corrupt: bool,
    has_failed: bool,
}

impl Misses<'_> {
    /// What a source said; of one that failed the failure is told, and the next one may answer.
    pub(super) fn of<T>(&mut self, answer: Result<T, SourceError>) -> Option<T> {
        match answer {
            Ok(answer) => return Some(answer),
            Err(SourceError::Corrupt { .. }) => self.is_corrupt = true,
            Err(SourceError::Failed(error)) => {
                self.has_failed = true;
                self.handler.tell_failed(self.head, error_report::one_line(&*error));
            }
        }
        None
    }

    /// Whether a source could not be asked.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The refusal when no source has the object; with `is_missing` also when one could not be asked.
    pub(super) fn failure(&self, code: &'static str, object: &str, is_missing: bool) -> Failure {
        let reason = if self.is_corrupt { "corrupt here" } else { "not here" };
        match self.has_failed && !is_missing {
            true => unreadable().into(),
            false => Refusal::new(StatusCode::NOT_FOUND, code, format!("{object} is {reason}")).into(),
        }
    }
}

fn writable<'a>(
    content: Option<&'a ContentSource>,
    repository: &Repository,
    refusal: &str,
) -> Result<&'a ContentSource, Refusal> {
    let denied = |status, code, message: String| Err(Refusal::new(status, code, message));
    match content {
        None => denied(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("this registry {refusal}")),
        Some(_) if repository.registry.is_some() => {
            denied(StatusCode::FORBIDDEN, "DENIED", "only this registry's own names can be changed".to_owned())
        }
        Some(content) => Ok(content),
    }
}

fn text(text: String) -> Answer {
    response::finish(Response::builder().header(CONTENT_TYPE, "text/plain; version=0.0.4"), text.into())
}

fn unreadable() -> Refusal {
    let message = "the registry cannot read its content; its log says why";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message)
}
