//! The archive format of `docker save`: `manifest.json`, configs and layers.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use content_store::Store;
use serde::{Deserialize, Serialize};

use crate::catalogue::CarriedBlob;
use crate::documents::{self, Config, Descriptor, Manifest};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;

/// Name of the document that lists the images.
pub(crate) const MANIFEST: &str = "manifest.json";

/// An image of an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    #[serde(rename = "Config")]
    pub(crate) config: String,
    #[serde(rename = "RepoTags")]
    pub(crate) names: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    pub(crate) layers: Vec<String>,
}

/// An image made of what an archive holds: config and layers as they are, under a manifest made over them.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) manifest: Descriptor,
    /// Manifest, config and layers.
    pub(crate) blobs: Vec<CarriedBlob>,
}

impl Saved {
    /// What the image is called in messages.
    pub(crate) fn shown(&self) -> String {
        self.names.as_ref().filter(|names| !names.is_empty()).map_or(self.config.clone(), |names| names.join(", "))
    }
}

/// Makes the image. `blob` stores a member, named by its path, and tells what it is; `accept` may refuse the platform.
pub(crate) fn compose(
    store: &Store,
    archive: &str,
    saved: &Saved,
    blob: &dyn Fn(&Path) -> Result<CarriedBlob>,
    accept: &dyn Fn(&Platform) -> Result<()>,
) -> Result<Composed> {
    let fault =
        |entry: &str, reason: String| Error::Archive { archive: archive.to_owned(), entry: entry.to_owned(), reason };
    let config = blob(Path::new(&saved.config))?;
    let parsed: Config = documents::read(store, &config.digest, format::DOCUMENT_LIMIT)?;
    let platform = Platform { os: parsed.os, architecture: parsed.architecture, variant: parsed.variant };
    accept(&platform)?;
    if parsed.rootfs.diff_ids.len() != saved.layers.len() {
        return Err(fault(MANIFEST, format!("{} has not as many layers as its config", saved.shown())));
    }
    let mut layers = Vec::new();
    for (layer, diff_id) in saved.layers.iter().zip(&parsed.rootfs.diff_ids) {
        let found = blob(Path::new(layer))?;
        if found.media_type == format::LAYER_TAR && found.digest != *diff_id {
            let reason = format!("it is corrupt: its digest is {}, the config says {diff_id}", found.digest);
            return Err(fault(layer, reason));
        }
        layers.push(found);
    }
    let describe =
        |blob: &CarriedBlob| Descriptor { media_type: blob.media_type.clone(), digest: blob.digest, size: blob.size };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(format::MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor { media_type: format::CONFIG.to_owned(), digest: config.digest, size: config.size },
        layers: layers.iter().map(describe).collect(),
        annotations: BTreeMap::new(),
    };
    let manifest = documents::put(store, &manifest, format::MANIFEST)?;
    let (digest, media_type, size) = (manifest.digest, manifest.media_type.clone(), manifest.size);
    let mut blobs =
        vec![CarriedBlob { digest, media_type, size }, CarriedBlob { media_type: format::CONFIG.to_owned(), ..config }];
    blobs.extend(layers);
    Ok(Composed { manifest, blobs })
}

/// The path without `.` and with `..` resolved by name; it stays below the archive's root.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            _ => {}
        }
    }
    normal
}
