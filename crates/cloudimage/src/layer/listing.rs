//! The paths of a layer, and of layers stacked on each other.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::tar::{Member, MemberKind};
use super::tree::{Kind, Tree};
use super::{OPAQUE_WHITEOUT, WHITEOUT_PREFIX};

/// What a listed path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listed {
    Directory,
    File,
    Symlink(PathBuf),
    /// Fifo or device.
    Special,
}

/// The paths of one layer, deletions included, in the layer's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing(pub(crate) Vec<(PathBuf, Listed)>);

impl From<&Kind> for Listed {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Directory => Self::Directory,
            Kind::File(_) | Kind::HardLink(_) => Self::File,
            Kind::Symlink(target) => Self::Symlink(target.clone()),
            Kind::Fifo | Kind::Character { .. } | Kind::Block { .. } => Self::Special,
        }
    }
}

impl Listing {
    pub(crate) fn of_tree(tree: &Tree) -> Self {
        Self(tree.iter().map(|(path, entry)| (path.to_owned(), Listed::from(&entry.kind))).collect())
    }

    pub(crate) fn push(&mut self, member: Member) {
        let listed = match member.kind {
            MemberKind::Directory => Listed::Directory,
            MemberKind::File { .. } | MemberKind::HardLink(_) => Listed::File,
            MemberKind::Symlink(target) => Listed::Symlink(target),
            MemberKind::Fifo | MemberKind::Character { .. } | MemberKind::Block { .. } => Listed::Special,
        };
        self.0.push((member.path, listed));
    }

    /// Whether it speaks of the top directory.
    pub(crate) fn has_root(&self) -> bool {
        self.0.iter().any(|(path, _)| path.as_os_str().is_empty())
    }

    /// Whether it means the same over `below` as it does alone: it brings every directory that it has something in, and
    /// deletes nothing that is not there, because an overlay shows a deletion that deletes nothing. `has_root` says whether
    /// something below speaks of the top directory.
    pub(crate) fn is_self_contained(&self, below: &Merged, has_root: bool) -> bool {
        let is_directory = |entry: &&(PathBuf, Listed)| entry.1 == Listed::Directory;
        let brought: HashSet<&Path> = self.0.iter().filter(is_directory).map(|(path, _)| path.as_path()).collect();
        let parents = self.0.iter().filter_map(|(path, _)| path.parent());
        let mut parents = parents.filter(|parent| !parent.as_os_str().is_empty());
        if (has_root && !self.has_root()) || !parents.all(|parent| brought.contains(parent)) {
            return false;
        }
        let (mut hidden, mut deleted) = (HashSet::new(), HashSet::new());
        for (path, _) in &self.0 {
            match Whiteout::of(path) {
                Some(Whiteout::Opaque(directory)) => drop(hidden.insert(directory.to_owned())),
                Some(Whiteout::Of(target)) => drop(deleted.insert(target)),
                None => {}
            }
        }
        let is_gone = |path: &Path| hidden.contains(path) || deleted.contains(path);
        deleted.iter().all(|target| below.get(target).is_some() && !target.ancestors().skip(1).any(is_gone))
    }

    /// As bytes for a file: a letter and the path, ended by NUL; a link's target follows as its own item.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, listed) in &self.0 {
            let (letter, target) = match listed {
                Listed::Directory => (b'd', None),
                Listed::File => (b'f', None),
                Listed::Special => (b's', None),
                Listed::Symlink(target) => (b'l', Some(target)),
            };
            bytes.push(letter);
            bytes.extend_from_slice(path.as_os_str().as_bytes());
            bytes.push(0);
            if let Some(target) = target {
                bytes.extend_from_slice(target.as_os_str().as_bytes());
                bytes.push(0);
            }
        }
        bytes
    }

    /// Reads [`Self::to_bytes`] back; `None` when they are something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut listing = Self::default();
        let mut items = bytes.strip_suffix(&[0]).map(|bytes| bytes.split(|&byte| byte == 0)).into_iter().flatten();
        while let Some(item) = items.next() {
            let (letter, path) = item.split_first()?;
            let listed = match letter {
                b'd' => Listed::Directory,
                b'f' => Listed::File,
                b's' => Listed::Special,
                b'l' => Listed::Symlink(owned(items.next()?)),
                _ => return None,
            };
            listing.0.push((owned(path), listed));
        }
        (bytes.is_empty() || !listing.0.is_empty()).then_some(listing)
    }
}

