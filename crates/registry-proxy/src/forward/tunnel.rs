//! Answers requests that clients believe to send to a registry of the outside world.

use axum::Router;
use axum::body::Body;
use http::header::{ALLOW, HOST};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest time for the head of a request, and for a sign of life.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The largest head of a request.
const HEAD_LIMIT: usize = 32 << 10;

/// Answers everything that comes over the connection as if this were the registry, until the client ends it.
pub(super) async fn answer_as(
    registry: String,
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let service = service_fn(move |request| answer(request, registry.clone(), router.clone()));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(TIMEOUT).max_buf_size(HEAD_LIMIT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(TIMEOUT).keep_alive_timeout(TIMEOUT);
    builder.serve_connection(TokioIo::new(io), service).await
}

/// Answers one request as the registry.
pub(super) async fn answer(
    request: Request<Incoming>,
    registry: String,
    router: Router,
) -> std::io::Result<Response<Body>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "through this proxy registries can only be read");
        response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let (mut head, body) = request.into_parts();
    let Some(uri) = named(&head.uri, &registry) else {
        return Ok(refusal(StatusCode::BAD_REQUEST, "the path of the request cannot be understood"));
    };
    head.uri = uri;
    head.headers.remove(HOST);
    let router = TowerToHyperService::new(router);
    Ok(router.call(Request::from_parts(head, body)).await.unwrap_or_else(|never| match never {}))
}

/// Path and query with the registry that is meant, as containerd's mirrors are told it.
fn named(uri: &Uri, registry: &str) -> Option<Uri> {
    let others = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("ns="));
    let query: String = others.flat_map(|pair| ["&", pair]).collect();
    PathAndQuery::try_from(format!("{}?ns={registry}{query}", uri.path())).ok().map(Uri::from)
}

/// An answer of the proxy itself.
pub(super) fn refusal(status: StatusCode, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(message));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_registry_is_named_and_nothing_else_of_the_request_changes() {
        for (asked, expected) in [
            ("/v2/", "/v2/?ns=quay.io"),
            ("/v2/a/tags/list?n=1&ns=evil&last=x", "/v2/a/tags/list?ns=quay.io&n=1&last=x"),
            ("http://quay.io/v2/a/manifests/1", "/v2/a/manifests/1?ns=quay.io"),
        ] {
            assert_eq!(named(&asked.parse().unwrap(), "quay.io").unwrap().to_string(), expected);
        }
    }
}
