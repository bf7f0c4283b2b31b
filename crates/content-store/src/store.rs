//! Keeps blobs in files named after their digests.

use crate::durable;
use crate::error::{Error, Result};
use crate::lock::{Exclusive, GcGuard};
use crate::reader::{BlobFile, VerifiedReader};
use crate::{Algorithm, BlobWriter, Digest, PartialBlob, lock, reserve};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The media type under which JSON documents (manifests, indexes, configs) of carried images are listed as layers, so that no
/// registry takes them for references of its own.
pub const DOCUMENT_MEDIA_TYPE: &str = "application/vnd.sealer.document.v1+json";

/// The largest JSON document that is read into memory, in bytes: what registries accept as a manifest, twice.
pub const DOCUMENT_LIMIT: u64 = 8 << 20;

pub(crate) const WRITE_PREFIX: &str = "write";
pub(crate) const PARTIAL_PREFIX: &str = "partial-";

/// Content in one directory. Clones share it; other processes may have the same directory open.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) paths: Arc<Paths>,
}

#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) root: PathBuf,
    pub(crate) blobs: PathBuf,
    pub(crate) ingest: PathBuf,
    pub(crate) index: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) reserve: PathBuf,
    pub(crate) index_lock: PathBuf,
    guard: Mutex<Weak<GcGuard>>,
}

