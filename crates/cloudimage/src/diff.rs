//! Compares two cluster images: layers, files, carried images, and what has to be moved.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use content_store::{Algorithm, Digest, Hasher, Store};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::image::{Image, Layer};
use crate::layer::listing::{Listed, Merged};
use crate::layer::stream::{self, Done};
use crate::layer::tar::{Member, MemberKind, Reader};

/// What is different in a second image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Difference {
    /// Layers that only the first image has.
    pub layers_removed: Vec<Layer>,
    /// Layers that only the second image has.
    pub layers_added: Vec<Layer>,
    /// Number of layers that both have.
    pub layers_shared: usize,
    /// Files, links and devices of the rootfs that are different, by path. Times are not compared.
    pub files: Vec<FileChange>,
    /// Carried images that are different, by name.
    pub images: Vec<ImageChange>,
    /// Bytes of the blobs that only the second image has: what must be moved to where the first is.
    pub bytes_to_move: u64,
    /// Their number.
    pub blobs_to_move: u64,
}

/// How something is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the second image has it.
    Added,
    /// Only the first image has it.
    Removed,
    /// Both have it, and it is another.
    Changed,
}

/// A file that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileChange {
    /// How.
    pub change: Change,
    /// Its path in the rootfs.
    pub path: String,
}

/// A carried image that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImageChange {
    /// How.
    pub change: Change,
    /// Its whole name.
    pub reference: String,
    /// Its digest in the first image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// Its digest in the second image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Digest>,
}

/// What there is to say about a file, without its time.
pub(crate) type Fingerprint = Digest;

/// What `new` has that `old` has not, and the other way round. Layers that both have are not read.
///
/// # Errors
/// [`Error::Store`] for a missing or corrupt layer, [`Error::Archive`] for a hostile one.
pub fn diff(old: &Image, new: &Image) -> Result<Difference> {
    let digests = |image: &Image| image.layers().iter().map(|layer| layer.digest).collect::<BTreeSet<_>>();
    let only = |image: &Image, others: &BTreeSet<Digest>| {
        image.layers().iter().filter(|layer| !others.contains(&layer.digest)).cloned().collect::<Vec<_>>()
    };
    let (ours, theirs) = (digests(old), digests(new));
    let known = old.blobs();
    let moved: Vec<u64> =
        new.blobs().into_iter().filter(|(digest, _)| !known.contains_key(digest)).map(|(_, size)| size).collect();
    Ok(Difference {
        layers_removed: only(old, &theirs),
        layers_added: only(new, &ours),
        layers_shared: ours.intersection(&theirs).count(),
        files: files(old, new)?,
        images: images(old, new),
        bytes_to_move: moved.iter().sum(),
        blobs_to_move: moved.len() as u64,
    })
}

