//! Takes the blobs and tags of docker's registry out of the layers of a rootfs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use content_store::{Digest, Store};

use crate::error::{Error, Result};
use crate::image::{Image, Layer};
use crate::layer::listing::{Listed, Merged};
use crate::layer::stream::{self, Done};
use crate::layer::tar::{Member, MemberKind, Reader};

/// Where upstream keeps the files of its registry in the rootfs.
const ROOT: &str = "registry/docker/registry/v2";
/// Longest file that holds a digest.
const LINK_LIMIT: u64 = 256;

/// What the layers hold; the blobs are in the store.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Digests by repository, as a path, and tag.
    pub(super) tags: BTreeMap<(String, String), Digest>,
    /// Digests of manifests and indexes by repository.
    pub(super) revisions: BTreeSet<(String, Digest)>,
    /// Layers that hold nothing else.
    pub(super) layers: BTreeSet<Digest>,
}

/// Reads every layer that has files of a registry, once; `None` when none has.
pub(super) fn scan(image: &Image, merged: &Merged) -> Result<Option<Scanned>> {
    let is_file = |(path, listed): &(&Path, &Listed)| path.starts_with(ROOT) && **listed == Listed::File;
    let layers: BTreeSet<usize> = merged.iter().filter(is_file).filter_map(|(path, _)| merged.layer_of(path)).collect();
    if layers.is_empty() {
        return Ok(None);
    }
    let mut scanned = Scanned::default();
    for at in layers {
        let layer = &image.layers()[at];
        let is_current = |path: &Path| merged.layer_of(path) == Some(at);
        if scanned.read(&image.store, layer, &is_current)? {
            scanned.layers.insert(layer.digest);
        }
    }
    Ok(Some(scanned))
}

impl Scanned {
    /// Reads a layer; says whether it holds nothing but a registry.
    fn read(&mut self, store: &Store, layer: &Layer, is_current: &dyn Fn(&Path) -> bool) -> Result<bool> {
        stream::with_tar(store, layer, |tar| {
            let label = tar.label.clone();
            let mut reader = Reader::new(tar, label);
            let mut is_pure = true;
            while let Some(member) = reader.next()? {
                is_pure &= belongs(&member);
                if !matches!(member.kind, MemberKind::File { .. }) || !is_current(&member.path) {
                    continue;
                }
                let Ok(path) = member.path.strip_prefix(ROOT) else { continue };
                match Role::of(path) {
                    Some(Role::Blob(digest)) => take(store, &mut reader, &digest, &member.path, layer)?,
                    Some(Role::Tag(repository, tag)) => {
                        if let Some(digest) = link(&mut reader, &member.path)? {
                            self.tags.insert((repository, tag), digest);
                        }
                    }
                    Some(Role::Revision(repository)) => {
                        self.revisions.extend(link(&mut reader, &member.path)?.map(|digest| (repository, digest)));
                    }
                    None => {}
                }
            }
            Ok(Done::All(is_pure))
        })
    }
}

/// Whether a member is there for the registry alone.
fn belongs(member: &Member) -> bool {
    let root = Path::new(ROOT);
    member.path.starts_with(root) || (member.kind == MemberKind::Directory && root.starts_with(&member.path))
}

/// What a file of the registry is for.
enum Role {
    Blob(Digest),
    /// What a tag points at; repository and tag.
    Tag(String, String),
    /// A manifest of a repository.
    Revision(String),
}

impl Role {
    fn of(path: &Path) -> Option<Self> {
        let parts: Vec<&str> = path.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
        match parts.as_slice() {
            ["blobs", algorithm, _, hex, "data"] => format!("{algorithm}:{hex}").parse().ok().map(Self::Blob),
            ["repositories", repository @ .., "_manifests", "tags", tag, "current", "link"] => {
                Some(Self::Tag(repository.join("/"), (*tag).to_owned()))
            }
            ["repositories", repository @ .., "_manifests", "revisions", _, _, "link"] => {
                Some(Self::Revision(repository.join("/")))
            }
            _ => None,
        }
    }
}

/// The digest in a file; one that holds something else points nowhere.
fn link<R: io::Read>(reader: &mut Reader<R>, path: &Path) -> Result<Option<Digest>> {
    let bytes = reader.read_data(LINK_LIMIT, path)?;
    Ok(std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()))
}

/// Copies a blob into the store, unless it is there.
fn take<R: io::Read>(store: &Store, reader: &mut Reader<R>, digest: &Digest, path: &Path, layer: &Layer) -> Result<()> {
    if store.verify(digest).is_ok() {
        return Ok(());
    }
    let mut writer = store.writer()?.with_algorithm(digest.algorithm());
    io::copy(reader, &mut writer).map_err(Error::file("import", path))?;
    match writer.commit(Some(digest)) {
        Err(content_store::Error::Mismatch { found, .. }) => Err(Error::Archive {
            archive: format!("the registry in layer {}", layer.digest),
            entry: path.display().to_string(),
            reason: format!("it is corrupt: its digest is {found}"),
        }),
        done => Ok(done.map(drop)?),
    }
}
