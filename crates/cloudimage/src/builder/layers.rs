//! Writes a tree as the next layer of a draft, or reuses an earlier build's layer.

use std::path::Path;

use content_store::Digest;

use super::archives;
use super::cache::{self, Record};
use super::copy::{self, Transfer};
use super::draft::{RootfsState, WrittenLayers};
use super::options::BuildOptions;
use crate::durable;
use crate::error::{Error, Result};
use crate::image::Layer;
use crate::images::Images;
use crate::layer::listing::Listing;
use crate::layer::tree::Tree;
use crate::layer::write;

/// What a layer is made for.
pub(super) struct Job<'a> {
    pub(super) images: &'a Images,
    pub(super) rootfs: &'a RootfsState,
    pub(super) options: &'a BuildOptions,
    /// For histories.
    pub(super) title: &'a str,
    pub(super) spool: &'a Path,
}

/// Performs a COPY or ADD. The flag says that an earlier build, or this one for another platform, had done it.
pub(super) fn copy(job: &Job<'_>, transfer: &Transfer) -> Result<(Record, bool)> {
    let mut tree = copy::tree(job.rootfs, transfer)?;
    remove_empty(&mut tree)?;
    let digest = cache::digest_of(&tree)?;
    let key = cache::key(job.rootfs, job.options, "COPY", &[&digest.to_string()]);
    let written = &job.rootfs.written;
    if let Some(record) = reuse(job, &key) {
        note_written(written, digest, &record);
        return Ok((record, true));
    }
    if let Some(layer) = written.get(&digest) {
        let layer = Layer { created_by: job.title.to_owned(), ..layer };
        let record = Record { layer: Some(layer), files: tree.files(), carried: Vec::new(), remarks: Vec::new() };
        cache::save(job.images, &key, &record)?;
        return Ok((record, true));
    }
    let record = make(job, tree, &key)?;
    note_written(written, digest, &record);
    Ok((record, false))
}

/// Remembers a layer for the other platforms, unless something was taken out of its tree or said about it, which depends
/// on the platform.
fn note_written(written: &WrittenLayers, tree: Digest, record: &Record) {
    if let Record { layer: Some(layer), carried, remarks, .. } = record
        && carried.is_empty()
        && remarks.is_empty()
    {
        written.insert(tree, layer);
    }
}

/// The result of an earlier build, unless none may be used.
pub(super) fn reuse(job: &Job<'_>, key: &Digest) -> Option<Record> {
    if job.options.no_cache {
        return None;
    }
    let mut record = cache::load(job.images, key)?;
    if let Some(layer) = &mut record.layer {
        job.title.clone_into(&mut layer.created_by);
    }
    Some(record)
}

/// Writes the tree as a layer and keeps the result under `key`. Archives of container images are taken out of it.
pub(super) fn make(job: &Job<'_>, mut tree: Tree, key: &Digest) -> Result<Record> {
    let (carried, remarks) = archives::take(job, &mut tree)?;
    remove_empty(&mut tree)?;
    let layer = if tree.is_empty() { None } else { Some(write_layer(job, &tree)?) };
    let record = Record { layer, files: tree.files(), carried, remarks };
    cache::save(job.images, key, &record)?;
    Ok(record)
}

fn write_layer(job: &Job<'_>, tree: &Tree) -> Result<Layer> {
    let written = write::write(job.images.content(), tree, job.options.compression, job.options.epoch())?;
    durable::write(&job.images.listings().join(written.digest.hex()), &Listing::of_tree(tree).to_bytes())?;
    Ok(Layer {
        digest: written.digest,
        size: written.size,
        media_type: written.media_type.to_owned(),
        diff_id: Some(written.diff_id),
        created_by: job.title.to_owned(),
    })
}

fn remove_empty(tree: &mut Tree) -> Result<()> {
    tree.settle_links().map_err(|link| Error::Archive {
        archive: "the new layer".to_owned(),
        entry: link.display().to_string(),
        reason: "it is a hard link to a file that is not in the same layer".to_owned(),
    })
}
