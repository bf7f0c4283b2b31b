//! Frees what no image needs: blobs, interrupted downloads, unpacked layers, results of earlier builds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use content_store::{Digest, Freed, Partials};
use serde::Serialize;

use crate::builder::cache::{self, Waste};
use crate::error::{Error, Result};
use crate::images::Images;
use crate::mount;
use crate::remove::remove_directory;

/// What is freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Also what is only of use to the next command: all results of builds, unpacked layers, and downloads that could be
    /// resumed.
    pub all: bool,
    /// Only say what would be freed.
    pub dry_run: bool,
}

/// What was freed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Pruned {
    /// Blobs that no name reaches.
    pub blobs: Amount,
    /// Interrupted downloads.
    pub downloads: Amount,
    /// Unpacked layers.
    pub layers: Amount,
    /// Results and directories of earlier builds.
    pub build_cache: Amount,
}

/// How many things of a kind, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl From<Freed> for Amount {
    fn from(freed: Freed) -> Self {
        Self { count: freed.blobs, bytes: freed.bytes }
    }
}

impl Pruned {
    /// Bytes of everything.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        [self.blobs, self.downloads, self.layers, self.build_cache].iter().map(|amount| amount.bytes).sum()
    }
}

impl PruneOptions {
    /// Frees what is of no use, or, with `all`, what only makes the next command faster.
    #[must_use]
    pub fn new(all: bool, dry_run: bool) -> Self {
        Self { all, dry_run }
    }
}

impl Images {
    /// Frees what no image needs. Builds, downloads and loads keep it away: it is all or nothing, and never waits.
    ///
    /// # Errors
    /// [`Error::Store`] around [`content_store::Error::InUse`] when another command writes; around
    /// [`content_store::Error::Corrupt`] when a document that says what is needed is corrupt: then nothing is freed.
    pub fn prune(&self, options: PruneOptions) -> Result<Pruned> {
        self.prune_keeping(options, &BTreeSet::new())
    }

    /// The same, keeping these images too, whether they have names or not.
    ///
    /// # Errors
    /// As [`Images::prune`].
    pub fn prune_keeping(&self, options: PruneOptions, keep: &BTreeSet<Digest>) -> Result<Pruned> {
        // Held to the end: nobody begins to build on a layer that is being removed.
        let alone = self.content().alone()?;
        let garbage = alone.garbage(keep)?;
        let stored = |digest: &_| self.content().contains(digest) && !garbage.blobs().contains_key(digest);
        let mut waste = cache::waste(self, options.all, &stored);
        let mounted = mount::layers_in_use(self)?;
        waste.layers.retain(|layer| !mounted.contains(layer));
        let partials = if options.all { Partials::All } else { Partials::Useless };
        let Waste { cached, layers } = waste;
        let (layers_amount, cache_amount) = (amount(&layers), amount(&cached));
        let removed = if options.dry_run {
            garbage.sizes(partials)?
        } else {
            // Records first: one that is there says that its blobs are.
            cached.iter().chain(&layers).try_for_each(|path| remove(path))?;
            garbage.remove(partials)?
        };
        Ok(Pruned {
            blobs: removed.blobs.into(),
            downloads: removed.partials.into(),
            layers: layers_amount,
            build_cache: cache_amount,
        })
    }
}

fn amount(paths: &[PathBuf]) -> Amount {
    Amount { count: paths.len() as u64, bytes: paths.iter().map(|path| size(path)).sum() }
}

/// Bytes of the files below a path. What cannot be read counts nothing: it is only told.
fn size(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            bytes += metadata.len();
        }
    }
    bytes
}

fn remove(path: &Path) -> Result<()> {
    let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_directory { remove_directory(path) } else { fs::remove_file(path) };
    removed.map_err(Error::file("remove", path))
}
