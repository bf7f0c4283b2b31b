//! Reads files from the rootfs of an image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use content_store::Store;

use crate::durable;
use crate::error::{Error, Result};
use crate::image::{Image, Layer};
use crate::layer::listing::{Listed, Listing, Merged};
use crate::layer::stream::{self, Done};
use crate::layer::tar::{self, MemberKind, Reader};

/// What is read of an image at once is never larger than this.
const TOTAL_LIMIT: usize = 128 << 20;

impl Image {
    /// Paths of all files and links of the rootfs, relative and sorted; directories are not among them.
    ///
    /// The first call for a layer reads all of it; the result is kept beside the store.
    ///
    /// # Errors
    /// [`crate::Error::Store`] for a missing or corrupt layer, [`crate::Error::Archive`] for a hostile one.
    pub fn list_files(&self) -> Result<Vec<String>> {
        let merged = self.merged()?;
        let files = merged.iter().filter(|(_, listed)| **listed != Listed::Directory);
        Ok(files.map(|(path, _)| path.to_string_lossy().into_owned()).collect())
    }

    /// The contents of those of the given files that the rootfs has (links are followed below the rootfs); none may be
    /// longer than `limit` bytes.
    ///
    /// # Errors
    /// As [`Image::list_files`]; [`crate::Error::Archive`] for a file longer than `limit`, [`crate::Error::NotAnImage`] for
    /// more than 128 MiB together.
    pub fn read_files(&self, paths: &[&str], limit: u64) -> Result<BTreeMap<String, Vec<u8>>> {
        read_merged(&self.store, self.layers(), &self.merged()?, paths, limit)
    }

    /// The paths of the whole rootfs.
    pub(crate) fn merged(&self) -> Result<Merged> {
        let mut merged = Merged::default();
        for layer in self.layers() {
            merged.stack(&listing(&self.store, layer, self.listings.as_deref())?);
            if merged.names() > tar::NAMES_LIMIT {
                let reason = format!("the names of its layers take more than {} MiB", tar::NAMES_LIMIT >> 20);
                return Err(Error::NotAnImage { document: self.index_digest().to_string(), reason });
            }
        }
        Ok(merged)
    }
}

/// Reads files from the layers that `merged` says they come from.
pub(crate) fn read_merged(
    store: &Store,
    layers: &[Layer],
    merged: &Merged,
    paths: &[&str],
    limit: u64,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let (mut found, mut total) = (BTreeMap::new(), 0);
    let mut wanted: BTreeMap<usize, BTreeMap<PathBuf, Vec<&str>>> = BTreeMap::new();
    for path in paths {
        let resolved = merged.resolve(Path::new(path));
        if let (Some(Listed::File), Some(layer)) = (merged.get(&resolved), merged.layer_of(&resolved)) {
            wanted.entry(layer).or_default().entry(resolved).or_default().push(path);
        }
    }
    for (layer, names) in wanted {
        let contents = read_from_layer(store, &layers[layer], &names.keys().cloned().collect(), limit)?;
        for (path, content) in contents {
            for name in names.get(&path).into_iter().flatten() {
                total += content.len();
                found.insert((*name).to_owned(), content.clone());
            }
            check_total(total, &layers[layer])?;
        }
    }
    Ok(found)
}

/// The listing of a layer, from `cache` or from the layer itself.
pub(crate) fn listing(store: &Store, layer: &Layer, cache: Option<&Path>) -> Result<Listing> {
    let file = cache.map(|cache| cache.join(layer.digest.hex()));
    if let Some(file) = &file
        && let Ok(bytes) = std::fs::read(file)
        && let Some(listing) = Listing::from_bytes(&bytes)
    {
        return Ok(listing);
    }
    let listing = stream::with_tar(store, layer, |tar| {
        let mut listing = Listing::default();
        let label = tar.label.clone();
        let mut reader = Reader::new(tar, label);
        while let Some(member) = reader.next()? {
            listing.push(member);
        }
        Ok(Done::All(listing))
    })?;
    if let Some(file) = &file {
        // Only for speed: a disk that is full or cannot be written does not keep anybody from reading.
        let _ = durable::write(file, &listing.to_bytes());
    }
    Ok(listing)
}

/// Reads files from one layer; a hard link is read where its target stands.
pub(crate) fn read_from_layer(
    store: &Store,
    layer: &Layer,
    wanted: &BTreeSet<PathBuf>,
    limit: u64,
) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let (mut contents, links) = scan_layer(store, layer, wanted, limit)?;
    if !links.is_empty() {
        // A link to a link is none of ours: tar writers link to the first name.
        let (targets, _) = scan_layer(store, layer, &links.values().cloned().collect(), limit)?;
        contents.extend(links.into_iter().filter_map(|(path, target)| Some((path, targets.get(&target)?.clone()))));
    }
    Ok(contents)
}

/// Refuses to hold ever more files, however small each is.
fn check_total(bytes: usize, layer: &Layer) -> Result<()> {
    if bytes <= TOTAL_LIMIT {
        return Ok(());
    }
    let reason = format!("the files that have to be read of it are larger than {} MiB together", TOTAL_LIMIT >> 20);
    Err(Error::NotAnImage { document: layer.digest.to_string(), reason })
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;
type Links = BTreeMap<PathBuf, PathBuf>;

fn scan_layer(store: &Store, layer: &Layer, wanted: &BTreeSet<PathBuf>, limit: u64) -> Result<(Contents, Links)> {
    stream::with_tar(store, layer, |tar| {
        let (mut contents, mut links, mut total) = (Contents::new(), Links::new(), 0);
        let label = tar.label.clone();
        let mut reader = Reader::new(tar, label);
        while let Some(member) = reader.next()? {
            if !wanted.contains(&member.path) {
                continue;
            }
            match member.kind {
                MemberKind::File { .. } => {
                    let content = reader.read_data(limit, &member.path)?;
                    total += content.len();
                    check_total(total, layer)?;
                    contents.insert(member.path, content);
                }
                MemberKind::HardLink(target) => drop(links.insert(member.path, target)),
                _ => {}
            }
            if contents.len() + links.len() == wanted.len() {
                return Ok(Done::Enough((contents, links)));
            }
        }
        Ok(Done::All((contents, links)))
    })
}
