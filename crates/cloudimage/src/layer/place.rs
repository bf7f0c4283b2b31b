//! Creates files below a root directory; no path, link or earlier entry leads out of it.
//!
//! Paths are walked one component at a time from the root's descriptor, symbolic links are resolved as if the root were `/`.
//! That needs no `openat2`, which old kernels lack.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

/// Most symbolic links followed for one path, as in the kernel.
const LINK_LIMIT: usize = 40;

/// A directory below which entries are made.
#[derive(Debug)]
pub(crate) struct Root {
    root: Rc<OwnedFd>,
    /// The parent of the last entry: entries come sorted, so it is often the next one's too.
    last: Option<(PathBuf, Rc<OwnedFd>)>,
    /// Whether owners can be set.
    privileged: bool,
}

/// An existing directory below the root and a name in it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) directory: Rc<OwnedFd>,
    pub(crate) name: OsString,
}

/// What came of making a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    New,
    /// It was there.
    Kept,
}

/// Owner, mode and time of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
}

impl Root {
    /// Opens an existing directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?;
        Ok(Self { root: Rc::new(root), last: None, privileged: rustix::process::geteuid().is_root() })
    }

    /// The top directory of a file system that is mounted nowhere.
    pub(crate) fn of_mount(mounted: &OwnedFd) -> io::Result<Self> {
        let root = open_readable(mounted, OsStr::new("."))?;
        Ok(Self { root: Rc::new(root), last: None, privileged: rustix::process::geteuid().is_root() })
    }

    /// Finds the directory and the name of `path` (relative, no `..`). With `create`, missing parents are made (0755).
    pub(crate) fn place(&mut self, path: &Path, create: bool) -> io::Result<Place> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        if let Some((known, directory)) = &self.last
            && known == parent
        {
            return Ok(Place { directory: Rc::clone(directory), name });
        }
        let directory = self.directory(parent, create)?;
        self.last = Some((parent.to_owned(), Rc::clone(&directory)));
        Ok(Place { directory, name })
    }

    /// Opens the directory at `path`, links resolved below the root.
    pub(crate) fn directory(&self, path: &Path, create: bool) -> io::Result<Rc<OwnedFd>> {
        let mut stack = vec![Rc::clone(&self.root)];
        let mut pending: VecDeque<OsString> = components(path);
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let Some(top) = stack.last() else { return Err(io::ErrorKind::InvalidInput.into()) };
            match open_directory(top, &name) {
                Ok(directory) => stack.push(Rc::new(directory)),
                Err(Errno::NOENT) if create => {
                    rustix::fs::mkdirat(top, &name, Mode::from_raw_mode(0o755))?;
                    let directory = open_directory(top, &name)?;
                    stack.push(Rc::new(directory));
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    // Not a link: reported as "not a directory".
                    let target = rustix::fs::readlinkat(top, &name, Vec::new()).map_err(|_| Errno::NOTDIR)?;
                    links += 1;
                    if links > LINK_LIMIT {
                        return Err(Errno::LOOP.into());
                    }
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() {
                        stack.truncate(1);
                    }
                    for name in components(&target).into_iter().rev() {
                        pending.push_front(name);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        stack.pop().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Forgets cached directories: something was removed, so they may be gone.
    fn forget(&mut self) {
        self.last = None;
    }

    /// What is at `place` itself (links not followed).
    pub(crate) fn kind(&self, place: &Place) -> io::Result<Option<FileType>> {
        match rustix::fs::statat(&place.directory, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is at `place`, with everything below it; nothing there is fine.
    pub(crate) fn remove(&mut self, place: &Place) -> io::Result<()> {
        self.forget();
        match self.kind(place)? {
            None => Ok(()),
            Some(FileType::Directory) => {
                let directory = open_readable(&place.directory, &place.name)?;
                clear(directory.as_fd(), Path::new(""), &|_| true)?;
                Ok(rustix::fs::unlinkat(&place.directory, &place.name, AtFlags::REMOVEDIR)?)
            }
            Some(_) => Ok(rustix::fs::unlinkat(&place.directory, &place.name, AtFlags::empty())?),
        }
    }

    /// Removes everything below the directory at `path` that `unwanted` accepts.
    pub(crate) fn clear(&mut self, path: &Path, unwanted: &dyn Fn(&Path) -> bool) -> io::Result<()> {
        self.forget();
        let directory = self.directory(path, true)?;
        clear(open_readable(&directory, OsStr::new("."))?.as_fd(), path, unwanted)
    }

    /// Makes an empty file for writing; nothing may be at `place`.
    pub(crate) fn create_file(&self, place: &Place) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&place.directory, &place.name, flags, Mode::from_raw_mode(0o600))?.into())
    }

    /// Makes a directory, or keeps the one that is there.
    pub(crate) fn create_directory(&mut self, place: &Place) -> io::Result<Made> {
        match self.kind(place)? {
            Some(FileType::Directory) => return Ok(Made::Kept),
            Some(_) => self.remove(place)?,
            None => {}
        }
        rustix::fs::mkdirat(&place.directory, &place.name, Mode::from_raw_mode(0o755))?;
        Ok(Made::New)
    }

    pub(crate) fn create_symlink(&self, place: &Place, target: &Path) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &place.directory, &place.name)?)
    }

    /// Makes `place` another name of what is at `target` (a path below the root).
    pub(crate) fn create_hard_link(&mut self, place: &Place, target: &Path) -> io::Result<()> {
        let parent = self.directory(target.parent().unwrap_or(Path::new("")), false)?;
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(rustix::fs::linkat(&parent, name, &place.directory, &place.name, AtFlags::empty())?)
    }

    /// Makes a fifo or a device.
    pub(crate) fn create_special(&self, place: &Place, kind: FileType, major: u32, minor: u32) -> io::Result<()> {
        let device = rustix::fs::makedev(major, minor);
        Ok(rustix::fs::mknodat(&place.directory, &place.name, kind, Mode::from_raw_mode(0o600), device)?)
    }

    /// Sets owner, mode and time of an open file.
    pub(crate) fn set_file_attributes(&self, file: &File, attributes: Attributes) -> io::Result<()> {
        if self.privileged {
            rustix::fs::fchown(file, Some(uid(attributes.uid)?), Some(gid(attributes.gid)?))?;
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode & 0o7777))?;
        Ok(rustix::fs::futimens(file, &times(attributes.mtime))?)
    }

    /// Sets owner, mode and time of what is at `place`; a link's mode is left alone.
    pub(crate) fn set_attributes(&self, place: &Place, attributes: Attributes) -> io::Result<()> {
        let (directory, name) = (&place.directory, &place.name);
        if self.privileged {
            let (uid, gid) = (uid(attributes.uid)?, gid(attributes.gid)?);
            rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if self.kind(place)? != Some(FileType::Symlink) {
            rustix::fs::chmodat(directory, name, Mode::from_raw_mode(attributes.mode & 0o7777), AtFlags::empty())?;
        }
        Ok(rustix::fs::utimensat(directory, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// When the directory at `path` was used and changed, if it is there.
    pub(crate) fn times(&self, path: &Path) -> Option<Timestamps> {
        let stat = rustix::fs::fstat(self.directory(path, false).ok()?).ok()?;
        let time = |tv_sec: i64, nanoseconds: u64| Timespec { tv_sec, tv_nsec: nanoseconds.cast_signed() };
        Some(Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        })
    }

    /// Sets the times of the directory at `path`.
    pub(crate) fn set_times(&self, path: &Path, times: &Timestamps) -> io::Result<()> {
        let directory = self.directory(path, false)?;
        Ok(rustix::fs::utimensat(&directory, ".", times, AtFlags::empty())?)
    }

    /// Removes the extended attributes of the directory at `path` that `unwanted` accepts.
    pub(crate) fn remove_xattrs(&self, path: &Path, unwanted: &dyn Fn(&[u8]) -> bool) -> io::Result<()> {
        let directory = open_readable(&*self.directory(path, false)?, OsStr::new("."))?;
        let mut list = vec![0; 64 << 10];
        let length = match rustix::fs::flistxattr(&directory, &mut list[..]) {
            Err(Errno::NOTSUP) => 0,
            length => length?,
        };
        for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty() && unwanted(name)) {
            rustix::fs::fremovexattr(&directory, name)?;
        }
        Ok(())
    }

    /// Sets an extended attribute of the directory at `path`.
    pub(crate) fn set_directory_xattr(&self, path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
        let directory = self.directory(path, true)?;
        let readable = open_readable(&directory, OsStr::new("."))?;
        Ok(rustix::fs::fsetxattr(&readable, name, value, rustix::fs::XattrFlags::empty())?)
    }

    /// Flushes the whole file system the root is on: one call instead of one for each file.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

fn open_directory(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn open_readable(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Removes what is below an open directory, which is at `path`, and what `unwanted` accepts of it.
fn clear(directory: BorrowedFd<'_>, path: &Path, unwanted: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    let open_child = |name: &OsStr| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::empty())
    };
    for name in names {
        let path = path.join(&name);
        if !unwanted(&path) {
            match open_child(&name) {
                Ok(child) => clear(child.as_fd(), &path, unwanted)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
            continue;
        }
        match rustix::fs::unlinkat(directory, &name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::ISDIR | Errno::PERM) => {
                clear(open_child(&name)?.as_fd(), &path, &|_| true)?;
                rustix::fs::unlinkat(directory, &name, AtFlags::REMOVEDIR)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn uid(value: u64) -> io::Result<Uid> {
    u32::try_from(value).map(Uid::from_raw).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn gid(value: u64) -> io::Result<Gid> {
    u32::try_from(value).map(Gid::from_raw).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
