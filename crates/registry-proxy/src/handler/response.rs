//! Builds answers and refusals in the form of the distribution API.

use crate::route::{Page, Refusal};
use axum::body::Body;
use content_store::{Digest, Error as ContentError};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LINK, LOCATION};
use http::request::Parts;
use http::response::Builder;
use http::{Method, Response, StatusCode};
use serde_json::Value;

/// What becomes of a request.
pub(super) type Answer = Result<Response<Body>, Failure>;

/// Why there is no answer: the client's doing, or ours.
#[derive(Debug)]
pub(super) enum Failure {
    Refusal(Refusal),
    Internal(String),
}

impl Failure {
    /// The error with its causes on one line.
    pub(super) fn caused_by(error: &dyn std::error::Error) -> Self {
        Self::Internal(error_report::one_line(error))
    }
}

/// What a store cannot take.
impl From<ContentError> for Failure {
    fn from(error: ContentError) -> Self {
        let refusal = match &error {
            ContentError::Mismatch { .. } => Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error.to_string()),
            ContentError::Busy { .. } => {
                let message = "another request is writing this upload; try again when it has ended";
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message)
            }
            ContentError::NoSpace { .. } => {
                let message = "the registry has no space left; nothing of this was kept";
                Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "DENIED", message)
            }
            _ => return Self::caused_by(&error),
        };
        Self::Refusal(refusal)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// The start of an answer about content that was pushed, and where it is.
pub(super) fn created(digest: &Digest, location: &str) -> Builder {
    response(StatusCode::CREATED).header(LOCATION, location).header("docker-content-digest", digest.to_string())
}

/// A text as it may stand in a query.
pub(super) fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

/// The start of an answer that is about content.
pub(super) fn described(status: StatusCode, digest: &Digest, etag: &str) -> Builder {
    response(status).header("docker-content-digest", digest.to_string()).header(ETAG, etag)
}

pub(super) fn finish(response: Builder, body: Body) -> Answer {
    response.body(body).map_err(|error| Failure::caused_by(&error))
}

/// A JSON answer; `link` names the next page of a list.
pub(super) fn json(value: &Value, head: &Parts, link: Option<String>) -> Answer {
    let text = value.to_string();
    let response = response(StatusCode::OK).header(CONTENT_TYPE, "application/json").header(CONTENT_LENGTH, text.len());
    let response = match link {
        Some(link) => response.header(LINK, link),
        None => response,
    };
    finish(response, if head.method == Method::HEAD { Body::empty() } else { text.into() })
}

/// The header that says where a list goes on.
pub(super) fn next_page(path: &str, page: &Page, last: &str) -> String {
    format!("<{path}?n={}&last={last}>; rel=\"next\"", page.limit.unwrap_or_default())
}

/// A refusal in the JSON form of the distribution specification.
pub(super) fn refuse(refusal: &Refusal) -> Response<Body> {
    let error = serde_json::json!({ "code": refusal.code, "message": refusal.message });
    let body = serde_json::json!({ "errors": [error] }).to_string();
    let mut response = response(refusal.status).header(CONTENT_TYPE, "application/json");
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        response = response.header(ALLOW, refusal.allow);
    }
    response.body(body.into()).unwrap_or_else(|_| Response::new(Body::empty()))
}

/// The start of an answer.
pub(super) fn response(status: StatusCode) -> Builder {
    Response::builder().status(status).header("docker-distribution-api-version", "registry/2.0")
}
