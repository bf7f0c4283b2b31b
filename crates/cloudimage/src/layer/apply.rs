//! Applies one layer to a directory.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Timestamps, XattrFlags};

use super::place::{Attributes, Made, Place, Root};
use super::tar::{Member, MemberKind, Reader};
use super::{OPAQUE_WHITEOUT, WHITEOUT_PREFIX};
use crate::error::{Error, Result};

/// What a deletion recorded in a layer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    /// It deletes what the layers below have put there.
    Apply,
    /// It becomes what the overlay file system understands; the layer stands in a directory of its own.
    Overlay,
}

/// Applies the members of `tar` to the directory of `root`. `progress` hears the size of each file written.
pub(crate) fn apply<R: Read>(
    tar: &mut Reader<R>,
    root: &mut Root,
    whiteouts: Whiteouts,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut state = State {
        whiteouts,
        written: HashSet::new(),
        deleted: HashSet::new(),
        directories: HashMap::new(),
        touched: HashMap::new(),
        buffer: vec![0; 256 << 10],
    };
    while let Some(member) = tar.next()? {
        let fault = |source| Error::File { act: "unpack", path: member.path.clone(), source };
        let size = if let MemberKind::File { size } = member.kind { size } else { 0 };
        state.note_touched(root, &member.path);
        if !state.apply_whiteout(root, &member.path).map_err(fault)? {
            state.apply_member(tar, root, &member).map_err(fault)?;
        }
        progress(size);
    }
    state.finish(root)
}

/// Marks a directory of which nothing below shows through.
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

struct State {
    whiteouts: Whiteouts,
    /// Paths of this layer with the directories above them: a whiteout deletes only what the layers below have.
    written: HashSet<PathBuf>,
    /// Paths that stand in the directory as deleted.
    deleted: HashSet<PathBuf>,
    /// Attributes of directories, set last because making their children changes them.
    directories: HashMap<PathBuf, Attributes>,
    /// When directories were changed before this layer did, of which it does not speak; none for those that it makes.
    touched: HashMap<PathBuf, Option<Timestamps>>,
    buffer: Vec<u8>,
}

impl State {
    /// Whether the member was a whiteout (then it has been dealt with).
    fn apply_whiteout(&mut self, root: &mut Root, path: &Path) -> io::Result<bool> {
        let Some(name) = path.file_name() else { return Ok(false) };
        let parent = path.parent().unwrap_or(Path::new(""));
        if name == OPAQUE_WHITEOUT {
            match self.whiteouts {
                Whiteouts::Overlay => root.set_directory_xattr(parent, OPAQUE_XATTR, b"y")?,
                Whiteouts::Apply => {
                    let written = &self.written;
                    root.clear(parent, &|path| !written.contains(path))?;
                }
            }
            return Ok(true);
        }
        let Some(target) = name.as_bytes().strip_prefix(WHITEOUT_PREFIX.as_bytes()) else { return Ok(false) };
        if target.starts_with(WHITEOUT_PREFIX.as_bytes()) {
            return Ok(true); // Book-keeping of another storage driver.
        }
        if target.is_empty() || target == b"." || target == b".." {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it deletes nothing that has a name"));
        }
        let target = parent.join(OsStr::from_bytes(target));
        if self.written.contains(&target) {
            return Ok(true);
        }
        match self.whiteouts {
            Whiteouts::Overlay => {
                let place = root.place(&target, true)?;
                root.remove(&place)?;
                root.create_special(&place, FileType::CharacterDevice, 0, 0)?;
                self.deleted.insert(target);
            }
            Whiteouts::Apply => match root.place(&target, false) {
                Ok(place) => root.remove(&place)?,
                // Nothing below has the directory: nothing to delete.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            },
        }
        Ok(true)
    }

    /// Remembers the times of the directories above a path, before they change.
    fn note_touched(&mut self, root: &mut Root, path: &Path) {
        for directory in path.ancestors().skip(1) {
            if self.touched.contains_key(directory) {
                break;
            }
            self.touched.insert(directory.to_owned(), root.times(directory));
        }
    }

    fn note_written(&mut self, path: &Path) {
        for path in path.ancestors() {
            // What is above something known is known.
            if !self.written.insert(path.to_owned()) {
                break;
            }
        }
    }

    fn apply_member<R: Read>(&mut self, tar: &mut Reader<R>, root: &mut Root, member: &Member) -> io::Result<()> {
        let attributes = Attributes { uid: member.uid, gid: member.gid, mode: member.mode, mtime: member.mtime };
        if member.path.as_os_str().is_empty() {
            self.directories.insert(PathBuf::new(), attributes);
            return Ok(());
        }
        let place = root.place(&member.path, true)?;
        self.note_written(&member.path);
        if member.kind == MemberKind::Directory {
            if root.create_directory(&place)? == Made::Kept {
                root.remove_xattrs(&member.path, &|name| is_taken(name) && !member.xattrs.contains_key(name))?;
            }
            if self.deleted.remove(&member.path) {
                // It is another directory than the one below, whose entries must not show through.
                root.set_directory_xattr(&member.path, OPAQUE_XATTR, b"y")?;
            }
            set_xattrs(member, |name, value| root.set_directory_xattr(&member.path, name, value))?;
            self.directories.insert(member.path.clone(), attributes);
            return Ok(());
        }
        if root.kind(&place)?.is_some() {
            root.remove(&place)?;
        }
        match &member.kind {
            MemberKind::Directory => Ok(()),
            MemberKind::File { size } => self.write_file(tar, root, &place, *size, member, attributes),
            MemberKind::Symlink(target) => {
                root.create_symlink(&place, target)?;
                root.set_attributes(&place, attributes)
            }
            MemberKind::HardLink(target) => root.create_hard_link(&place, target),
            MemberKind::Fifo => special(root, &place, FileType::Fifo, 0, 0, attributes),
            MemberKind::Character { major, minor } => {
                special(root, &place, FileType::CharacterDevice, *major, *minor, attributes)
            }
            MemberKind::Block { major, minor } => {
                special(root, &place, FileType::BlockDevice, *major, *minor, attributes)
            }
        }
    }

    fn write_file<R: Read>(
        &mut self,
        tar: &mut Reader<R>,
        root: &Root,
        place: &Place,
        size: u64,
        member: &Member,
        attributes: Attributes,
    ) -> io::Result<()> {
        let mut file = root.create_file(place)?;
        tar.unpack(&mut file, size, &mut self.buffer)?;
        root.set_file_attributes(&file, attributes)?;
        // After the owner: changing it clears file capabilities.
        set_xattrs(member, |name, value| Ok(rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty())?))
    }

