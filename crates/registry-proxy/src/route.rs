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
    /// `/healthz`: does it answer?
    Health,
    /// `/metrics`, for Prometheus.
    Metrics,
    /// `/token`: a token for a login, as docker's registries give them.
    Token,
    /// A manifest or index. `tags` are those that a push by digest sets, too.
    Manifest { repository: Repository, reference: ManifestReference, tags: Vec<String> },
    /// A blob.
    Blob { repository: Repository, digest: Digest },
    /// A new upload: with `digest` all of the blob follows, with `mount` it may be here already.
    Uploads { repository: Repository, digest: Option<Digest>, mount: Option<Digest> },
    /// An upload under way; `digest` ends it.
    Upload { repository: Repository, id: String, digest: Option<Digest> },
    /// The manifests that are about another one.
    Referrers { repository: Repository, subject: Digest, artifact_type: Option<String>, after: Option<Digest> },
    /// The tags of a repository.
    Tags { repository: Repository, page: Page },
    /// The repositories.
    Catalog { page: Page },
}

impl Route {
    /// The methods that it has, `HEAD` along with `GET`.
    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Manifest { .. } => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Blob { .. } => &[Method::GET, Method::DELETE],
            Self::Uploads { .. } => &[Method::POST],
            Self::Upload { .. } => &[Method::GET, Method::PATCH, Method::PUT, Method::DELETE],
            _ => &[Method::GET],
        }
    }

    /// Whether the request changes something, or is part of one that does.
    pub(crate) fn is_write(&self, method: &Method) -> bool {
        !matches!(*method, Method::GET | Method::HEAD) || matches!(self, Self::Upload { .. })
    }

    /// The repository that it is about.
    pub(crate) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Manifest { repository, .. }
            | Self::Blob { repository, .. }
            | Self::Uploads { repository, .. }
            | Self::Upload { repository, .. }
            | Self::Referrers { repository, .. }
            | Self::Tags { repository, .. } => Some(repository),
            _ => None,
        }
    }
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
    /// What may be asked instead, of a method that is not supported.
    pub(crate) allow: &'static str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), allow: "GET, HEAD" }
    }
}

/// Understands a request.
pub(crate) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, Refusal> {
    if path.len() > LIMIT || query.is_some_and(|query| query.len() > LIMIT) {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "UNSUPPORTED", "the path or query is too long"));
    }
    let route = resource(method, path, query)?;
    let asked = if *method == Method::HEAD { &Method::GET } else { method };
    if !route.methods().contains(asked) {
        let message = format!("{method} is not supported for this");
        let allow = if matches!(route, Route::Uploads { .. }) { "POST" } else { "GET, HEAD" };
        return Err(Refusal { allow, ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message) });
    }
    Ok(route)
}

fn resource(method: &Method, path: &str, query: Option<&str>) -> Result<Route, Refusal> {
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "this is a registry; its API is under /v2/");
    let decoded = decode(path).ok_or_else(unknown)?;
    let rest = match decoded.as_str() {
        "/healthz" => return Ok(Route::Health),
        "/metrics" => return Ok(Route::Metrics),
        "/token" => return Ok(Route::Token),
        "/v2" | "/v2/" => return Ok(Route::Version),
        "/v2/_catalog" => return Ok(Route::Catalog { page: page(query) }),
        other => other.strip_prefix("/v2/").ok_or_else(unknown)?,
    };
    let mut parts = rest.rsplitn(3, '/');
    let (Some(last), Some(kind), Some(repository)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unknown());
    };
    let digest = |text: &str| text.parse().map_err(|_| invalid_digest(method, text));
    let given = || parameter(query, "digest").map(|text| digest(&text)).transpose();
    let upload = || repository.strip_suffix("/blobs").ok_or_else(unknown).and_then(|path| named(path, query));
    match (kind, last) {
        ("blobs", "uploads") | ("uploads", "") => {
            let repository = if kind == "blobs" { named(repository, query)? } else { upload()? };
            let mount = parameter(query, "mount").and_then(|text| text.parse().ok());
            Ok(Route::Uploads { repository, digest: given()?, mount })
        }
        ("uploads", id) => Ok(Route::Upload { repository: upload()?, id: id.to_owned(), digest: given()? }),
        ("manifests", reference) => {
            let (repository, reference) = (named(repository, query)?, manifest_reference(method, reference)?);
            Ok(Route::Manifest { repository, reference, tags: tags(query)? })
        }
        ("blobs", text) => Ok(Route::Blob { repository: named(repository, query)?, digest: digest(text)? }),
        ("tags", "list") => Ok(Route::Tags { repository: named(repository, query)?, page: page(query) }),
        ("referrers", subject) => Ok(Route::Referrers {
            repository: named(repository, query)?,
            subject: subject.parse().map_err(|_| invalid_digest(&Method::PUT, subject))?,
            artifact_type: parameter(query, "artifactType").filter(|text| !text.is_empty()),
            after: parameter(query, "last").and_then(|text| text.parse().ok()),
        }),
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

fn manifest_reference(method: &Method, reference: &str) -> Result<ManifestReference, Refusal> {
    if reference.contains(':') {
        return reference.parse().map(ManifestReference::Digest).map_err(|_| invalid_digest(method, reference));
    }
    match is_tag(reference) {
        true => Ok(ManifestReference::Tag(reference.to_owned())),
        false if *method == Method::PUT => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "this is not a tag"))
        }
        false => Err(Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "this is not a tag")),
    }
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The tags that a manifest is to have besides its digest.
fn tags(query: Option<&str>) -> Result<Vec<String>, Refusal> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("tag="));
    let tag = |text: &str| decode(text).filter(|tag| is_tag(tag));
    let wrong = || Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "the parameter tag is not a tag");
    pairs.map(|text| tag(text).ok_or_else(wrong)).collect()
}

