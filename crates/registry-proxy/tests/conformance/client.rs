//! Asks a registry and compares its answers.

use crate::Report;
use crate::data::Set;
use crate::support::Server;
use content_store::{Digest, Store};
use registry_proxy::{ContentSource, Options, service};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::sync::Arc;

pub const OCTETS: &str = "application/octet-stream";
pub const REPOSITORY: &str = "conformance/one";
pub const OTHER: &str = "conformance/two";

pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
}

/// The store behind a client, and its server.
pub struct Served {
    store: Store,
    _directory: tempfile::TempDir,
    _server: Server,
}

/// An answer whose body was read.
#[derive(Debug)]
pub struct Read {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    pub async fn read_write() -> (Self, Served) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let server = start(&store, true).await;
        let client = Self { http: reqwest::Client::new(), base: format!("http://{}", server.host()) };
        (client, Served { store, _directory: directory, _server: server })
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // A location may be whole.
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.http.request(method, url)
    }

    pub async fn get(&self, path: &str) -> Read {
        Read::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn head(&self, path: &str) -> Read {
        Read::of(self.request(Method::HEAD, path).send().await.unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Read {
        Read::of(self.request(Method::DELETE, path).send().await.unwrap()).await
    }

    /// What a registry without content answers.
    pub async fn empty(&self, report: &mut Report) {
        report.check("ping", "/v2/", self.get("/v2/").await.is(StatusCode::OK));
        let tags = self.get("/v2/conformance/nothing/tags/list").await;
        report.check("tag list", "of nothing", tags.is(StatusCode::NOT_FOUND));
        let path = format!("/v2/conformance/nothing/referrers/{}", Digest::of(b"nothing"));
        let referrers = self.get(&path).await;
        report.check("referrers", "of nothing", referrers.is_index().and_then(|found| same(&found.len(), &0)));
    }

    /// Each request that changes something is refused, and says how.
    pub async fn refuses_changes(&self, report: &mut Report, set: &Set) {
        let (digest, manifest) = &set.manifests[0];
        let uploads = format!("/v2/{REPOSITORY}/blobs/uploads/");
        for (method, path) in [
            (Method::POST, uploads.clone()),
            (Method::POST, format!("{uploads}?digest={digest}")),
            (Method::POST, format!("{uploads}?mount={digest}&from={OTHER}")),
            (Method::PATCH, format!("{uploads}7f")),
            (Method::PUT, format!("{uploads}7f?digest={digest}")),
            (Method::DELETE, format!("{uploads}7f")),
            (Method::PUT, format!("/v2/{REPOSITORY}/manifests/new")),
            (Method::PUT, format!("/v2/{REPOSITORY}/manifests/{digest}")),
            (Method::DELETE, format!("/v2/{REPOSITORY}/manifests/{digest}")),
            (Method::DELETE, format!("/v2/{REPOSITORY}/manifests/{}", set.tags[0].0)),
            (Method::DELETE, format!("/v2/{REPOSITORY}/blobs/{digest}")),
        ] {
            let answer =
                Read::of(self.request(method.clone(), &path).body(manifest.clone()).send().await.unwrap()).await;
            let refused = answer.is(StatusCode::METHOD_NOT_ALLOWED).and_then(|()| answer.has_code("UNSUPPORTED"));
            report.check("refused changes", &format!("{method} {path}"), refused);
        }
        let here = self.get(&format!("/v2/{REPOSITORY}/manifests/{}", set.tags[0].0)).await;
        report.check("refused changes", "nothing happened", here.is(StatusCode::OK));
    }
}

impl Served {
    /// Another server over the same store, which takes nothing.
    pub async fn read_only(self) -> Client {
        let server = start(&self.store, false).await;
        let base = format!("http://{}", server.host());
        // Both live as long as the process of the test.
        std::mem::forget((self, server));
        Client { http: reqwest::Client::new(), base }
    }
}

async fn start(store: &Store, is_writable: bool) -> Server {
    let mut options = Options::default();
    let source = ContentSource::new(store.clone(), &options);
    options.push = is_writable.then(|| source.clone());
    options.delete.clone_from(&options.push);
    Server::over(service(vec![Arc::new(source)], options), None).await
}

impl Read {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn is(&self, status: StatusCode) -> Result<(), String> {
        let body = || String::from_utf8_lossy(&self.body).chars().take(200).collect::<String>();
        if self.status == status { Ok(()) } else { Err(format!("{} instead of {status}: {}", self.status, body())) }
    }

    pub fn has_code(&self, code: &str) -> Result<(), String> {
        let body: Value = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        same(&body["errors"][0]["code"].as_str(), &Some(code))
    }

    pub fn has(&self, name: &str, value: &str) -> Result<(), String> {
        same(&self.header(name), &value).map_err(|reason| format!("{name}: {reason}"))
    }

    /// The manifests of an index.
    pub fn is_index(&self) -> Result<Vec<Value>, String> {
        self.is(StatusCode::OK)?;
        self.has("content-type", "application/vnd.oci.image.index.v1+json")?;
        let index: Value = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        same(&index["schemaVersion"], &Value::from(2))?;
        same(&index["mediaType"], &Value::from("application/vnd.oci.image.index.v1+json"))?;
        index["manifests"].as_array().cloned().ok_or_else(|| "there is no list".to_owned())
    }
}

pub fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
}
