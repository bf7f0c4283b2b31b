//! Writes files that are there whole or not at all, also after a power cut, and reads small ones whole.
//!
//! A file is written under a temporary name in the same directory, flushed to the disk (`fsync`), renamed to its own
//! name, and the directory is flushed as well. Readers see the old content or the new one, never a part of it.
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! let path = directory.path().join("state.json");
//! atomic_file::write(&path, b"{}", 0o600)?;
//! assert_eq!(atomic_file::read_limited(&path, 1024)?, Some(b"{}".to_vec()));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Errors
//!
//! Every function returns the [`io::Error`] of the call that failed; callers add the path and what they were doing.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

/// How the names of temporary files start. A process that was killed leaves such a file behind; it can be deleted.
pub const TEMPORARY_PREFIX: &str = ".new-";

/// What some editors put at the start of a file of text (U+FEFF in UTF-8). It is no part of the text.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Replaces the file at `path` with `bytes`. Its permissions are exactly `mode`, whatever the umask is.
///
/// The directory must exist. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
///
/// When the file cannot be created, written, flushed or renamed. What was at `path` is then unchanged, unless only the
/// flush of the directory failed.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes)?;
    file.commit(mode)
}

/// A file that is written piece by piece and appears at its path with [`AtomicFile::commit`].
///
/// Dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
#[must_use = "without `commit` nothing is written"]
pub struct AtomicFile {
    file: TemporaryFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Creates the temporary file beside `path`, readable by its owner only.
    ///
    /// # Errors
    ///
    /// When the directory of `path` does not exist or is not writable.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = TemporaryFile::create(directory_of(path), TEMPORARY_PREFIX, 0o600)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Sets the permissions, flushes the file to the disk and renames it to its path.
    ///
    /// # Errors
    ///
    /// As [`write()`].
    pub fn commit(mut self, mode: u32) -> io::Result<()> {
        let file = self.file.as_file();
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        self.file.rename(&self.path)?;
        sync_dir(directory_of(&self.path))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is written before its path is known, for example because it is named after its content.
///
/// Dropped without [`TemporaryFile::persist`], it leaves nothing behind.
#[derive(Debug)]
#[must_use = "without `persist` nothing is written"]
pub struct TemporaryFile(NamedTempFile);

impl TemporaryFile {
    /// Creates a file in `directory` whose name starts with `prefix` and that has `mode` (less the umask).
    ///
    /// # Errors
    ///
    /// When the directory does not exist or is not writable.
    pub fn create(directory: &Path, prefix: &str, mode: u32) -> io::Result<Self> {
        let permissions = Permissions::from_mode(mode);
        Ok(Self(tempfile::Builder::new().prefix(prefix).permissions(permissions).tempfile_in(directory)?))
    }

    /// Where it is for now.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The open file, for example to seek in it or to read back what was written.
    pub fn as_file(&mut self) -> &mut File {
        self.0.as_file_mut()
    }

    /// Flushes its bytes to the disk and renames it to `path`, on the same file system. The directory is **not** flushed: that can be
    /// done once for many files, with [`sync_dir`].
    ///
    /// # Errors
    ///
    /// When it cannot be flushed or renamed. What was at `path` is then unchanged.
    pub fn persist(self, path: &Path) -> io::Result<()> {
        self.0.as_file().sync_data()?;
        self.rename(path)
    }

    fn rename(self, path: &Path) -> io::Result<()> {
        self.0.persist(path).map(drop).map_err(|error| error.error)
    }
}

impl Write for TemporaryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.as_file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.as_file().flush()
    }
}

/// Flushes the bytes of the open `file`, which is at `from`, to the disk and renames it to `to`; the directory is not flushed. For
/// files whose temporary name is chosen by the caller, so that it can find them again; others are a [`TemporaryFile`].
///
/// # Errors
///
/// As [`TemporaryFile::persist`].
pub fn persist(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_data()?;
    fs::rename(from, to)
}

