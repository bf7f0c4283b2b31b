//! Writes a blob of unknown digest: hashed on the way, visible only when whole.

use crate::durable;
use crate::error::{Error, Result};
use crate::lock::GcGuard;
use crate::store::WRITE_PREFIX;
use crate::{Algorithm, Blob, Digest, Hasher, Store};
use atomic_file::TemporaryFile;
use std::io::{self, Write};
use std::sync::Arc;

/// Small writes are gathered up to this many bytes.
const BUFFER: usize = 1 << 20;

/// Writes one blob. Garbage is not collected meanwhile; dropping it without [`BlobWriter::commit`] leaves nothing behind.
///
/// The [`io::Error`] of a failed write holds an [`Error`] that names the file; take it out with [`io::Error::downcast`].
#[must_use = "the blob appears only with commit"]
pub struct BlobWriter {
    store: Store,
    file: TemporaryFile,
    buffer: Vec<u8>,
    hasher: Hasher,
    size: u64,
    limit: u64,
    _guard: Arc<GcGuard>,
}

impl BlobWriter {
    pub(crate) fn new(store: &Store) -> Result<Self> {
        let guard = store.shared_guard()?;
        let file = durable::create_temporary(&store.paths.ingest, WRITE_PREFIX)?;
        Ok(Self {
            store: store.clone(),
            file,
            buffer: Vec::new(),
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
            limit: u64::MAX,
            _guard: guard,
        })
    }

    /// Refuses more than `bytes` bytes: the write that would exceed it fails with [`Error::TooLarge`].
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Hashes with this algorithm instead of SHA-256. Must come before the first byte.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.hasher = Hasher::new(algorithm);
        self
    }

    /// The number of bytes taken so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes the blob appear under the digest of what was written. Its bytes survive a power cut from then on, its presence with the next
    /// name that is set.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] when `expected` is another digest, [`Error::NoSpace`] or [`Error::File`]; nothing is left behind then.
    pub fn commit(mut self, expected: Option<&Digest>) -> Result<Blob> {
        self.flush_buffer().map_err(|source| Error::file("write", self.file.path(), source))?;
        let Self { store, file, hasher, size, .. } = self;
        let digest = hasher.finish();
        if let Some(expected) = expected
            && *expected != digest
        {
            return Err(Error::Mismatch { expected: *expected, found: Box::new(digest), size });
        }
        if !store.has_intact(&digest, size) {
            let path = store.blob_path_to_write(&digest)?;
            file.persist(&path).map_err(|source| Error::file("write", &path, source))?;
        }
        Ok(Blob { digest, size })
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(|source| Error::file("write", self.file.path(), source).into())
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let taken = self.take(&buffer);
        buffer.clear();
        self.buffer = buffer;
        taken
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.size.saturating_add(bytes.len() as u64);
        if size > self.limit {
            return Err(
                Error::TooLarge { object: "the blob that is being written".to_owned(), limit: self.limit }.into()
            );
        }
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush_buffer()?;
        }
        if bytes.len() >= BUFFER {
            self.take(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.size = size;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_buffer()
    }
}

impl std::fmt::Debug for BlobWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BlobWriter").field("file", &self.file).field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_full_disk_is_said_with_the_path_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let path = writer.file.path().to_owned();
        // /dev/full answers every write as a full disk does.
        *writer.file.as_file() = std::fs::File::options().write(true).open("/dev/full").unwrap();
        writer.write_all(b"small, so it waits in the buffer").unwrap();
        let error = writer.commit(None).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(!path.exists() && store.blobs().unwrap().is_empty());
    }
}