    fn finish(self, root: &mut Root) -> Result<()> {
        for (path, times) in self.touched.iter().filter(|(path, _)| !self.directories.contains_key(*path)) {
            times
                .as_ref()
                .map_or(Ok(()), |times| set_or_ignore_missing(|| root.set_times(path, times)))
                .map_err(|source| Error::File { act: "unpack", path: path.clone(), source })?;
        }
        let mut directories: Vec<_> = self.directories.into_iter().collect();
        // Children first: a parent without search permission would lock us out.
        directories.sort_by(|one, other| other.0.cmp(&one.0));
        for (path, attributes) in directories {
            let set = || -> io::Result<()> {
                let place = if path.as_os_str().is_empty() {
                    Place { directory: root.directory(&path, false)?, name: ".".into() }
                } else {
                    root.place(&path, false)?
                };
                match root.kind(&place)? {
                    Some(FileType::Directory) => root.set_attributes(&place, attributes),
                    _ => Ok(()), // A later member replaced it.
                }
            };
            set_or_ignore_missing(set).map_err(|source| Error::File { act: "unpack", path, source })?;
        }
        Ok(())
    }
}

fn set_or_ignore_missing(set: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match set() {
        // A later member removed or replaced it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        other => other,
    }
}

fn special(
    root: &Root,
    place: &Place,
    kind: FileType,
    major: u32,
    minor: u32,
    attributes: Attributes,
) -> io::Result<()> {
    root.create_special(place, kind, major, minor)?;
    root.set_attributes(place, attributes)
}

/// Sets the attributes that may come from outside: file capabilities and the `user.` name space.
fn set_xattrs(member: &Member, set: impl Fn(&str, &[u8]) -> io::Result<()>) -> io::Result<()> {
    for (name, value) in &member.xattrs {
        if !is_taken(name) {
            continue;
        }
        if let Ok(name) = std::str::from_utf8(name) {
            match set(name, value) {
                // The file system does not keep user attributes (tmpfs of old kernels): the file is still right.
                Err(error) if name.starts_with("user.") && error.kind() == io::ErrorKind::Unsupported => {}
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root() => {}
                other => other?,
            }
        }
    }
    Ok(())
}

fn is_taken(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.")
}