/// Where a file that a user named is to be written: links are followed, also to a file that is still to be made.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when something else than a file is there: a rename would put a file in the place of
/// a device.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(fs::read_link(path).map_or(path.to_owned(), |link| path.with_file_name(link)));
        }
        Err(error) => return Err(error),
    };
    let kind = match kind {
        _ if kind.is_file() => return path.canonicalize(),
        _ if kind.is_dir() => "directory",
        _ if kind.is_fifo() => "named pipe",
        _ if kind.is_socket() => "socket",
        _ => "device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is a {kind}, expected a file")))
}

/// Reads a file of at most `limit` bytes; `None` when there is no such file.
///
/// # Errors
///
/// [`io::ErrorKind::FileTooLarge`] when it is larger (no more than `limit` + 1 bytes are read), and every other failure
/// to read it.
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// Reads a file of text that people write: as [`read_limited`], less the [byte order mark](without_byte_order_mark).
///
/// # Errors
///
/// As [`read_limited`]; also [`io::ErrorKind::InvalidData`] when it is not UTF-8, with the place of the first wrong byte.
pub fn read_text(path: &Path, limit: u64) -> io::Result<Option<String>> {
    let Some(bytes) = read_limited(path, limit)? else { return Ok(None) };
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let (place, marks) = (error.utf8_error().valid_up_to(), error.as_bytes().get(..2));
        let kind = if marks.is_some_and(|marks| marks == b"\xff\xfe" || marks == b"\xfe\xff") {
            "is UTF-16".to_owned()
        } else {
            format!("is not UTF-8 from byte {place} on")
        };
        io::Error::new(io::ErrorKind::InvalidData, format!("the text {kind}; save it as UTF-8"))
    })?;
    text.drain(..text.len() - without_byte_order_mark(&text).len());
    Ok(Some(text))
}

/// The text behind its [byte order mark](BYTE_ORDER_MARK); all of it when there is none.
#[must_use]
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Creates a directory and its missing parents with `mode` (less the umask) and flushes the new entries to the disk.
///
/// # Errors
///
/// When a directory cannot be created or flushed, or something else is in its place. An existing directory is no error,
/// and its permissions stay.
pub fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = directory_of(path);
    create_dir(parent, mode)?;
    match DirBuilder::new().mode(mode).create(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(parent),
    }
}

/// Opens the file of a lock for reading and writing, made when it is not there: mode 0600, so that nobody else can hold it,
/// and no symbolic link is followed. What an older version left open to others is closed.
///
/// # Errors
///
/// When it cannot be opened or made, is a symbolic link, is no regular file, or [belongs to somebody else](refuse_foreign).
pub fn open_lock(path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).map_err(io::Error::other)?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    refuse(&metadata)?;
    if metadata.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Refuses what belongs to another user, who could change it under our hands; that there is nothing is fine.
///
/// # Errors
///
/// [`io::ErrorKind::PermissionDenied`] when its owner is not the user of this process, and every failure to look at it.
pub fn refuse_foreign(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => refuse(&metadata),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Refuses what somebody else could change under our hands: what belongs to another user than root and this one, and a
/// directory in which everybody may replace files of others; that there is nothing is fine.
///
/// # Errors
///
/// With the reason and, where there is one, the way out; and every failure to look at it.
pub fn refuse_changeable(path: &Path) -> io::Result<()> {
    let metadata = match fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        metadata => metadata?,
    };
    if metadata.uid() != 0 {
        refuse(&metadata)?;
    }
    let mode = metadata.mode() & 0o7777;
    // In a sticky directory nobody replaces what others own.
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        let reason = format!("everybody may write to it (mode {mode:04o}); run `chmod o-w {}`", path.display());
        return Err(io::Error::other(reason));
    }
    Ok(())
}