/// A stored blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Store {
    /// Opens the store in `root`, creating what is missing. What a killed process left half-written is removed when nobody writes. A store
    /// that this process may only read can be read.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::NoSpace`] when the directory cannot be made or read; [`Error::Layout`] when it holds something else.
    pub fn open(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).map_err(|source| Error::file("resolve", root, source))?;
        let paths = Paths {
            blobs: root.join("blobs"),
            ingest: root.join("ingest"),
            index: root.join("index.json"),
            lock: root.join("lock"),
            reserve: root.join(reserve::FILE),
            index_lock: root.join("index.lock"),
            root,
            guard: Mutex::new(Weak::new()),
        };
        for directory in [&paths.root, &paths.blobs.join(Algorithm::Sha256.as_str())] {
            durable::create_directory(directory)?;
            atomic_file::refuse_changeable(directory).map_err(|source| Error::file("use", directory, source))?;
        }
        durable::create_private_directory(&paths.ingest)?;
        crate::index::create_layout(&paths)?;
        let store = Self { paths: Arc::new(paths) };
        match store.remove_leftovers() {
            // A store that can only be read is read.
            Err(Error::File { source, .. }) if lock::is_read_only(&source) => {}
            done => {
                done?;
                reserve::keep(&store.paths.reserve);
            }
        }
        Ok(store)
    }

    /// The directory of the store, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.paths.root
    }

    /// Whether the blob is here. Its bytes are not looked at.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// The size of the blob in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when it is not here.
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        let path = self.blob_path(digest);
        let metadata = fs::metadata(&path).map_err(|source| self.missing("read", digest, &path, source))?;
        Ok(metadata.len())
    }

    /// Opens the blob, **not verified**: for readers that hash the bytes themselves, or read a part. Prefer
    /// [`Store::verified_reader`].
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when it is not here, [`Error::File`] when it cannot be opened.
    pub fn open_blob(&self, digest: &Digest) -> Result<BlobFile> {
        let path = self.blob_path(digest);
        BlobFile::open(*digest, path.clone()).map_err(|source| self.missing("open", digest, &path, source))
    }

    /// The bytes of a document, verified, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::Corrupt`], or [`Error::TooLarge`].
    pub fn read_verified(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let file = self.open_blob(digest)?;
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| Error::file("read", &path, source))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { object: format!("blob {digest}"), limit });
        }
        match digest.algorithm().digest(&bytes) {
            found if found == *digest => Ok(bytes),
            found => Err(Error::Corrupt { digest: *digest, path, found: Box::new(found) }),
        }
    }

    /// A reader over the blob that fails at the end (instead of reporting it) when the bytes were not those of the digest. The
    /// error is an [`std::io::Error`] of kind `InvalidData` around [`Error::Corrupt`].
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when it is not here.
    pub fn verified_reader(&self, digest: &Digest) -> Result<VerifiedReader> {
        Ok(VerifiedReader::new(self.open_blob(digest)?))
    }

    /// Reads the whole blob and compares its bytes with its digest.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] or [`Error::Corrupt`].
    pub fn verify(&self, digest: &Digest) -> Result<()> {
        self.open_blob(digest)?.verify()
    }

    /// Removes the blob if its bytes are not those of its digest, so that it is fetched or written again. Says whether it did.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when it cannot be read or removed.
    pub fn remove_corrupt(&self, digest: &Digest) -> Result<bool> {
        let _guard = self.shared_guard()?;
        match self.verify(digest) {
            Err(Error::Corrupt { path, .. }) => {
                fs::remove_file(&path).map_err(|source| Error::file("remove", &path, source))?;
                Ok(true)
            }
            Ok(()) | Err(Error::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Starts a new blob of unknown digest. It appears with [`BlobWriter::commit`]; dropping the writer leaves nothing.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::NoSpace`].
    pub fn writer(&self) -> Result<BlobWriter> {
        BlobWriter::new(self)
    }

    /// Starts, or continues after an interruption, a blob of known digest. Waits while another process writes the same blob, so ask
    /// [`Store::contains`] again afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::NoSpace`].
    pub fn partial(&self, expected: &Digest) -> Result<PartialBlob> {
        PartialBlob::open(self, *expected)
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] or [`Error::NoSpace`].
    pub fn put(&self, bytes: &[u8]) -> Result<Blob> {
        let digest = Digest::of(bytes);
        let size = bytes.len() as u64;
        if self.read_verified(&digest, size).is_ok() {
            return Ok(Blob { digest, size });
        }
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(|source| Error::file("write", &self.paths.ingest, source))?;
        writer.commit(Some(&digest))
    }

    /// Keeps everything that is written from now on until the guard (and its clones) are dropped. Waits for a running collection.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the lock file cannot be opened.
    pub fn gc_guard(&self) -> Result<GcGuard> {
        GcGuard::shared(&self.paths.lock)
    }

    /// Every stored blob, in no order.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the directory cannot be read.
    pub fn blobs(&self) -> Result<Vec<Blob>> {
        let mut blobs = Vec::new();
        for (algorithm, directory) in self.blob_directories() {
            let fail = |source| Error::file("list", &directory, source);
            for entry in fs::read_dir(&directory).map_err(fail)? {
                let entry = entry.map_err(fail)?;
                let digest = entry.file_name().to_str().and_then(|name| Digest::from_hex(name).ok());
                let Some(digest) = digest.filter(|digest| digest.algorithm() == algorithm) else { continue };
                match entry.metadata() {
                    Ok(metadata) if metadata.is_file() => blobs.push(Blob { digest, size: metadata.len() }),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(fail(source)),
                }
            }
        }
        Ok(blobs)
    }

    /// The file that holds (or would hold) the blob.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.paths.blobs.join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// As [`Store::blob_path`], its directory being there.
    pub(crate) fn blob_path_to_write(&self, digest: &Digest) -> Result<PathBuf> {
        let path = self.blob_path(digest);
        durable::create_directory(path.parent().unwrap_or(&self.paths.blobs))?;
        Ok(path)
    }

    /// Makes new and removed blobs survive a power cut.
    pub(crate) fn sync_blobs(&self) -> Result<()> {
        self.blob_directories().try_for_each(|(_, directory)| durable::sync_directory(&directory))
    }

    /// One for each algorithm that has blobs.
    fn blob_directories(&self) -> impl Iterator<Item = (Algorithm, PathBuf)> {
        let directories = Algorithm::ALL.map(|algorithm| (algorithm, self.paths.blobs.join(algorithm.as_str())));
        directories.into_iter().filter(|(_, directory)| directory.is_dir())
    }

    /// Whether the blob is here with this size and with the right bytes.
    pub(crate) fn has_intact(&self, digest: &Digest, size: u64) -> bool {
        self.size(digest).is_ok_and(|found| found == size) && self.verify(digest).is_ok()
    }

    /// A guard that writers of this handle share, so that many small blobs do not each open the lock file.
    pub(crate) fn shared_guard(&self) -> Result<Arc<GcGuard>> {
        let mut slot: MutexGuard<'_, Weak<GcGuard>> = self.paths.guard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guard) = slot.upgrade() {
            return Ok(guard);
        }
        let guard = Arc::new(self.gc_guard()?);
        *slot = Arc::downgrade(&guard);
        Ok(guard)
    }

    /// Removes unfinished writes of processes that are gone. Partial blobs stay: they can be continued.
    fn remove_leftovers(&self) -> Result<()> {
        let Some(_nobody_writes) = Exclusive::attempt(&self.paths.lock)? else {
            return Ok(());
        };
        self.remove_files(&self.paths.ingest, |name| !name.starts_with(PARTIAL_PREFIX) && !self.is_live_upload(name))?;
        self.remove_files(&self.paths.root, |name| name.starts_with(atomic_file::TEMPORARY_PREFIX))
    }

    /// Removes the files of a directory of the store that `is_waste` names. The caller has the store to itself.
    pub(crate) fn remove_files(&self, directory: &Path, is_waste: impl Fn(&str) -> bool) -> Result<()> {
        for entry in fs::read_dir(directory).map_err(|source| Error::file("list", directory, source))? {
            let entry = entry.map_err(|source| Error::file("list", directory, source))?;
            if is_waste(&entry.file_name().to_string_lossy()) {
                let path = entry.path();
                match fs::remove_file(&path) {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::file("remove", &path, source));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub(crate) fn missing(&self, act: &'static str, digest: &Digest, path: &Path, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::NotFound {
            Error::Missing { digest: *digest, root: self.paths.root.clone() }
        } else {
            Error::file(act, path, source)
        }
    }
}
