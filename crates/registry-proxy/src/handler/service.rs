//! Dispatches requests to the handlers, and their failures to answers and events.

use super::response::{self, Answer, Failure};
use crate::integrity::Integrity;
use crate::names::{Names, Table};
use crate::route::{self, Refusal, Route};
use crate::{Event, Options};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use content_store::{Digest, Store};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// More transfers wait for others to end: each holds two chunks in memory.
const TRANSFER_LIMIT: usize = 512;

/// A router that answers the read side of the OCI distribution API from `content`.
///
/// Clones of the router share what they know: for many connections clone one rather than making many, so that each blob is compared with
/// its digest once.
pub fn service(content: Store, options: Options) -> Router {
    let names = Names::new(content.clone());
    let transfers = Arc::new(Semaphore::new(TRANSFER_LIMIT));
    let handler = Handler { content, names, integrity: Arc::default(), transfers, options };
    Router::new().fallback(answer).with_state(Arc::new(handler))
}

#[derive(Debug)]
pub(super) struct Handler {
    pub(super) content: Store,
    pub(super) integrity: Arc<Integrity>,
    pub(super) transfers: Arc<Semaphore>,
    pub(super) options: Options,
    names: Names,
}

async fn answer(State(handler): State<Arc<Handler>>, request: Request<Body>) -> Response<Body> {
    let (head, _body) = request.into_parts();
    let answered = match route::route(&head.method, head.uri.path(), head.uri.query()) {
        Err(refusal) => Err(refusal.into()),
        Ok(asked) => handler.clone().answer(asked, &head.method, &head.headers).await,
    };
    answered.unwrap_or_else(|failure| match failure {
        Failure::Refusal(refusal) => response::refuse(&refusal),
        Failure::Internal(reason) => {
            handler.tell(Event::Failed { request: format!("{} {}", head.method, head.uri.path()), reason });
            let message = "the registry cannot read its content; its log says why";
            response::refuse(&Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message))
        }
    })
}

impl Handler {
    async fn answer(self: Arc<Self>, asked: Route, method: &Method, headers: &HeaderMap) -> Answer {
        let is_head = method == Method::HEAD;
        match asked {
            Route::Version => response::json(&json!({}), is_head, None),
            Route::Manifest { place, reference } => self.manifest(place, reference, is_head, headers).await,
            Route::Blob { digest, .. } => self.blob(digest, is_head, headers).await,
            Route::Tags { place, page } => self.tags(place, page, is_head).await,
            Route::Catalog { page } => self.catalog(page, is_head).await,
        }
    }

    /// The names as they are now.
    pub(super) async fn table(self: &Arc<Self>) -> Result<Arc<Table>, Failure> {
        let this = self.clone();
        response::blocking(move || this.names.table()).await?.map_err(|error| Failure::caused_by(&error))
    }

    /// Tells that the blob does not have the bytes of its digest.
    pub(super) fn report_corrupt(&self, digest: Digest) {
        self.tell(Event::Corrupt { digest, path: self.content.blob_path(&digest) });
    }

    fn tell(&self, event: Event) {
        if let Some(events) = &self.options.events {
            events(event);
        }
    }
}
