//! Streams a stored blob: read ahead, hashed, its last bytes held back until the digest is checked.

use super::integrity::Integrity;
use crate::source::{BlobStream, FilePart, SourceBlob, SourceError};
use async_trait::async_trait;
use bytes::Bytes;
use content_store::{BlobFile, Digest, Hasher};
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Large enough that hashing and sending are the cost, small enough for many transfers at once.
const CHUNK: usize = 256 << 10;

/// Whoever has the blob.
pub(super) trait Keeper: Send + Sync + std::fmt::Debug {
    /// What is known of its blobs.
    fn integrity(&self) -> &Integrity;

    /// Whether a whole blob is compared with its digest only while it is sent.
    fn verifies_late(&self) -> bool;

    /// Tells that the blob does not have the bytes of its digest, and makes the error that says so.
    fn corrupt(&self, digest: Digest) -> SourceError;
}

/// An open blob in a file.
#[derive(Debug)]
pub(super) struct StoredBlob {
    pub(super) keeper: Arc<dyn Keeper>,
    pub(super) file: BlobFile,
}

#[async_trait]
impl SourceBlob for StoredBlob {
    fn size(&self) -> u64 {
        self.file.size()
    }

    /// Lets only verified blobs pass, because what was sent cannot be taken back: clients that keep the first half of a corrupt blob
    /// for the next attempt would never get a whole one. Clients that verify are spared the first reading.
    async fn read(self: Box<Self>, range: Range<u64>) -> Result<BlobStream, SourceError> {
        let Self { keeper, mut file } = *self;
        let is_whole = range == (0..file.size()) && !keeper.integrity().is_fresh(&file);
        if !(is_whole && keeper.verifies_late()) {
            file = verified(&*keeper, file).await?;
        }
        if is_whole {
            let check = Some((Hasher::new(file.digest().algorithm()), keeper));
            return Ok(start(Reader { left: file.size(), file, check }).boxed());
        }
        file.seek(SeekFrom::Start(range.start)).map_err(SourceError::failed)?;
        Ok(start(Reader { left: range.end - range.start, file, check: None }).boxed())
    }

    fn verified_file(&self, range: Range<u64>) -> Option<FilePart> {
        let (file, start) = self.keeper.integrity().is_fresh(&self.file).then(|| self.file.share().ok())??;
        Some(FilePart::new(Arc::new(file), start + range.start, range.end - range.start))
    }
}

/// Compares the blob with its digest, unless that was done before.
async fn verified(keeper: &dyn Keeper, file: BlobFile) -> Result<BlobFile, SourceError> {
    let checked = keeper.integrity().check(file).await.map_err(SourceError::failed)?;
    match checked.is_intact {
        true => Ok(checked.file),
        false if checked.is_new => Err(keeper.corrupt(checked.file.digest())),
        false => Err(SourceError::Corrupt { digest: checked.file.digest() }),
    }
}

/// What is left to read. With `check` it is the whole blob, compared with its digest on the way.
struct Reader {
    file: BlobFile,
    left: u64,
    check: Option<(Hasher, Arc<dyn Keeper>)>,
}

type Step = JoinHandle<io::Result<Option<(Bytes, Reader)>>>;

/// Reads one chunk ahead of what is being sent. Must be called within the runtime.
fn start(reader: Reader) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(next(reader), |step| async move {
        let Some((bytes, reader)) = step.await.map_err(io::Error::other)?? else { return Ok(None) };
        Ok(Some((bytes, next(reader))))
    })
}

fn next(reader: Reader) -> Step {
    spawn_blocking(move || reader.next())
}

impl Reader {
    fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.left == 0 && self.check.is_none() {
            return Ok(None);
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK);
        let mut chunk = vec![0; length];
        self.file.read_exact(&mut chunk)?;
        self.left -= length as u64;
        if let Some((hasher, _)) = &mut self.check {
            hasher.update(&chunk);
        }
        if self.left == 0
            && let Some((hasher, keeper)) = self.check.take()
        {
            let digest = self.file.digest();
            let is_intact = hasher.finish() == digest;
            keeper.integrity().set(&self.file, is_intact);
            if !is_intact {
                return Err(io::Error::new(io::ErrorKind::InvalidData, keeper.corrupt(digest)));
            }
        }
        Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), self)))
    }
}
