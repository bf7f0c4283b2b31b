//! Open blobs, and readers that hash content while it is read.

use crate::{Algorithm, Digest, Error, Hasher, Result};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

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
}

impl BlobFile {
    pub(crate) fn open(digest: Digest, path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let version = FileVersion::from(&file.metadata()?);
        Ok(Self { file, digest, path, version })
    }

    /// The digest that it is stored under.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its size in bytes when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.version.size
    }

    /// Its version when it was opened. A blob that was verified need not be verified again while it has the same version.
    #[must_use]
    pub fn version(&self) -> FileVersion {
        self.version
    }

    /// Reads the whole blob, compares its bytes with its digest, and returns to its start.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], or [`Error::File`] when it cannot be read.
    pub fn verify(&mut self) -> Result<()> {
        let found = self.rewind().and_then(|()| hash(&mut self.file, self.digest.algorithm()));
        let found = found.and_then(|found| self.rewind().map(|()| found));
        match found.map_err(|source| Error::file("read", &self.path, source))? {
            found if found == self.digest => Ok(()),
            found => Err(Error::Corrupt { digest: self.digest, path: self.path.clone(), found: Box::new(found) }),
        }
    }
}

impl Read for BlobFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for BlobFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
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