fn files(old: &Image, new: &Image) -> Result<Vec<FileChange>> {
    let (before, after) = (old.merged()?, new.merged()?);
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let mut changes = Vec::new();
    let mut compared: Vec<&Path> = Vec::new();
    for (path, listed) in before.iter().filter(|(_, listed)| **listed != Listed::Directory) {
        match after.get(path) {
            None | Some(Listed::Directory) => {
                changes.push(FileChange { change: Change::Removed, path: shown(path) });
            }
            Some(other) if !same_layer(path, (old, &before), (new, &after)) => {
                if listed == other {
                    compared.push(path);
                } else {
                    changes.push(FileChange { change: Change::Changed, path: shown(path) });
                }
            }
            Some(_) => {}
        }
    }
    let is_new = |path: &Path| matches!(before.get(path), None | Some(Listed::Directory));
    for (path, _) in after.iter().filter(|(path, listed)| **listed != Listed::Directory && is_new(path)) {
        changes.push(FileChange { change: Change::Added, path: shown(path) });
    }
    let ours = fingerprints(&old.store, old.layers(), &before, &compared)?;
    let theirs = fingerprints(&new.store, new.layers(), &after, &compared)?;
    for path in compared.into_iter().filter(|path| ours.get(*path) != theirs.get(*path)) {
        changes.push(FileChange { change: Change::Changed, path: shown(path) });
    }
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

/// Whether the path is of the same layer in both: then it is the same.
fn same_layer(path: &Path, (old, before): (&Image, &Merged), (new, after): (&Image, &Merged)) -> bool {
    let layer = |image: &Image, merged: &Merged| {
        merged.layer_of(path).and_then(|layer| image.layers().get(layer)).map(|layer| layer.digest)
    };
    layer(old, before) == layer(new, after)
}

/// What there is to say about these files; each layer that has one of them is read once.
pub(crate) fn fingerprints(
    store: &Store,
    layers: &[Layer],
    merged: &Merged,
    paths: &[&Path],
) -> Result<BTreeMap<PathBuf, Fingerprint>> {
    let mut wanted: BTreeMap<usize, BTreeSet<&Path>> = BTreeMap::new();
    for path in paths {
        if let Some(layer) = merged.layer_of(path) {
            wanted.entry(layer).or_default().insert(path);
        }
    }
    let mut found = BTreeMap::new();
    for (layer, paths) in wanted {
        found.extend(of_layer(store, &layers[layer], &paths)?);
    }
    Ok(found)
}

fn of_layer(store: &Store, layer: &Layer, paths: &BTreeSet<&Path>) -> Result<BTreeMap<PathBuf, Fingerprint>> {
    stream::with_tar(store, layer, |tar| {
        let label = tar.label.clone();
        let mut reader = Reader::new(tar, label.clone());
        let (mut found, mut contents) = (BTreeMap::new(), BTreeMap::new());
        let mut links: Vec<(Member, PathBuf)> = Vec::new();
        while let Some(member) = reader.next()? {
            match &member.kind {
                // A link may point at any file of the layer, so every content is kept, as a digest.
                MemberKind::File { .. } => {
                    let content = hash(&mut reader).map_err(Error::file("read", label.clone()))?;
                    if paths.contains(member.path.as_path()) {
                        found.insert(member.path.clone(), fingerprint(&member, Some(&content)));
                    }
                    contents.insert(member.path, content);
                }
                MemberKind::HardLink(target) if paths.contains(member.path.as_path()) => {
                    let target = target.clone();
                    links.push((member, target));
                }
                _ if paths.contains(member.path.as_path()) => {
                    found.insert(member.path.clone(), fingerprint(&member, None));
                }
                _ => {}
            }
        }
        for (member, target) in links {
            found.insert(member.path.clone(), fingerprint(&member, contents.get(&target)));
        }
        Ok(Done::All(found))
    })
}

/// A link is the file that it points at: which of its names is the first says nothing.
fn fingerprint(member: &Member, content: Option<&Digest>) -> Fingerprint {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    match &member.kind {
        MemberKind::File { .. } | MemberKind::HardLink(_) => add(b"file"),
        MemberKind::Symlink(target) => [b"link", target.as_os_str().as_bytes()].iter().for_each(|part| add(part)),
        other => add(format!("{other:?}").as_bytes()),
    }
    add(content.map(ToString::to_string).unwrap_or_default().as_bytes());
    add(format!("{:o} {} {}", member.mode, member.uid, member.gid).as_bytes());
    member.xattrs.iter().for_each(|(name, value)| [name, value].iter().for_each(|part| add(part)));
    hasher.finish()
}

fn hash(input: &mut impl Read) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn images(old: &Image, new: &Image) -> Vec<ImageChange> {
    let digests = |image: &Image| {
        let images = image.catalogue().images.iter();
        images.map(|image| (image.reference.clone(), image.digest)).collect::<BTreeMap<_, _>>()
    };
    let (ours, theirs) = (digests(old), digests(new));
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let change = |reference: &String| {
        let (from, to) = (ours.get(reference).copied(), theirs.get(reference).copied());
        let change = match (from, to) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            (from, to) if from == to => return None,
            _ => Change::Changed,
        };
        Some(ImageChange { change, reference: reference.clone(), from, to })
    };
    names.into_iter().filter_map(change).collect()
}
