//! Tells which manifests of an index are needed for some platforms, by what the index says alone.

use std::collections::BTreeSet;

use content_store::{Digest, Store};

use crate::documents::{IndexEntry, Top};
use crate::error::{Error, Result};
use crate::platform::Platform;

/// Digests of the manifests for these platforms: of each the rootfs and what is carried with it. A single manifest has none.
///
/// Only the index has to be there. Whoever has it may have nothing else of other platforms, nor what other tools list in it.
///
/// # Errors
/// [`Error::NoPlatform`]; [`Error::Store`] when the index is missing or corrupt, [`Error::Document`].
pub fn manifests_for(content: &Store, index: &Digest, platforms: &[Platform]) -> Result<BTreeSet<Digest>> {
    let (Top::Index(document), _) = Top::read(content, index)? else { return Ok(BTreeSet::new()) };
    let platform = |entry: &IndexEntry| entry.platform.clone().unwrap_or_default();
    let mut needed = BTreeSet::new();
    for wanted in platforms {
        let rootfs = document.rootfs_entries().find(|entry| platform(entry).serves(wanted));
        let rootfs = rootfs.ok_or_else(|| Error::NoPlatform {
            name: index.to_string(),
            wanted: wanted.to_string(),
            available: document
                .rootfs_entries()
                .map(|entry| platform(entry).to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        needed.insert(rootfs.digest);
        needed.extend(document.artifact_of(&rootfs.digest).map(|artifact| artifact.digest));
    }
    Ok(needed)
}
