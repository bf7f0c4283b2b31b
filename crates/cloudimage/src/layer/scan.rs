//! Lists the entries of a directory on disk.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::tree::{Content, Entry, Kind, Tree};
use crate::error::{Error, Result};

/// Deepest directory that is entered.
const DEPTH_LIMIT: usize = 256;
/// Most entries that one RUN may change.
const CHANGE_LIMIT: usize = 2_000_000;

/// Which paths (relative to the scanned root) are left out.
pub(crate) trait Filter {
    /// Whether a path is left out.
    fn leaves_out(&self, path: &Path) -> bool;
    /// Whether a directory, left out or not, may hold something that is not.
    fn enters(&self, directory: &Path) -> bool;
}

/// Adds files and directories on disk to a tree, keeping hard links among them.
pub(crate) struct Scan<'a> {
    pub(crate) tree: &'a mut Tree,
    /// Keep owners and `user.` attributes as they are on disk; otherwise everything is root's.
    pub(crate) keep_owners: bool,
    /// Where the first name of each file with several names went.
    pub(crate) links: HashMap<(u64, u64), PathBuf>,
    /// Sockets, which were left out.
    pub(crate) sockets: Vec<PathBuf>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(tree: &'a mut Tree, keep_owners: bool) -> Self {
        Self { tree, keep_owners, links: HashMap::new(), sockets: Vec::new() }
    }

    /// Adds the children of `directory` below `destination`.
    ///
    /// `filter` is asked with paths below `relative`; a directory that it leaves out may be entered all the same, because
    /// an exception may bring a child back.
    pub(crate) fn add_children(
        &mut self,
        directory: &Path,
        destination: &Path,
        relative: &Path,
        filter: &dyn Filter,
    ) -> Result<()> {
        if destination.components().count() > DEPTH_LIMIT {
            let source = io::Error::other("directories are nested too deep");
            return Err(Error::File { act: "read", path: directory.to_owned(), source });
        }
        for name in sorted_names(directory)? {
            let (path, below, relative) = (directory.join(&name), destination.join(&name), relative.join(&name));
            let metadata = fs::symlink_metadata(&path).map_err(Error::file("read", &path))?;
            let ignored = filter.leaves_out(&relative);
            if metadata.is_dir() {
                let before = self.tree.len();
                if !ignored {
                    self.add(&path, &metadata, below.clone())?;
                }
                if filter.enters(&relative) {
                    self.add_children(&path, &below, &relative, filter)?;
                }
                if ignored && self.tree.len() > before {
                    // Something below came back: its parent must be there.
                    self.add(&path, &metadata, below)?;
                }
            } else if !ignored {
                self.add(&path, &metadata, below)?;
            }
        }
        Ok(())
    }

    /// Adds what is at `path` itself (a link stays a link) as `destination`. Sockets are left out.
    pub(crate) fn add(&mut self, path: &Path, metadata: &Metadata, destination: PathBuf) -> Result<()> {
        let Some(kind) = self.kind(path, metadata, &destination)? else { return Ok(()) };
        let (uid, gid) = if self.keep_owners { (metadata.uid(), metadata.gid()) } else { (0, 0) };
        let xattrs = if matches!(kind, Kind::File(_) | Kind::Directory) {
            read_xattrs(path, self.keep_owners)?
        } else {
            BTreeMap::new()
        };
        let entry = Entry { kind, mode: metadata.mode() & 0o7777, uid: uid.into(), gid: gid.into(), xattrs };
        self.tree.insert(destination, entry);
        Ok(())
    }

    fn kind(&mut self, path: &Path, metadata: &Metadata, destination: &Path) -> Result<Option<Kind>> {
        let file_type = metadata.file_type();
        let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
        Ok(Some(if file_type.is_dir() {
            Kind::Directory
        } else if file_type.is_symlink() {
            Kind::Symlink(fs::read_link(path).map_err(Error::file("read", path))?)
        } else if file_type.is_file() {
            if metadata.nlink() > 1 {
                let key = (metadata.dev(), metadata.ino());
                if let Some(first) = self.links.get(&key) {
                    return Ok(Some(Kind::HardLink(first.clone())));
                }
                self.links.insert(key, destination.to_owned());
            }
            Kind::File(Content::Disk { path: path.to_owned(), offset: 0, size: metadata.len() })
        } else if file_type.is_fifo() {
            Kind::Fifo
        } else if file_type.is_char_device() {
            Kind::Character { major, minor }
        } else if file_type.is_block_device() {
            Kind::Block { major, minor }
        } else {
            self.sockets.push(path.to_owned());
            return Ok(None);
        }))
    }
}

