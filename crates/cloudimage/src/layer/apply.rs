//! Applies one layer to a directory.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, XattrFlags};

use super::place::{Attributes, Place, Root};
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
    let mut state =
        State { whiteouts, written: HashSet::new(), directories: HashMap::new(), buffer: vec![0; 256 << 10] };
    while let Some(member) = tar.next()? {
        let fault = |source| Error::File { act: "unpack", path: member.path.clone(), source };
        let size = if let MemberKind::File { size } = member.kind { size } else { 0 };
        if !state.apply_whiteout(root, &member.path).map_err(fault)? {
            state.apply_member(tar, root, &member).map_err(fault)?;
        }
        progress(size);
    }
    state.finish(root)
}

struct State {
    whiteouts: Whiteouts,
    /// Paths of this layer: a whiteout deletes only what the layers below have.
    written: HashSet<PathBuf>,
    /// Attributes of directories, set last because making their children changes them.
    directories: HashMap<PathBuf, Attributes>,
    buffer: Vec<u8>,
}

impl State {
    /// Whether the member was a whiteout (then it has been dealt with).
    fn apply_whiteout(&mut self, root: &mut Root, path: &Path) -> io::Result<bool> {
        let Some(name) = path.file_name() else { return Ok(false) };
        let parent = path.parent().unwrap_or(Path::new(""));
        if name == OPAQUE_WHITEOUT {
            match self.whiteouts {
                Whiteouts::Overlay => root.set_directory_xattr(parent, "trusted.overlay.opaque", b"y")?,
                Whiteouts::Apply => {
                    let written = &self.written;
                    root.clear(parent, &|name| !written.contains(&parent.join(name)))?;
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

    fn apply_member<R: Read>(&mut self, tar: &mut Reader<R>, root: &mut Root, member: &Member) -> io::Result<()> {
        let attributes = Attributes { uid: member.uid, gid: member.gid, mode: member.mode, mtime: member.mtime };
        if member.path.as_os_str().is_empty() {
            self.directories.insert(PathBuf::new(), attributes);
            return Ok(());
        }
        let place = root.place(&member.path, true)?;
        self.written.insert(member.path.clone());
        if member.kind == MemberKind::Directory {
            root.create_directory(&place)?;
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
        let mut left = size;
        while left > 0 {
            let want = left.min(self.buffer.len() as u64) as usize;
            let count = tar.read(&mut self.buffer[..want])?;
            file.write_all(&self.buffer[..count])?;
            left -= count as u64;
        }
        root.set_file_attributes(&file, attributes)?;
        // After the owner: changing it clears file capabilities.
        set_xattrs(member, |name, value| Ok(rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty())?))
    }

    fn finish(self, root: &mut Root) -> Result<()> {
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
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
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if name == "security.capability" || name.starts_with("user.") {
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
