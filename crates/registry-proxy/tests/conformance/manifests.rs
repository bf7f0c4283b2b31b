//! Manifests: pushed by digest and tag, listed, read, referred to, deleted.

use crate::Report;
use crate::blobs::{self, Way};
use crate::client::{Client, REPOSITORY, Read, same};
use crate::data::{Set, unique};
use content_store::Digest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A set from its push to its deletion.
pub async fn life(client: &Client, report: &mut Report, set: &Set) {
    push(client, report, set).await;
    if set.name != "bad digest" {
        read(client, report, set).await;
    }
    delete(client, report, set).await;
}

fn path(reference: impl std::fmt::Display) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}

fn media_type(manifest: &[u8]) -> String {
    let document: Value = serde_json::from_slice(manifest).unwrap();
    document["mediaType"].as_str().unwrap().to_owned()
}

async fn put(client: &Client, path: &str, manifest: &[u8]) -> Read {
    let request =
        client.request(Method::PUT, path).header("content-type", media_type(manifest)).body(manifest.to_vec());
    Read::of(request.send().await.unwrap()).await
}

pub async fn push(client: &Client, report: &mut Report, set: &Set) {
    let ways = [Way::PostOnly, Way::PostPut, Way::Stream];
    for (number, (digest, bytes)) in set.blobs.iter().enumerate() {
        let pushed = blobs::push(client, ways[number % 3], bytes, digest, StatusCode::CREATED).await;
        report.check("blob push", set.name, pushed);
    }
    for (digest, manifest) in &set.manifests {
        let tags: Vec<&str> = set
            .tags
            .iter()
            .filter(|(_, tagged)| set.tag_parameters && tagged == digest)
            .map(|(tag, _)| tag.as_str())
            .collect();
        let query: String = tags.iter().map(|tag| format!("tag={tag}&")).collect();
        let answer = put(client, &format!("{}?{query}", path(digest)), manifest).await;
        if set.name == "bad digest" {
            let right = answer.is(StatusCode::BAD_REQUEST).and_then(|()| answer.has_code("DIGEST_INVALID"));
            report.check("bad digest", "manifest", right);
            continue;
        }
        report.check("manifest put", set.name, accepted(client, &answer, digest, manifest).await);
        if !tags.is_empty() {
            report.check("manifest put", "tag parameters", answer.has("oci-tag", &tags.join(", ")));
        }
    }
    for (tag, digest) in set.tags.iter().filter(|_| !set.tag_parameters) {
        let manifest = &set.manifests.iter().find(|(found, _)| found == digest).unwrap().1;
        let answer = put(client, &path(tag), manifest).await;
        report.check(
            "manifest put",
            &format!("{} by tag", set.name),
            accepted(client, &answer, digest, manifest).await,
        );
    }
}

async fn accepted(client: &Client, answer: &Read, digest: &Digest, manifest: &[u8]) -> Result<(), String> {
    answer.is(StatusCode::CREATED)?;
    answer.has("docker-content-digest", &digest.to_string())?;
    let document: Value = serde_json::from_slice(manifest).unwrap();
    answer.has("oci-subject", document["subject"]["digest"].as_str().unwrap_or_default())?;
    right(&client.get(answer.header("location")).await, digest, manifest)
}

fn right(answer: &Read, digest: &Digest, manifest: &[u8]) -> Result<(), String> {
    answer.is(StatusCode::OK)?;
    answer.has("content-type", &media_type(manifest))?;
    answer.has("content-length", &manifest.len().to_string())?;
    answer.has("docker-content-digest", &digest.to_string())?;
    if answer.body == manifest { Ok(()) } else { Err("the bytes are others".to_owned()) }
}

fn right_head(answer: &Read, digest: &Digest, size: usize) -> Result<(), String> {
    answer.is(StatusCode::OK)?;
    answer.has("content-length", &size.to_string())?;
    answer.has("docker-content-digest", &digest.to_string())?;
    same(&answer.body.len(), &0)
}

pub async fn read(client: &Client, report: &mut Report, set: &Set) {
    tags(client, report, set).await;
    let tagged = set.tags.iter().map(|(tag, digest)| (tag.clone(), *digest));
    for (reference, digest) in tagged.chain(set.manifests.iter().map(|(digest, _)| (digest.to_string(), *digest))) {
        let manifest = &set.manifests.iter().find(|(found, _)| *found == digest).unwrap().1;
        let (head, get) = (client.head(&path(&reference)).await, client.get(&path(&reference)).await);
        report.check("manifest head", set.name, right_head(&head, &digest, manifest.len()));
        report.check("manifest get", set.name, right(&get, &digest, manifest));
    }
    for (digest, bytes) in &set.blobs {
        let path = blobs::path(REPOSITORY, digest);
        let (head, get) = (client.head(&path).await, client.get(&path).await);
        report.check("blob head", set.name, right_head(&head, digest, bytes.len()));
        report.check("blob get", set.name, get.is(StatusCode::OK).and_then(|()| same(&&get.body, &bytes)));
    }
    referrers(client, report, set).await;
}