/// Lists what an overlay's upper directory records: changed entries, deletions, replaced directories.
pub(crate) fn upper_directory(upper: &Path) -> Result<Tree> {
    check_number(upper, CHANGE_LIMIT)?;
    let mut tree = Tree::default();
    let mut links = HashMap::new();
    add_upper(&mut tree, &mut links, upper, Path::new(""), 0)?;
    Ok(tree)
}

/// Refuses a directory with more entries than `limit`, or too deep, before anything of it is kept in memory.
fn check_number(upper: &Path, limit: usize) -> Result<()> {
    let mut number = 0;
    let mut open = vec![fs::read_dir(upper).map_err(Error::file("read the directory", upper))?];
    while let Some(entries) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry.map_err(Error::file("read the directory", upper))?;
        number += 1;
        let refused = |reason: String| {
            Err(Error::File { act: "keep the changes in", path: upper.to_owned(), source: io::Error::other(reason) })
        };
        if number > limit {
            return refused(format!("the command changed more than {limit} files"));
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if open.len() > DEPTH_LIMIT {
                return refused(format!("it has directories nested deeper than {DEPTH_LIMIT}"));
            }
            open.push(fs::read_dir(entry.path()).map_err(Error::file("read the directory", upper))?);
        }
    }
    Ok(())
}

fn add_upper(
    tree: &mut Tree,
    links: &mut HashMap<(u64, u64), PathBuf>,
    directory: &Path,
    destination: &Path,
    depth: usize,
) -> Result<()> {
    if depth > DEPTH_LIMIT {
        let source = io::Error::other("directories are nested too deep");
        return Err(Error::File { act: "read", path: directory.to_owned(), source });
    }
    for name in sorted_names(directory)? {
        let (path, below) = (directory.join(&name), destination.join(&name));
        let metadata = fs::symlink_metadata(&path).map_err(Error::file("read", &path))?;
        if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
            tree.whiteout(&below);
            continue;
        }
        let mut scan = Scan { tree, keep_owners: true, links: std::mem::take(links), sockets: Vec::new() };
        scan.add(&path, &metadata, below.clone())?;
        *links = std::mem::take(&mut scan.links);
        if metadata.is_dir() {
            if read_xattr(&path, "trusted.overlay.opaque")?.as_deref() == Some(b"y") {
                tree.opaque(&below);
            }
            add_upper(tree, links, &path, &below, depth + 1)?;
        }
    }
    Ok(())
}

fn sorted_names(directory: &Path) -> Result<Vec<OsString>> {
    let names =
        fs::read_dir(directory).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
    let mut names: Vec<OsString> = names.map_err(Error::file("read the directory", directory))?;
    names.sort();
    Ok(names)
}

/// The extended attributes that travel in layers: file capabilities and, with `user`, the `user.` name space.
fn read_xattrs(path: &Path, user: bool) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let fault =
        |error: Errno| Error::File { act: "read the attributes of", path: path.to_owned(), source: error.into() };
    let mut list = vec![0; 1024];
    let mut length = rustix::fs::llistxattr(path, &mut list[..]);
    if length == Err(Errno::RANGE) {
        list.resize(64 << 10, 0);
        length = rustix::fs::llistxattr(path, &mut list[..]);
    }
    let length = match length {
        Err(Errno::NOTSUP) => 0,
        length => length.map_err(fault)?,
    };
    let mut xattrs = BTreeMap::new();
    for name in list[..length].split(|&byte| byte == 0) {
        if (name == b"security.capability" || (user && name.starts_with(b"user.")))
            && let Some(value) = read_xattr(path, std::ffi::OsStr::from_bytes(name))?
        {
            xattrs.insert(name.to_vec(), value);
        }
    }
    Ok(xattrs)
}

fn read_xattr(path: &Path, name: impl rustix::path::Arg) -> Result<Option<Vec<u8>>> {
    let mut value = vec![0; 64 << 10];
    match rustix::fs::lgetxattr(path, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => Ok(None),
        Err(error) => Err(Error::File { act: "read the attributes of", path: path.to_owned(), source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_changes_than_the_limit_are_refused() {
        let upper = tempfile::tempdir().expect("a directory");
        for name in ["a", "b/c", "b/d"] {
            fs::create_dir_all(upper.path().join(name)).expect("a directory");
        }
        assert!(check_number(upper.path(), 4).is_ok());
        let Err(Error::File { source, .. }) = check_number(upper.path(), 3) else { panic!("it was accepted") };
        assert_eq!(source.to_string(), "the command changed more than 3 files");
    }
}