fn invalid_digest(method: &Method, text: &str) -> Refusal {
    // Other algorithms are legal names of content that is not here, but nothing can be stored under them.
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let status = if is_read && text.contains(':') { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
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
            Ok(Route::Manifest { repository: Repository::new(None, "nginx"), reference: tag("1.19"), tags: vec![] })
        );
        assert_eq!(
            get("/v2/library/nginx/manifests/1.19?ns=docker.io"),
            Ok(Route::Manifest {
                repository: Repository::new(Some("docker.io"), "library/nginx"),
                reference: tag("1.19"),
                tags: vec![]
            })
        );
        assert_eq!(
            get("/v2/manifests/blobs/tags/manifests/list?x=1&ns=reg%3A5000"),
            Ok(Route::Manifest {
                repository: Repository::new(Some("reg:5000"), "manifests/blobs/tags"),
                reference: tag("list"),
                tags: vec![]
            })
        );
        assert_eq!(
            get(&format!("/v2/a/b/manifests/{digest}")),
            Ok(Route::Manifest {
                repository: Repository::new(None, "a/b"),
                reference: ManifestReference::Digest(digest),
                tags: vec![]
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
    fn pushes_are_understood() {
        let digest = Digest::of(b"x");
        let repository = || Repository::new(None, "a/blobs");
        let route = |method, path: &str| {
            let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
            route(&method, path, query)
        };
        for path in ["/v2/a/blobs/blobs/uploads/", "/v2/a/blobs/blobs/uploads"] {
            let expected = Route::Uploads { repository: repository(), digest: None, mount: Some(digest) };
            assert_eq!(route(Method::POST, &format!("{path}?mount={digest}&from=b")), Ok(expected));
        }
        let expected = Route::Upload { repository: repository(), id: "7f".to_owned(), digest: Some(digest) };
        assert_eq!(route(Method::PUT, &format!("/v2/a/blobs/blobs/uploads/7f?x=1&digest={digest}")), Ok(expected));
        let expected = Route::Manifest {
            repository: repository(),
            reference: ManifestReference::Digest(digest),
            tags: vec!["1".to_owned(), "2".to_owned()],
        };
        assert_eq!(route(Method::PUT, &format!("/v2/a/blobs/manifests/{digest}?tag=1&tag=2")), Ok(expected));
        for wrong in ["/v2/a/manifests/1?tag=..", "/v2/a/blobs/uploads/7f?digest=sha256:0"] {
            assert_eq!(route(Method::PUT, wrong).unwrap_err().status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn refusals_have_the_codes_of_the_specification() {
        let code = |path: &str| get(path).unwrap_err().code;
        assert_eq!(route(&Method::POST, "/v2/a/tags/list", None).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
        let put = |path: &str| route(&Method::PUT, path, None).unwrap_err();
        assert_eq!(
            (put("/v2/a/manifests/sha256:0").status, put("/v2/a/manifests/.x").code),
            (StatusCode::BAD_REQUEST, "MANIFEST_INVALID")
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
        assert_eq!(code("/v2/a/referrers/x"), "DIGEST_INVALID");
        assert_eq!(code("/v2/uploads/"), "UNSUPPORTED");
        assert_eq!(code("/v2/../blobs/uploads/"), "NAME_INVALID");
        let refused = get("/v2/a/blobs/uploads/").unwrap_err();
        assert_eq!((refused.status, refused.allow), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
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
