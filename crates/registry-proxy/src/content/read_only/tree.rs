//! Finds the blobs and tags in an OCI layout, and in the directory of docker's registry (`docker/registry/v2`), as upstream sealer carries it.

use super::{Found, LIMIT, Place, names};
use crate::error::{Error, Result};
use content_store::{DOCUMENT_LIMIT, Descriptor, Digest, NameKind, Named, Reference};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file that holds a digest.
const LINK_LIMIT: u64 = 256;
/// The most components of the path of a repository.
const DEPTH: usize = 16;

/// The directory with `blobs` and `repositories`, when it is below `path`.
pub(super) fn root(path: &Path) -> Option<PathBuf> {
    let candidates = ["", "docker/registry/v2", "registry/docker/registry/v2"].map(|below| path.join(below));
    candidates.into_iter().find(|root| root.join("blobs").is_dir() && root.join("repositories").is_dir())
}

/// Reads the names of files, and the digests that tags point at.
pub(super) fn scan(root: &Path) -> Result<Found> {
    let mut found = Found::default();
    for algorithm in entries(&root.join("blobs"))? {
        for prefix in entries(&algorithm)? {
            for blob in entries(&prefix)? {
                found.add(root, &algorithm, &blob, blob.join("data"))?;
            }
        }
    }
    repositories(&root.join("repositories"), "", DEPTH, &mut found)?;
    Ok(found)
}

/// The blobs and images of an OCI layout.
pub(super) fn layout(root: &Path) -> Result<Found> {
    let mut found = Found::default();
    for algorithm in entries(&root.join("blobs"))? {
        for blob in entries(&algorithm)? {
            found.add(root, &algorithm, &blob, blob.clone())?;
        }
    }
    let path = root.join("index.json");
    let index = atomic_file::read_limited(&path, DOCUMENT_LIMIT).map_err(Error::file("read", &path))?;
    found.names = names::of_index(&index.unwrap_or_default(), &found.blobs);
    Ok(found)
}

impl Found {
    /// Adds a file when its directory and name are those of a digest.
    fn add(&mut self, root: &Path, algorithm: &Path, name: &Path, file: PathBuf) -> Result<()> {
        let text = [algorithm, name].map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let (Ok(digest), Ok(metadata)) = (text.join(":").parse::<Digest>(), fs::metadata(&file)) else { return Ok(()) };
        if self.blobs.len() >= LIMIT {
            return Err(Error::Store { path: root.to_owned(), reason: "it has too many blobs".to_owned() });
        }
        self.blobs.insert(digest, Place { path: file, range: 0..metadata.len() });
        Ok(())
    }
}

/// The tags of all repositories below a directory. Their paths begin with a host, or mean Docker Hub.
fn repositories(directory: &Path, path: &str, depth: usize, found: &mut Found) -> Result<()> {
    for entry in entries(directory)? {
        let Some(name) = entry.file_name().and_then(|name| name.to_str()) else { continue };
        if name == "_manifests" {
            for tag in entries(&entry.join("tags"))? {
                let named =
                    tag.file_name().and_then(|tag| format!("{path}:{}", tag.to_str()?).parse::<Reference>().ok());
                let target = link(&tag.join("current/link"));
                if let (Some(reference), Some((digest, place))) =
                    (named, target.and_then(|digest| Some((digest, found.blobs.get(&digest)?))))
                {
                    // What kind of document it is, it says itself.
                    let descriptor = Descriptor::new("".into(), place.range.end, digest);
                    let (kind, name, annotations) = (NameKind::CarriedImage, reference.to_string(), BTreeMap::new());
                    found.names.push(Named { kind, name, descriptor, annotations });
                }
            }
        } else if depth > 0 && !name.starts_with('_') {
            let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            repositories(&entry, &below, depth - 1, found)?;
        }
    }
    Ok(())
}

/// What a directory holds; nothing when it is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let listed =
        fs::read_dir(directory).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    listed.map_err(Error::file("list", directory))
}

/// The digest in a file; one that holds something else points nowhere.
fn link(path: &Path) -> Option<Digest> {
    atomic_file::read_text(path, LINK_LIMIT).ok()??.trim().parse().ok()
}
