//! Lists the manifests that are about another one: signatures, attestations, lists of what is inside.

use super::response::{self, Answer};
use super::service::Handler;
use crate::document;
use crate::source::{Manifest, Repository};
use axum::body::Body;
use content_store::Digest;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LINK};
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What clients take as an index, in bytes; the rest is another page.
const PAGE_LIMIT: usize = 4 << 20;

impl Handler {
    pub(super) async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<Digest>,
        head: &Parts,
    ) -> Answer {
        let mut misses = self.misses(head);
        let mut found = BTreeMap::new();
        for source in &self.sources {
            let manifests = misses.of(source.referrers(repository, subject).await).unwrap_or_default();
            for manifest in manifests.iter().filter(|manifest| after.is_none_or(|after| manifest.digest > after)) {
                found.extend(descriptor(manifest).map(|descriptor| (manifest.digest, descriptor)));
            }
        }
        if let Some(wanted) = artifact_type {
            found.retain(|_, descriptor| descriptor["artifactType"] == wanted);
        }
        let (mut size, mut last, mut page) = (0, None, Vec::new());
        let total = found.len();
        for (digest, descriptor) in found {
            size += descriptor.to_string().len() + 1;
            if size > PAGE_LIMIT && !page.is_empty() {
                break;
            }
            page.push(descriptor);
            last = Some(digest);
        }
        let next = last.filter(|_| page.len() < total);
        let index = json!({ "schemaVersion": 2, "mediaType": document::OCI_INDEX, "manifests": page }).to_string();
        let mut response = response::response(StatusCode::OK)
            .header(CONTENT_TYPE, document::OCI_INDEX)
            .header(CONTENT_LENGTH, index.len());
        if artifact_type.is_some() {
            response = response.header("oci-filters-applied", "artifactType");
        }
        if let Some(next) = next {
            let filter =
                artifact_type.map(|kind| format!("&artifactType={}", response::encoded(kind))).unwrap_or_default();
            let path = format!("/v2/{}/referrers/{subject}?last={next}{filter}", repository.path);
            response = response.header(LINK, format!("<{path}>; rel=\"next\""));
        }
        response::finish(response, if head.method == Method::HEAD { Body::empty() } else { index.into() })
    }
}

/// What of a manifest a list says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    artifact_type: Option<String>,
    config: Option<Config>,
    annotations: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: Option<String>,
}

/// What a list says of a manifest.
fn descriptor(manifest: &Manifest) -> Option<Value> {
    let document: Document = serde_json::from_slice(&manifest.bytes).ok()?;
    let media_type = document::media_type(&manifest.bytes, manifest.media_type.as_deref())?;
    let own = document.artifact_type.filter(|text| !text.is_empty());
    let of_config = || document.config?.media_type.filter(|text| !text.is_empty());
    let mut descriptor = json!({ "mediaType": media_type, "digest": manifest.digest, "size": manifest.bytes.len() });
    if let Some(artifact_type) = own.or_else(of_config) {
        descriptor["artifactType"] = artifact_type.into();
    }
    if let Some(annotations) = document.annotations {
        descriptor["annotations"] = annotations.into();
    }
    Some(descriptor)
}
