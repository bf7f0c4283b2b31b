//! Content in an object store: published by one call, served by any number of registries that keep nothing themselves.
//!
//! Blobs are `blobs/<algorithm>/<hex>`, names `names/<registry>/<path>:<tag>` with a descriptor in them. `publish` writes, `source` reads, `config` is the
//! configuration.

mod config;
mod publish;
mod source;

pub use config::{ObjectStoreConfig, ObjectStoreKind};
pub use publish::{Published, publish};
pub use source::ObjectSource;

use content_store::{Digest, Reference};
use serde::{Deserialize, Serialize};

/// What a name points at.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    digest: Digest,
    media_type: String,
}

fn blob_key(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// Where the tags of a repository are.
fn repository_key(name: &Reference) -> String {
    format!("names/{}/{}:", name.registry(), name.repository())
}