fn refuse(metadata: &Metadata) -> io::Result<()> {
    let (owner, ours) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == ours {
        return Ok(());
    }
    let reason = format!("it belongs to user {owner}, and this is user {ours}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

/// Flushes a directory to the disk, so that files created, renamed or removed in it stay so after a power cut.
///
/// # Errors
///
/// When the directory cannot be opened or flushed.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; that there is none is fine.
///
/// # Errors
///
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The directory that holds `path`; `.` for a bare file name.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_for_its_owner_alone_and_no_way_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        open_lock(&path).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        open_lock(&path).unwrap();
        assert_eq!(mode(), 0o600, "what was open to others is closed");
        let (link, victim) = (directory.path().join("link"), directory.path().join("victim"));
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(open_lock(&link).is_err() && !victim.exists());
        assert!(open_lock(directory.path()).is_err());
        // Only root can make what belongs to somebody else.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            let error = open_lock(&path).unwrap_err().to_string();
            assert_eq!(error, "it belongs to user 65534, and this is user 0");
            assert!(refuse_foreign(&path).is_err());
        }
        refuse_foreign(directory.path()).unwrap();
        refuse_foreign(&victim).unwrap();
    }

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_with_exactly_the_given_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (bytes, mode) in [(b"first".as_slice(), 0o600), (b"second", 0o644), (b"third", 0o755)] {
            write(&path, bytes, mode).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("file"), directory.path().join("other"));
        fs::write(&other, "untouched").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        write(&path, b"new", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"new".to_vec(), b"untouched".to_vec()));
    }

    #[test]
    fn without_a_commit_nothing_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"old", 0o600).unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(names(directory.path()).iter().any(|name| name.starts_with(TEMPORARY_PREFIX)));
        drop(file);
        assert_eq!((fs::read(&path).unwrap(), names(directory.path())), (b"old".to_vec(), vec!["file".to_owned()]));
        assert_eq!(write(&directory.path().join("no/file"), b"", 0o600).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_may_get_its_name_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = TemporaryFile::create(directory.path(), "write", 0o644).unwrap();
        file.write_all(b"content").unwrap();
        assert!(file.path().file_name().unwrap().to_string_lossy().starts_with("write"));
        let path = directory.path().join("named");
        file.persist(&path).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(directory.path())),
            (b"content".to_vec(), vec!["named".to_owned()])
        );
        let other = directory.path().join("other");
        persist(&File::open(&path).unwrap(), &path, &other).unwrap();
        assert_eq!(names(directory.path()), ["other"]);
        drop(TemporaryFile::create(directory.path(), "write", 0o644).unwrap());
        assert_eq!(names(directory.path()), ["other"]);
    }

    #[test]
    fn reading_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(read_limited(&path, 9).unwrap(), None);
        fs::write(&path, "123456789").unwrap();
        assert_eq!(read_limited(&path, 9).unwrap().as_deref(), Some(b"123456789".as_slice()));
        assert_eq!(read_limited(&path, u64::MAX).unwrap().unwrap().len(), 9);
        let error = read_limited(&path, 8).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::FileTooLarge, "larger than 8 bytes"));
    }

    #[test]
    fn what_others_could_change_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        refuse_changeable(&path.join("none")).unwrap();
        refuse_changeable(Path::new("/usr")).unwrap();
        for (mode, fine) in [(0o755, true), (0o1777, true), (0o775, true), (0o757, false), (0o700, true)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(refuse_changeable(path).is_ok(), fine, "{mode:o}");
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path, Some(12345), None).unwrap();
            let error = refuse_changeable(path).unwrap_err();
            assert_eq!(error.to_string(), "it belongs to user 12345, and this is user 0");
        }
    }

    #[test]
    fn text_that_people_write_is_read_less_its_byte_order_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(read_text(&path, 9).unwrap(), None);
        for (bytes, text) in [("\u{feff}a\u{feff}", "a\u{feff}"), ("a", "a"), ("\u{feff}", ""), ("", "")] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read_text(&path, 9).unwrap().as_deref(), Some(text), "{bytes:?}");
        }
        for (bytes, said) in [(b"\xff\xfea\0".as_slice(), "is UTF-16"), (b"ab\xffcd", "is not UTF-8 from byte 2 on")] {
            fs::write(&path, bytes).unwrap();
            let error = read_text(&path, 9).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(error.to_string(), format!("the text {said}; save it as UTF-8"));
        }
    }

    #[test]
    fn directories_are_created_once() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("deep/er");
        create_dir(&deep, 0o700).unwrap();
        create_dir(&deep, 0o755).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
        let file = deep.join("file");
        write(&file, b"", 0o600).unwrap();
        assert!(create_dir(&file, 0o700).is_err());
        remove(&file).unwrap();
        remove(&file).unwrap();
        assert!(!file.exists());
    }
}
