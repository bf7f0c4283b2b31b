//! Reads a blob of the store for an upload, and hashes it on the way: the last byte of a corrupt blob is never sent.

use bytes::Bytes;
use content_store::{BlobFile, Digest, Error, Hasher, Result, Store};
use futures_util::stream::{self, BoxStream, StreamExt};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;
/// Pieces of one upload that wait for the network.
pub(crate) const PIECES: usize = 4;

/// A blob that is read from front to back, in one or more parts.
#[derive(Debug)]
pub(crate) struct BlobSource {
    store: Store,
    file: BlobFile,
    hasher: Hasher,
    digest: Digest,
    position: u64,
    size: u64,
}

/// Pieces on their way to the network.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

impl BlobSource {
    /// The blob from byte `offset` on; what is before is hashed.
    pub(crate) fn open(store: &Store, digest: Digest, offset: u64) -> Result<Self> {
        let file = store.open_blob(&digest)?;
        let (hasher, size) = (Hasher::new(digest.algorithm()), file.size());
        let mut source = Self { store: store.clone(), file, hasher, digest, position: 0, size };
        let mut buffer = vec![0; PIECE];
        while source.position < offset {
            let most = usize::try_from(offset - source.position).unwrap_or(PIECE).min(PIECE);
            let count = source.read(&mut buffer[..most])?;
            source.hasher.update(&buffer[..count]);
        }
        Ok(source)
    }

    /// Where the next part begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Sends the next `count` bytes, as far as somebody takes them.
    pub(crate) fn feed(mut self, count: u64, pieces: &mpsc::Sender<io::Result<Bytes>>) -> Result<Self> {
        let end = self.position + count;
        while self.position < end {
            let most = usize::try_from(end - self.position).unwrap_or(PIECE).min(PIECE);
            let piece = self.next(most);
            if let Err(error) = &piece {
                // Whoever sends them only has to know that there are no more.
                let _ = pieces.blocking_send(Err(io::Error::other(error.to_string())));
            }
            if pieces.blocking_send(Ok(piece?)).is_err() {
                break; // The request ended before its body did.
            }
        }
        Ok(self)
    }

    fn next(&mut self, most: usize) -> Result<Bytes> {
        let mut buffer = vec![0; most];
        let count = self.read(&mut buffer)?;
        buffer.truncate(count);
        self.hasher.update(&buffer);
        if self.position == self.size {
            match self.hasher.clone().finish() {
                found if found == self.digest => {}
                found => return Err(self.corrupt(found)),
            }
        }
        Ok(buffer.into())
    }

    /// At least one byte.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.file.read(buffer) {
                Ok(0) => return Err(self.corrupt(self.hasher.clone().finish())),
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Error::File { act: "read", path: self.store.blob_path(&self.digest), source });
                }
            }
        }
    }

    fn corrupt(&self, found: Digest) -> Error {
        Error::Corrupt { digest: self.digest, path: self.store.blob_path(&self.digest), found: Box::new(found) }
    }
}

/// The pieces as the body of a request; `taken` counts the bytes that were handed to the network.
pub(crate) fn counted(pieces: Pieces, taken: Arc<AtomicU64>) -> BoxStream<'static, io::Result<Bytes>> {
    stream::unfold((pieces, taken), |(mut pieces, taken)| async move {
        let piece = pieces.recv().await?;
        if let Ok(bytes) = &piece {
            taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Some((piece, (pieces, taken)))
    })
    .boxed()
}
