//! Writes a blob of known digest over several attempts.

use crate::error::{Error, Result};
use crate::lock::{self, GcGuard};
use crate::store::PARTIAL_PREFIX;
use crate::{Blob, Digest, Hasher, Store, reader};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of a blob that arrived so far. Dropping it keeps them for the next attempt.
///
/// The [`io::Error`] of a failed write holds an [`Error`] that names the file; take it out with [`io::Error::downcast`].
#[derive(Debug)]
#[must_use = "the blob appears only with commit"]
pub struct PartialBlob {
    store: Store,
    expected: Digest,
    file: File,
    path: PathBuf,
    offset: u64,
    limit: u64,
    /// Of all bytes that are here; none when an earlier attempt brought some of them.
    hasher: Option<Hasher>,
    is_verified: bool,
    _guard: Arc<GcGuard>,
}

impl PartialBlob {
    pub(crate) fn open(store: &Store, expected: Digest) -> Result<Self> {
        let guard = store.shared_guard()?;
        let path = store.paths.ingest.join(format!("{PARTIAL_PREFIX}{}", expected.hex()));
        let mut file = open_locked(&path)?;
        let offset = file.seek(SeekFrom::End(0)).map_err(|source| Error::file("read", &path, source))?;
        let hasher = (offset == 0).then(|| Hasher::new(expected.algorithm()));
        let (store, limit, is_verified) = (store.clone(), u64::MAX, false);
        Ok(Self { store, expected, file, path, offset, limit, hasher, is_verified, _guard: guard })
    }

    /// Refuses more than `bytes` bytes in all: the write that would exceed it fails with [`Error::TooLarge`].
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// How many bytes are here; the next write continues after them.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Throws the bytes away that are here, to start again at offset 0.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the file cannot be shortened.
    pub fn restart(&mut self) -> Result<()> {
        let restarted = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        restarted.map_err(|source| Error::file("shorten", &self.path, source))?;
        self.offset = 0;
        self.hasher = Some(Hasher::new(self.expected.algorithm()));
        Ok(())
    }

    /// Another handle to the bytes that are here, for reading them while more are written. They are **not verified**.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the file cannot be opened.
    pub fn reader(&self) -> Result<File> {
        File::open(&self.path).map_err(|source| Error::file("open", &self.path, source))
    }

    /// Compares all bytes, those of former attempts too, with the digest.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] when they are others (they are thrown away), or [`Error::File`].
    pub fn verify(&mut self) -> Result<()> {
        let fail = |act, source| Error::file(act, &self.path, source);
        let found = match self.hasher.take() {
            Some(hasher) => hasher.finish(),
            None => {
                self.file.seek(SeekFrom::Start(0)).map_err(|source| fail("read", source))?;
                reader::hash(&mut self.file, self.expected.algorithm()).map_err(|source| fail("read", source))?
            }
        };
        if found != self.expected {
            fs::remove_file(&self.path).map_err(|source| fail("remove", source))?;
            return Err(Error::Mismatch { expected: self.expected, found: Box::new(found), size: self.offset });
        }
        self.is_verified = true;
        Ok(())
    }

    /// Verifies all bytes, those of former attempts too, and makes the blob appear, as [`crate::BlobWriter::commit`] does.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] when the bytes are others (they are thrown away), [`Error::NoSpace`] or [`Error::File`].
    pub fn commit(mut self) -> Result<Blob> {
        if !self.is_verified {
            self.verify()?;
        }
        let path = self.store.blob_path_to_write(&self.expected)?;
        atomic_file::persist(&self.file, &self.path, &path).map_err(|source| Error::file("write", &path, source))?;
        Ok(Blob { digest: self.expected, size: self.offset })
    }
}

impl Write for PartialBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.offset.saturating_add(bytes.len() as u64) > self.limit {
            let object = format!("blob {}", self.expected);
            return Err(Error::TooLarge { object, limit: self.limit }.into());
        }
        let count = self.file.write(bytes).map_err(|source| Error::file("write", &self.path, source))?;
        self.offset += count as u64;
        self.is_verified = false;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the file with the lock on it. Whoever had the lock before may have renamed or removed the file, so look again then.
fn open_locked(path: &Path) -> Result<File> {
    loop {
        let file = lock::open(path)?;
        lock::wait_for(&file, path)?;
        let ours = file.metadata().map_err(|source| Error::file("read", path, source))?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::file("read", path, source)),
        }
    }
}
