//! Open blobs, and readers that hash content while it is read.

use crate::{Algorithm, Digest, Error, Hasher, Result};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Large enough that the hash, not the system call, is the cost.
const BUFFER: usize = 1 << 20;

/// Tells a file from the one that replaces it, and from itself after a change. Two equal versions have the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for FileVersion {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An open blob that can be read from any offset. Reading does **not** verify it; [`BlobFile::verify`] does.
///
/// It stays readable when the store replaces or removes the blob.
#[derive(Debug)]
pub struct BlobFile {
    file: File,
    digest: Digest,
    path: PathBuf,
    version: FileVersion,
    /// Where it begins in the file.
    start: u64,
    size: u64,
    /// How far it is read.
    position: u64,
}

impl BlobFile {
    pub(crate) fn open(digest: Digest, path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let version = FileVersion::from(&file.metadata()?);
        Ok(Self { file, digest, path, version, start: 0, size: version.size, position: 0 })
    }

    /// Opens a blob that lies within a file, for example in an archive, as the bytes of `range`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the file cannot be opened, or does not have these bytes.
    pub fn within(path: &Path, digest: Digest, range: Range<u64>) -> Result<Self> {
        let fail = |source| Error::file("read", path, source);
        let whole = Self::open(digest, path.to_owned()).map_err(fail)?;
        if range.start > range.end || range.end > whole.size {
            return Err(fail(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut part = Self { start: range.start, size: range.end - range.start, ..whole };
        part.rewind().map_err(fail)?;
        Ok(part)
    }

    /// The digest that it is stored under.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its size in bytes when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its version when it was opened. A blob that was verified need not be verified again while it has the same version.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        self.version
    }

    /// The file, for reading at offsets only, and where the blob begins in it.
    ///
    /// # Errors
    ///
    /// When the process has too many open files.
    pub fn share(&self) -> io::Result<(File, u64)> {
        Ok((self.file.try_clone()?, self.start))
    }

    /// Reads the whole blob, compares its bytes with its digest, and returns to its start.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], or [`Error::File`] when it cannot be read.
    pub fn verify(&mut self) -> Result<()> {
        let algorithm = self.digest.algorithm();
        let found = self.rewind().and_then(|()| hash(self, algorithm));
        let found = found.and_then(|found| self.rewind().map(|()| found));
        match found.map_err(|source| Error::file("read", &self.path, source))? {
            found if found == self.digest => Ok(()),
            found => Err(Error::Corrupt { digest: self.digest, path: self.path.clone(), found: Box::new(found) }),
        }
    }
}

impl Read for BlobFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What is appended to a file while it is read is not of the blob.
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(&mut buffer[..left])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for BlobFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let from = |base: u64, by: i64| base.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput.into());
        let position: io::Result<u64> = match position {
            SeekFrom::Start(position) => Ok(position),
            SeekFrom::Current(by) => from(self.position, by),
            SeekFrom::End(by) => from(self.size, by),
        };
        self.position = position?;
        self.file.seek(SeekFrom::Start(self.start.saturating_add(self.position)))?;
        Ok(self.position)
    }
}

/// Reads a blob and fails at its end when the bytes were not those of the digest.
pub struct VerifiedReader {
    blob: BlobFile,
    hasher: Option<Hasher>,
    verified: bool,
}

impl VerifiedReader {
    pub(crate) fn new(blob: BlobFile) -> Self {
        let hasher = Hasher::new(blob.digest.algorithm());
        Self { blob, hasher: Some(hasher), verified: false }
    }

    /// Whether the end was reached and the bytes were right.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verified
    }
}

impl std::fmt::Debug for VerifiedReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("VerifiedReader")
            .field("digest", &self.blob.digest)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.verified {
            return Ok(0);
        }
        let Some(hasher) = &mut self.hasher else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("blob {} is corrupt", self.blob.digest)));
        };
        let count = self.blob.read(buffer)?;
        hasher.update(&buffer[..count]);
        if count > 0 {
            return Ok(count);
        }
        let found = hasher.clone().finish();
        self.hasher = None;
        self.verified = found == self.blob.digest;
        if self.verified {
            return Ok(0);
        }
        let (digest, path) = (self.blob.digest, self.blob.path.clone());
        Err(Error::Corrupt { digest, path, found: Box::new(found) }.into())
    }
}

/// The digest of everything that `reader` still has.
pub(crate) fn hash(reader: &mut impl Read, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_blob_within_a_file_ends_where_it_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "before hello after").unwrap();
        let mut blob = BlobFile::within(file.path(), Digest::of(b"hello"), 7..12).unwrap();
        blob.verify().unwrap();
        let mut text = String::new();
        blob.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), blob.size()), ("hello", 5));
        assert_eq!(blob.seek(SeekFrom::End(-2)).unwrap(), 3);
        text.clear();
        blob.read_to_string(&mut text).unwrap();
        assert_eq!(text, "lo");
        assert!(blob.seek(SeekFrom::Current(-9)).is_err());
        assert!(BlobFile::within(file.path(), Digest::of(b""), 7..19).is_err(), "the file is shorter");
    }
}
