//! Dispatches requests to the handlers, and their failures to answers and events.

use super::response::{self, Answer, Failure};
use crate::Options;
use crate::authenticator::Authenticator;
use crate::event::{Event, Reporter};
use crate::route::{self, Refusal, Route};
use crate::source::{Repository, Source, SourceError};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// More transfers wait for others to end: each holds two chunks in memory.
const TRANSFER_LIMIT: usize = 128;

/// A router that answers the read side of the OCI distribution API from `sources`, asked in order.
///
/// Clones of the router share what they know: for many connections clone one rather than making many.
pub fn service(sources: Vec<Arc<dyn Source>>, options: Options) -> Router {
    let reporter = options.reporter();
    let transfers = Arc::new(Semaphore::new(TRANSFER_LIMIT));
    let authenticator = options.htpasswd.map(Authenticator::new);
    let handler = Handler { sources, own_names: options.own_names, transfers, authenticator, reporter };
    Router::new().fallback(answer).with_state(Arc::new(handler))
}

#[derive(Debug)]
pub(super) struct Handler {
    pub(super) sources: Vec<Arc<dyn Source>>,
    pub(super) transfers: Arc<Semaphore>,
    own_names: Vec<String>,
    authenticator: Option<Authenticator>,
    reporter: Reporter,
}

async fn answer(State(handler): State<Arc<Handler>>, request: Request<Body>) -> Response<Body> {
    let (head, _body) = request.into_parts();
    if let Some(authenticator) = &handler.authenticator
        && !authenticator.admits(head.headers.get(AUTHORIZATION)).await
    {
        let message = "this registry wants a user name and a password";
        return response::refuse(&Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message));
    }
    let answered = match route::route(&head.method, head.uri.path(), head.uri.query()) {
        Err(refusal) => Err(refusal.into()),
        Ok(asked) => handler.answer(asked, &head).await,
    };
    answered.unwrap_or_else(|failure| match failure {
        Failure::Refusal(refusal) => response::refuse(&refusal),
        Failure::Internal(reason) => {
            handler.tell_failed(&head, reason);
            response::refuse(&unreadable())
        }
    })
}

impl Handler {
    async fn answer(&self, asked: Route, head: &Parts) -> Answer {
        match asked {
            Route::Version => response::json(&json!({}), head, None),
            Route::Manifest { repository, reference } => self.manifest(&self.meant(repository), &reference, head).await,
            Route::Blob { repository, digest } => self.blob(&self.meant(repository), &digest, head).await,
            Route::Tags { repository, page } => self.tags(&self.meant(repository), &page, head).await,
            Route::Catalog { page } => self.catalog(&page, head).await,
        }
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

    /// The refusal when no source has the object.
    pub(super) fn failure(&self, code: &'static str, object: &str) -> Failure {
        let reason = if self.is_corrupt { "corrupt here" } else { "not here" };
        match self.has_failed {
            true => unreadable().into(),
            false => Refusal::new(StatusCode::NOT_FOUND, code, format!("{object} is {reason}")).into(),
        }
    }
}

fn unreadable() -> Refusal {
    let message = "the registry cannot read its content; its log says why";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message)
}
