//! Reads and writes the Secrets of a copy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use content_store::Digest;
use serde_json::{Value, json};

use super::content::{Content, Packed};
use super::index::Index;
use crate::Error;
use crate::cluster_api::{ClusterApi, Verb, Written};
use crate::operator_lock::{LEASE, Lease};

/// The Secret with the index.
const INDEX: &str = "sealer-state";
/// The label of all Secrets of a copy: `index` or `part`.
const LABEL: &str = "sealer.io/state";
/// How often a copy is read that is replaced while it is read.
const ATTEMPTS: usize = 3;

/// What the cluster says about its copy and about who works on it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The index and its version.
    pub(crate) index: Option<(Index, String)>,
    /// Who works on the cluster, or did last.
    pub(crate) lease: Option<Lease>,
}

/// Asks for both at once.
pub(crate) async fn look(api: &ClusterApi) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    for object in api.get(&[&format!("secret/{INDEX}"), LEASE]).await? {
        if object["kind"] == "Lease" {
            seen.lease = Some(Lease::parse(&object));
        } else {
            let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
            seen.index = Some((Index::parse(&data(&object, "index.json")?)?, version));
        }
    }
    Ok(seen)
}

/// Reads the copy of the cluster; `None` when there is none.
///
/// # Errors
///
/// [`Error::CopyDamaged`] when it is not what its index says.
pub(crate) async fn fetch(api: &ClusterApi) -> Result<Option<(Index, Content)>, Error> {
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        let Some((index, _)) = look(api).await?.index else { return Ok(None) };
        if failed.as_ref().is_some_and(|(earlier, _)| *earlier == index) {
            break;
        }
        match read(api, &index).await? {
            Ok(content) => return Ok(Some((index, content))),
            // Another copy may have been stored meanwhile, and the parts of this one are gone.
            Err(reason) => failed = Some((index, reason)),
        }
    }
    let reason = failed.map(|(_, reason)| reason).unwrap_or_default();
    Err(Error::CopyDamaged { reason })
}

/// The content of a copy, or what is wrong with it.
async fn read(api: &ClusterApi, index: &Index) -> Result<Result<Content, String>, Error> {
    let mut bytes = Vec::new();
    for number in 0..index.parts {
        let name = index.part(number);
        match api.get(&[&format!("secret/{name}")]).await?.first() {
            Some(object) => bytes.extend(data(object, "part")?),
            None => return Ok(Err(format!("lacks the secret {name}"))),
        }
    }
    if Digest::of(&bytes).hex() != index.archive {
        return Ok(Err("does not have the digest of its index".to_owned()));
    }
    let content = Content::unpack(&bytes)?;
    if content.digest() != index.digest || content.authority() != index.authority {
        return Ok(Err("is not what its index says".to_owned()));
    }
    Ok(Ok(content))
}

/// Stores a copy in place of the one that was seen: its parts first, its index last. `false` when another one was
/// stored meanwhile.
pub(super) async fn write(
    api: &ClusterApi,
    seen: Option<&(Index, String)>,
    index: &Index,
    packed: &Packed,
) -> Result<bool, Error> {
    for (number, part) in packed.bytes.chunks(packed.part).enumerate() {
        let object = secret(&index.part(number), "part", None, "part", part);
        // A part of this name is this part: generation and digest are in it.
        api.write(Verb::Create, &object).await?;
    }
    let (verb, version) = match seen {
        Some((_, version)) => (Verb::Replace, Some(version.as_str())),
        None => (Verb::Create, None),
    };
    let text = serde_json::to_vec(index).map_err(|error| Error::CopyDamaged { reason: error.to_string() })?;
    let written = api.write(verb, &secret(INDEX, "index", version, "index.json", &text)).await?;
    if !matches!(written, Written::Done(_)) {
        // The answer to an earlier attempt may have been lost: then it is ours.
        let now = look(api).await?.index;
        if now.is_none_or(|(now, _)| now != *index) {
            return Ok(false);
        }
    }
    // That what is superseded stays costs some room in the database, nothing else.
    let _ = remove_superseded(api, index).await;
    Ok(true)
}

/// Removes the parts of earlier copies, also of those that were never finished. Whoever writes a later one has
/// another generation.
async fn remove_superseded(api: &ClusterApi, index: &Index) -> Result<(), Error> {
    let names = api.secrets_labelled(&format!("{LABEL}=part")).await?;
    let is_superseded = |name: &String| {
        let Some(part) = name.strip_prefix("secret/") else { return false };
        let generation =
            part.strip_prefix("sealer-state-").and_then(|rest| rest.split('-').next()?.parse::<u64>().ok());
        generation.is_some_and(|generation| generation <= index.generation) && !part.starts_with(&index.prefix())
    };
    let superseded: Vec<String> = names.into_iter().filter(is_superseded).collect();
    if superseded.is_empty() { Ok(()) } else { api.delete(&superseded).await }
}

fn secret(name: &str, label: &str, version: Option<&str>, key: &str, bytes: &[u8]) -> Value {
    let labels = json!({ "app.kubernetes.io/managed-by": "sealer", LABEL: label });
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": "kube-system", "labels": labels, "resourceVersion": version },
        "type": "sealer.io/state",
        "data": { key: STANDARD.encode(bytes) },
    })
}

fn data(object: &Value, key: &str) -> Result<Vec<u8>, Error> {
    let text = object["data"][key].as_str().unwrap_or_default();
    STANDARD.decode(text).map_err(|_| Error::CopyDamaged { reason: "is not Base64".to_owned() })
}
