//! Parses a request into what it asks for. Text in, value out.

use crate::source::{ManifestReference, Repository};
use content_store::Digest;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

/// Longer paths and queries are refused.
const LIMIT: usize = 2048;
/// The most entries of one page of a list.
const PAGE_LIMIT: usize = 10_000;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`: is this a registry?
    Version,
    /// A manifest or index.
    Manifest { repository: Repository, reference: ManifestReference },
    /// A blob.
    Blob { repository: Repository, digest: Digest },
    /// The tags of a repository.
    Tags { repository: Repository, page: Page },
    /// The repositories.
    Catalog { page: Page },
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// The most entries to list.
    pub(crate) limit: Option<usize>,
    /// Only what comes after this entry.
    pub(crate) after: Option<String>,
}

/// Why a request is refused, in the words of the distribution specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

/// Understands a request.
pub(crate) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, Refusal> {
    if method != Method::GET && method != Method::HEAD {
        let message = format!("{method} is not supported: this registry is read-only");
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message));
    }
    if path.len() > LIMIT || query.is_some_and(|query| query.len() > LIMIT) {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "UNSUPPORTED", "the path or query is too long"));
    }
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "this is a registry; its API is under /v2/");
    let decoded = decode(path).ok_or_else(unknown)?;
    let Some(rest) = decoded.strip_prefix("/v2") else { return Err(unknown()) };
    let Some(rest) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok(Route::Version) } else { Err(unknown()) };
    };
    match rest {
        "" => return Ok(Route::Version),
        "_catalog" => return Ok(Route::Catalog { page: page(query) }),
        _ => {}
    }
    let mut parts = rest.rsplitn(3, '/');
    let (Some(last), Some(kind), Some(repository)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unknown());
    };
    let repository = named(repository, query)?;
    match (kind, last) {
        ("manifests", reference) => Ok(Route::Manifest { repository, reference: manifest_reference(reference)? }),
        ("blobs", digest) => {
            Ok(Route::Blob { repository, digest: digest.parse().map_err(|_| invalid_digest(digest))? })
        }
        ("tags", "list") => Ok(Route::Tags { repository, page: page(query) }),
        _ => Err(unknown()),
    }
}

fn named(path: &str, query: Option<&str>) -> Result<Repository, Refusal> {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    };
    if path.len() > 255 || !path.split('/').all(is_part) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "NAME_INVALID", "this is not a repository name"));
    }
    let registry = parameter(query, "ns").filter(|text| !text.is_empty());
    if registry.as_ref().is_some_and(|text| {
        text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte))
    }) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "NAME_INVALID",
            "the parameter ns is not the host of a registry",
        ));
    }
    Ok(Repository::new(registry.as_deref(), path))
}

fn manifest_reference(reference: &str) -> Result<ManifestReference, Refusal> {
    if reference.contains(':') {
        return reference.parse().map(ManifestReference::Digest).map_err(|_| invalid_digest(reference));
    }
    let is_tag = (1..=128).contains(&reference.len())
        && !reference.starts_with(['.', '-'])
        && reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if is_tag {
        Ok(ManifestReference::Tag(reference.to_owned()))
    } else {
        Err(Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "this is not a tag"))
    }
}

fn invalid_digest(text: &str) -> Refusal {
    // Other algorithms are legal names of content that is not here.
    let status = if text.contains(':') { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
    Refusal::new(
        status,
        "DIGEST_INVALID",
        "only digests sha256:<64 hexadecimal digits> and sha512:<128> are known here",
    )
}

fn page(query: Option<&str>) -> Page {
    let limit = parameter(query, "n").and_then(|text| text.parse().ok()).map(|limit: usize| limit.min(PAGE_LIMIT));
    Page { limit, after: parameter(query, "last") }
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| decode(value)).flatten()
    })
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn get(path: &str) -> Result<Route, Refusal> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        route(&Method::GET, path, query)
    }

    #[test]
    fn every_kind_of_request_is_understood() {
        let digest = Digest::of(b"x");
        let tag = |name: &str| ManifestReference::Tag(name.to_owned());
        assert_eq!(get("/v2/"), Ok(Route::Version));
        assert_eq!(get("/v2"), Ok(Route::Version));
        assert_eq!(
            get("/v2/nginx/manifests/1.19"),
            Ok(Route::Manifest { repository: Repository::new(None, "nginx"), reference: tag("1.19") })
        );
        assert_eq!(
            get("/v2/library/nginx/manifests/1.19?ns=docker.io"),
            Ok(Route::Manifest {
                repository: Repository::new(Some("docker.io"), "library/nginx"),
                reference: tag("1.19")
            })
        );
        assert_eq!(
            get("/v2/manifests/blobs/tags/manifests/list?x=1&ns=reg%3A5000"),
            Ok(Route::Manifest {
                repository: Repository::new(Some("reg:5000"), "manifests/blobs/tags"),
                reference: tag("list")
            })
        );
        assert_eq!(
            get(&format!("/v2/a/b/manifests/{digest}")),
            Ok(Route::Manifest {
                repository: Repository::new(None, "a/b"),
                reference: ManifestReference::Digest(digest)
            })
        );
        let encoded = digest.to_string().replace(':', "%3A");
        assert_eq!(
            get(&format!("/v2/a/blobs/{encoded}")),
            Ok(Route::Blob { repository: Repository::new(None, "a"), digest })
        );
        let page = Page { limit: Some(2), after: Some("b".to_owned()) };
        assert_eq!(
            get("/v2/a/tags/list?n=2&last=b"),
            Ok(Route::Tags { repository: Repository::new(None, "a"), page: page.clone() })
        );
        assert_eq!(get("/v2/_catalog?last=b&n=2"), Ok(Route::Catalog { page }));
        assert_eq!(get("/v2/_catalog?n=many"), Ok(Route::Catalog { page: Page::default() }));
    }

    #[test]
    fn refusals_have_the_codes_of_the_specification() {
        let code = |path: &str| get(path).unwrap_err().code;
        assert_eq!(
            route(&Method::POST, "/v2/a/blobs/uploads/", None).unwrap_err().status,
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(get("/").unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(get("/v2x").unwrap_err().status, StatusCode::NOT_FOUND);
        assert_eq!(code("/v2/../etc/manifests/passwd"), "NAME_INVALID");
        assert_eq!(code("/v2/%2e%2e/manifests/passwd"), "NAME_INVALID");
        assert_eq!(code("/v2/A/manifests/x"), "NAME_INVALID");
        assert_eq!(code("/v2/a//b/manifests/x"), "NAME_INVALID");
        assert_eq!(code("/v2/a/manifests/x?ns=a/b"), "NAME_INVALID");
        assert_eq!(code("/v2/a/manifests/.."), "MANIFEST_UNKNOWN");
        assert_eq!(code("/v2/a/manifests/sha256:00"), "DIGEST_INVALID");
        assert_eq!(code("/v2/a/blobs/latest"), "DIGEST_INVALID");
        assert_eq!(code("/v2/a/referrers/x"), "UNSUPPORTED");
        assert_eq!(get(&format!("/v2/{}/manifests/x", "a".repeat(3000))).unwrap_err().status, StatusCode::URI_TOO_LONG);
    }

    proptest! {
        #[test]
        fn no_request_is_too_odd(path in "(/v2)?(/[a-zA-Z0-9._%:-]{0,6}|/manifests|/blobs|/tags|/list|\\PC{0,5}){0,8}", query in proptest::option::of("(ns|n|last)=\\PC{0,20}(&\\PC{0,9})?")) {
            if let Ok(Route::Manifest { repository, .. } | Route::Blob { repository, .. } | Route::Tags { repository, .. }) = route(&Method::GET, &path, query.as_deref()) {
                prop_assert!(!repository.path.contains("..") && !repository.path.is_empty());
            }
        }
    }
}
