//! Answers requests that clients believe to send to a registry of the outside world.

use axum::Router;
use axum::body::Body;
use http::header::{ALLOW, HOST};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

/// Answers everything as if this were the registry.
pub(super) fn router(registry: String, router: Router) -> Router {
    Router::new().fallback(move |request| answer(request, registry.clone(), router.clone()))
}

/// Answers one request as the registry.
async fn answer(request: Request<Body>, registry: String, router: Router) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "through this proxy registries can only be read");
        response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let (mut head, body) = request.into_parts();
    let Some(uri) = named(&head.uri, &registry) else {
        return refusal(StatusCode::BAD_REQUEST, "the path of the request cannot be understood");
    };
    head.uri = uri;
    head.headers.remove(HOST);
    let router = TowerToHyperService::new(router);
    router.call(Request::from_parts(head, body)).await.unwrap_or_else(|never| match never {})
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