fn owned(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// What a path deletes.
enum Whiteout<'a> {
    /// Everything below has in this directory.
    Opaque(&'a Path),
    Of(PathBuf),
}

impl<'a> Whiteout<'a> {
    fn of(path: &'a Path) -> Option<Self> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        if name == OPAQUE_WHITEOUT {
            return Some(Self::Opaque(parent));
        }
        let target = name.as_bytes().strip_prefix(WHITEOUT_PREFIX.as_bytes())?;
        Some(Self::Of(parent.join(OsStr::from_bytes(target))))
    }
}

/// The paths of layers stacked on each other, and the layer that each comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    entries: BTreeMap<PathBuf, (Listed, usize)>,
    layers: usize,
    /// Bytes of names that were put in; what a later layer deleted is still counted.
    names: u64,
}

impl Merged {
    /// Puts a layer on top.
    pub(crate) fn stack(&mut self, listing: &Listing) {
        let layer = self.layers;
        self.layers += 1;
        for (path, listed) in &listing.0 {
            let parent = path.parent().unwrap_or(Path::new(""));
            let Some(name) = path.file_name() else { continue };
            if name == OPAQUE_WHITEOUT {
                self.remove_below(parent, layer);
            } else if let Some(target) = name.as_bytes().strip_prefix(WHITEOUT_PREFIX.as_bytes()) {
                let target = parent.join(OsStr::from_bytes(target));
                if self.entries.get(&target).is_some_and(|(_, owner)| *owner < layer) {
                    self.remove_below(&target, layer);
                    self.entries.remove(&target);
                }
            } else {
                if *listed != Listed::Directory && matches!(self.entries.get(path), Some((Listed::Directory, _))) {
                    self.remove_below(path, layer + 1);
                }
                for ancestor in parent.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
                    if !self.entries.contains_key(ancestor) {
                        self.names += cost(ancestor);
                        self.entries.insert(ancestor.to_owned(), (Listed::Directory, layer));
                    }
                }
                self.names += cost(path);
                self.entries.insert(path.clone(), (listed.clone(), layer));
            }
        }
    }

    /// How many bytes the names of all layers together take, about.
    pub(crate) fn names(&self) -> u64 {
        self.names
    }

    /// Removes what layers before `layer` have below `directory`.
    fn remove_below(&mut self, directory: &Path, layer: usize) {
        let below: Vec<PathBuf> = self
            .entries
            .range(directory.to_owned()..)
            .skip_while(|(path, _)| path.as_path() == directory)
            .take_while(|(path, _)| path.starts_with(directory))
            .filter(|(_, (_, owner))| *owner < layer)
            .map(|(path, _)| path.clone())
            .collect();
        for path in below {
            self.entries.remove(&path);
        }
    }

    /// What is at `path` itself.
    pub(crate) fn get(&self, path: &Path) -> Option<&Listed> {
        self.entries.get(path).map(|(listed, _)| listed)
    }

    /// The layer (counted from the bottom) that `path` comes from.
    pub(crate) fn layer_of(&self, path: &Path) -> Option<usize> {
        self.entries.get(path).map(|(_, layer)| *layer)
    }

    /// All paths, parents before children.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Listed)> {
        self.entries.iter().map(|(path, (listed, _))| (path.as_path(), listed))
    }

    /// `path` with the links among its components resolved as if the rootfs were `/`; missing components stay.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        Self::resolve_by(&|path| self.get(path), path)
    }

    /// The same where `at` says what is at a path.
    pub(crate) fn resolve_by<'a>(at: &dyn Fn(&Path) -> Option<&'a Listed>, path: &Path) -> PathBuf {
        let mut resolved = PathBuf::new();
        let mut pending: Vec<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&name);
            match at(&next) {
                Some(Listed::Symlink(target)) if links < 40 => {
                    links += 1;
                    if target.is_absolute() {
                        resolved.clear();
                    }
                    pending.extend(names(target));
                }
                _ => resolved = next,
            }
        }
        resolved
    }
}

fn cost(path: &Path) -> u64 {
    path.as_os_str().len() as u64 + 64
}

/// Components, last first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().filter_map(name).rev().collect()
}
