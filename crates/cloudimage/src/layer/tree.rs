//! The entries of one layer before it is written as a tar.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{OPAQUE_WHITEOUT, WHITEOUT_PREFIX};

/// The entries of one layer by their path, relative and without `.` or `..`; parents sort before children.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

/// One entry: what it is, its permission bits and its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Permission, set-id and sticky bits (`0o7777`).
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Extended attributes, by full name.
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Content),
    Symlink(PathBuf),
    /// Another name of the file at this path of the same tree.
    HardLink(PathBuf),
    Fifo,
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
}

/// Where the bytes of a file are until the layer is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// `size` bytes from `offset` of a file on disk.
    Disk {
        path: PathBuf,
        offset: u64,
        size: u64,
    },
    Bytes(Arc<[u8]>),
}

impl Tree {
    /// Puts an entry at `path`, replacing what was there.
    pub(crate) fn insert(&mut self, path: PathBuf, entry: Entry) {
        self.entries.insert(path, entry);
    }

    pub(crate) fn remove(&mut self, path: &Path) -> Option<Entry> {
        self.entries.remove(path)
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// All entries, parents before children.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of entries that are not directories.
    pub(crate) fn files(&self) -> u64 {
        self.entries.values().filter(|entry| entry.kind != Kind::Directory).count() as u64
    }

    /// Makes every hard link point at a file that stands before it, as tar readers need.
    ///
    /// Gives back a link whose target is no file of this tree.
    pub(crate) fn settle_links(&mut self) -> Result<(), PathBuf> {
        let mut groups: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for (path, entry) in &self.entries {
            if let Kind::HardLink(target) = &entry.kind {
                let mut target = target;
                // A chain is as long as the tree at most; one that never ends is no file either.
                for _ in 0..32 {
                    match self.entries.get(target).map(|entry| &entry.kind) {
                        Some(Kind::HardLink(next)) => target = next,
                        _ => break,
                    }
                }
                if !matches!(self.entries.get(target).map(|entry| &entry.kind), Some(Kind::File(_))) {
                    return Err(path.clone());
                }
                groups.entry(target.clone()).or_default().push(path.clone());
            }
        }
        for (target, mut names) in groups {
            names.push(target.clone());
            names.sort();
            let Some(file) = self.entries.get(&target).cloned() else { continue };
            let first = names.remove(0);
            for name in names {
                self.entries.insert(name, Entry { kind: Kind::HardLink(first.clone()), ..file.clone() });
            }
            self.entries.insert(first, file);
        }
        Ok(())
    }

    /// Deletes `path` from the layers below.
    pub(crate) fn whiteout(&mut self, path: &Path) {
        let mut name = OsString::from(WHITEOUT_PREFIX);
        name.push(path.file_name().unwrap_or_default());
        self.entries.insert(path.with_file_name(name), Entry::empty_file());
    }

    /// Hides what the layers below have in `directory`.
    pub(crate) fn opaque(&mut self, directory: &Path) {
        self.entries.insert(directory.join(OsStr::new(OPAQUE_WHITEOUT)), Entry::empty_file());
    }
}

impl IntoIterator for Tree {
    type Item = (PathBuf, Entry);
    type IntoIter = std::collections::btree_map::IntoIter<PathBuf, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl Entry {
    /// An entry that root owns.
    pub(crate) fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, uid: 0, gid: 0, xattrs: BTreeMap::new() }
    }

    /// An ordinary directory, mode 0755.
    pub(crate) fn directory() -> Self {
        Self::new(Kind::Directory, 0o755)
    }

    fn empty_file() -> Self {
        Self::new(Kind::File(Content::Bytes(Arc::from([]))), 0o600)
    }
}

impl Content {
    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Disk { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Reads the bytes from the start. A file that shrank meanwhile ends early: the caller compares sizes.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::Disk { path, offset, size } => {
                let mut file = File::open(path)?;
                if *offset > 0 {
                    file.seek(SeekFrom::Start(*offset))?;
                }
                Box::new(file.take(*size))
            }
            Self::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
        })
    }

    /// Where the bytes are, for messages.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Disk { path, .. } => path,
            Self::Bytes(_) => Path::new("(given in the Kubefile)"),
        }
    }
}
