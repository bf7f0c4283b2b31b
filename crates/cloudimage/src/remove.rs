//! Removes directories, however deep a command made them.

use std::ffi::CStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, renameat_with, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::error::{Error, Result};

/// A new directory, removed when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct WorkDirectory(PathBuf);

impl WorkDirectory {
    /// Makes one with a name that begins with `prefix`, for its owner alone.
    pub(crate) fn new_in(parent: &Path, prefix: &str) -> Result<Self> {
        Self::with_mode(parent, prefix, 0o700)
    }

    /// Makes one with this mode less the umask.
    pub(crate) fn with_mode(parent: &Path, prefix: &str, mode: u32) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(mode)).tempdir_in(parent);
        Ok(Self(made.map_err(Error::file("create a directory in", parent))?.keep()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        // The next build tries again.
        let _ = remove_directory(&self.0);
    }
}

/// Removes a directory of ours with everything in it.
///
/// Directories in directories in it are moved to its top before they are emptied, so that neither a path nor the stack
/// grows with their depth. No link is followed, also when somebody still changes what is in it.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    let top = open(CWD, path)?;
    let mut moved = 0;
    let mut remove_inner = |name: &CStr| {
        let inner = open(top.as_fd(), name)?;
        while sweep(&inner, &mut |name| move_up(&inner, name, &top, &mut moved))? {}
        unlinkat(&top, name, AtFlags::REMOVEDIR)
    };
    while sweep(&top, &mut remove_inner)? {}
    fs::remove_dir(path)
}

fn open(parent: BorrowedFd<'_>, path: impl Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, path, flags, Mode::empty())
}

/// Removes the files and empty directories of a directory, and has `nested` do with the others what it does. Says whether
/// there was anything.
fn sweep(directory: &OwnedFd, nested: &mut dyn FnMut(&CStr) -> rustix::io::Result<()>) -> rustix::io::Result<bool> {
    let mut found = false;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        found = true;
        let removed = unlinkat(directory, name, AtFlags::empty());
        let removed = match removed {
            Err(Errno::ISDIR | Errno::PERM) => unlinkat(directory, name, AtFlags::REMOVEDIR),
            removed => removed,
        };
        match removed {
            Err(Errno::NOTEMPTY | Errno::EXIST) => nested(name)?,
            Err(Errno::NOENT) => {}
            removed => removed?,
        }
    }
    Ok(found)
}

/// Moves a directory to the top, under a name that is free there.
fn move_up(parent: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> rustix::io::Result<()> {
    loop {
        *moved += 1;
        match renameat_with(parent, name, top, format!("removed-{moved}"), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_deeper_than_a_path_can_say_is_removed() {
        let parent = tempfile::tempdir().expect("a directory");
        let work = WorkDirectory::new_in(parent.path(), "work-").expect("a directory");
        // From the bottom up: each is made around the one before.
        let mut inner = work.path().join("removed-1");
        fs::create_dir(&inner).expect("a directory");
        for depth in 0..1_000 {
            fs::write(inner.join("file"), "x").expect("a file");
            let outer = work.path().join(format!("outer-{depth}"));
            fs::create_dir(&outer).expect("a directory");
            fs::rename(&inner, outer.join("removed-1")).expect("moved");
            inner = outer;
        }
        let other = parent.path().join("other");
        fs::create_dir(&other).expect("a directory");
        fs::write(other.join("file"), "kept").expect("a file");
        for place in [work.path(), &inner] {
            std::os::unix::fs::symlink(&other, place.join("link")).expect("a link");
        }
        let path = work.path().to_owned();
        drop(work);
        assert!(!path.exists());
        assert!(other.join("file").exists(), "a link was followed");
    }
}
