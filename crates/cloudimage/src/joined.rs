//! The index that joins the manifests of several platforms.
//!
//! One order for all who write it: the root file systems by platform, then the artifacts in the order of what they belong
//! to. So a build for several platforms and images that were built apart and joined later have the same digest. What
//! others wrote into an entry stays in it.

use std::collections::BTreeMap;

use content_store::{Descriptor, Digest, MediaType, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::documents::{self, IndexEntry};
use crate::error::{Error, Result};
use crate::format;
use crate::platform::Platform;

/// An image index with everything that its entries say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Joined {
    schema_version: u32,
    media_type: Option<String>,
    pub(crate) manifests: Vec<Entry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// An entry of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<EntryPlatform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// What an entry says about where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EntryPlatform {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    /// `os.version`, `os.features` and whatever else is said.
    #[serde(flatten)]
    pub(crate) other: BTreeMap<String, Value>,
}

impl Joined {
    /// An index of these entries, in the one order.
    pub(crate) fn new(manifests: Vec<Entry>) -> Self {
        let mut joined = Self {
            schema_version: 2,
            media_type: Some(format::INDEX.to_owned()),
            manifests,
            annotations: BTreeMap::new(),
        };
        joined.sort();
        joined
    }

    /// Reads it from the store.
    pub(crate) fn read(store: &Store, digest: &Digest) -> Result<Self> {
        documents::read(store, digest, format::DOCUMENT_LIMIT)
    }

    /// Writes it into the store, to be named.
    pub(crate) fn put(&mut self, store: &Store) -> Result<Descriptor> {
        let written = self.write(store)?;
        Ok(Descriptor::new(MediaType::ImageIndex, written.size, written.digest))
    }

    /// Writes it into the store.
    pub(crate) fn write(&mut self, store: &Store) -> Result<documents::Descriptor> {
        self.sort();
        self.media_type = Some(format::INDEX.to_owned());
        let written = documents::put(store, self, format::INDEX)?;
        if written.size > format::DOCUMENT_LIMIT {
            let reason = format!("an index takes at most {} MiB", format::DOCUMENT_LIMIT >> 20);
            return Err(Error::NotAnImage { document: written.digest.to_string(), reason });
        }
        Ok(written)
    }

    fn sort(&mut self) {
        let places: BTreeMap<String, Option<Platform>> = self
            .manifests
            .iter()
            .filter(|entry| entry.rootfs().is_none())
            .map(|entry| (entry.digest.to_string(), entry.platform().cloned()))
            .collect();
        self.manifests.sort_by_cached_key(|entry| match entry.rootfs() {
            None => (false, entry.platform().cloned(), entry.digest.to_string()),
            Some(rootfs) => (true, places.get(rootfs).cloned().flatten(), rootfs.to_owned()),
        });
    }
}

impl From<IndexEntry> for Entry {
    fn from(entry: IndexEntry) -> Self {
        let platform = entry.platform.map(|platform| EntryPlatform { platform, other: BTreeMap::new() });
        let IndexEntry { media_type, digest, size, annotations, .. } = entry;
        Self { media_type, digest, size, platform, annotations, other: BTreeMap::new() }
    }
}

impl Entry {
    /// The entry of a rootfs manifest.
    pub(crate) fn of_rootfs(manifest: &documents::Descriptor, platform: &Platform) -> Self {
        Self {
            media_type: manifest.media_type.clone(),
            digest: manifest.digest,
            size: manifest.size,
            platform: Some(EntryPlatform { platform: platform.clone(), other: BTreeMap::new() }),
            annotations: BTreeMap::new(),
            other: BTreeMap::new(),
        }
    }

    pub(crate) fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref().map(|said| &said.platform)
    }

    /// The digest of the rootfs manifest that this artifact belongs to; none for a rootfs.
    pub(crate) fn rootfs(&self) -> Option<&str> {
        self.annotations.get(format::ROOTFS_ANNOTATION).map(String::as_str)
    }

    /// Whether it is a root file system.
    pub(crate) fn is_rootfs(&self) -> bool {
        format::is_manifest(&self.media_type)
            && !self.annotations.contains_key(format::KIND_ANNOTATION)
            && !self.platform().is_some_and(Platform::is_unknown)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_others_said_stays_and_the_order_is_one() {
        let text = |arch: &str, last: char| {
            let digest = format!("sha256:{}", last.to_string().repeat(64));
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"{arch}","os.version":"10"}},"urls":["https://a"]}}"#
            )
        };
        let (arm, amd) = (text("arm64", 'a'), text("amd64", 'b'));
        let read: Joined =
            serde_json::from_str(&format!(r#"{{"schemaVersion":2,"manifests":[{arm},{amd}]}}"#)).unwrap();
        let written = serde_json::to_string(&Joined::new(read.manifests)).unwrap();
        let head = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":["#;
        assert_eq!(written, format!("{head}{amd},{arm}]}}"));
    }
}