async fn tags(client: &Client, report: &mut Report, set: &Set) {
    let list = async |query: &str| -> Result<Vec<String>, String> {
        let answer = client.get(&format!("/v2/{REPOSITORY}/tags/list{query}")).await;
        answer.is(StatusCode::OK)?;
        let list: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        Ok(serde_json::from_value(list["tags"].clone()).unwrap())
    };
    let all = list("").await;
    let here = all.clone().and_then(|all| {
        let missing: Vec<&String> = set.tags.iter().map(|(tag, _)| tag).filter(|tag| !all.contains(tag)).collect();
        same(&missing, &vec![])
    });
    report.check("tag list", set.name, here);
    let Ok(all) = all else { return };
    if all.len() >= 2 {
        let half = all.len() / 2;
        let last = &all[half - 1];
        let rest = list(&format!("?last={last}")).await.and_then(|rest| same(&rest.as_slice(), &&all[half..]));
        report.check("tag list", "after another", rest);
        let first = list(&format!("?n={half}")).await.and_then(|first| same(&first.as_slice(), &&all[..half]));
        report.check("tag list", "so many", first);
    }
}

async fn referrers(client: &Client, report: &mut Report, set: &Set) {
    for (subject, digest, kind, annotations) in &set.referrers {
        let url = format!("/v2/{REPOSITORY}/referrers/{subject}");
        let found = |answer: &Read| -> Result<(), String> {
            let list = answer.is_index()?;
            let entry = list.iter().find(|entry| entry["digest"] == json!(digest)).ok_or("it is not listed")?;
            let manifest = &set.manifests.iter().find(|(found, _)| found == digest).unwrap().1;
            same(&entry["mediaType"], &media_type(manifest).into())?;
            same(&entry["size"], &manifest.len().into())?;
            same(&entry["artifactType"], &kind.as_str().into())?;
            same(&entry["annotations"], annotations)
        };
        let answer = client.get(&url).await;
        report.check("referrers", set.name, found(&answer));
        let encoded = kind.replace('+', "%2B");
        let filtered = client.get(&format!("{url}?artifactType={encoded}")).await;
        let others = |list: Vec<Value>| list.iter().filter(|entry| entry["artifactType"] != kind.as_str()).count();
        let right = found(&filtered)
            .and_then(|()| filtered.has("oci-filters-applied", "artifactType"))
            .and_then(|()| same(&others(filtered.is_index()?), &0));
        report.check("referrers", &format!("{} filtered", set.name), right);
        let none = client.get(&format!("{url}?artifactType=application%2Fnone")).await;
        report.check("referrers", "filtered away", none.is_index().and_then(|list| same(&list.len(), &0)));
    }
}

async fn delete(client: &Client, report: &mut Report, set: &Set) {
    for (tag, _) in &set.tags {
        report.check("tag delete", set.name, client.delete(&path(tag)).await.is(StatusCode::ACCEPTED));
        report.check("tag delete", "gone", client.head(&path(tag)).await.is(StatusCode::NOT_FOUND));
    }
    for (digest, _) in set.manifests.iter().rev().filter(|_| set.name != "bad digest") {
        report.check("manifest delete", set.name, client.delete(&path(digest)).await.is(StatusCode::ACCEPTED));
        report.check("manifest delete", "gone", client.head(&path(digest)).await.is(StatusCode::NOT_FOUND));
    }
    let mut gone = std::collections::BTreeSet::new();
    for (digest, _) in set.blobs.iter().filter(|(digest, _)| gone.insert(*digest)) {
        let url = blobs::path(REPOSITORY, digest);
        report.check("blob delete", set.name, client.delete(&url).await.is(StatusCode::ACCEPTED));
        report.check("blob delete", "gone", client.head(&url).await.is(StatusCode::NOT_FOUND));
    }
}

/// What is not here, not a digest, or needs what is not here.
pub async fn errors(client: &Client, report: &mut Report) {
    for reference in [Digest::of(&unique(9)).to_string(), "missing".to_owned()] {
        let answer = client.get(&path(reference)).await;
        let right = answer.is(StatusCode::NOT_FOUND).and_then(|()| answer.has_code("MANIFEST_UNKNOWN"));
        report.check("manifest errors", "missing", right);
    }
    let answer = client.get(&path("sha256:baddigeststring")).await;
    report.check("manifest errors", "get of no digest", answer.is(StatusCode::NOT_FOUND));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": crate::data::MANIFEST, "layers": [],
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(&unique(9)), "size": 9 },
    });
    let manifest = manifest.to_string().into_bytes();
    let answer = put(client, &path("sha256:baddigeststring"), &manifest).await;
    report.check("manifest errors", "put of no digest", answer.is(StatusCode::BAD_REQUEST));
    let answer = put(client, &path("lacking"), &manifest).await;
    let is_read_only = answer.status == StatusCode::METHOD_NOT_ALLOWED;
    let right = answer.is(StatusCode::NOT_FOUND).and_then(|()| answer.has_code("MANIFEST_BLOB_UNKNOWN"));
    report.check("manifest errors", "put without its blobs", if is_read_only { Ok(()) } else { right });
    report.check("manifest errors", "was not kept", client.get(&path("lacking")).await.is(StatusCode::NOT_FOUND));
}
