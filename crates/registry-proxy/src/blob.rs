//! Streams a blob: read ahead, hashed, its last bytes held back until the digest is checked.

use crate::integrity::{FileVersion, Integrity};
use bytes::Bytes;
use content_store::{Digest, Hasher};
use futures_util::stream::{self, Stream};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Large enough that hashing and sending are the cost, small enough for many transfers at once.
const CHUNK: usize = 256 << 10;

/// Called with the digest of a blob whose bytes are wrong.
pub(crate) type OnCorrupt = Arc<dyn Fn(Digest) + Send + Sync>;

/// An open blob.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) file: File,
    pub(crate) size: u64,
    pub(crate) version: FileVersion,
}

/// The whole blob. When the bytes are not those of the digest the stream fails before its end.
pub(crate) fn whole(
    blob: Blob,
    integrity: Arc<Integrity>,
    on_corrupt: OnCorrupt,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (digest, version, size) = (blob.digest, blob.version, blob.size);
    let verdict: Verdict = Box::new(move |hasher: Hasher| {
        let is_intact = hasher.finish() == digest;
        integrity.set(digest, version, is_intact);
        if !is_intact {
            on_corrupt(digest);
        }
        is_intact
    });
    start(Reader { file: blob.file, left: size, check: Some((Hasher::new(digest.algorithm()), verdict)) })
}

/// The bytes from `start` up to `end` of a blob that was found sound.
pub(crate) fn section(
    mut blob: Blob,
    start_at: u64,
    end: u64,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    blob.file.seek(SeekFrom::Start(start_at))?;
    Ok(start(Reader { file: blob.file, left: end - start_at, check: None }))
}

/// Reads the blob to its end; whether its bytes are right. Blocks.
pub(crate) fn is_intact(blob: &mut Blob) -> io::Result<bool> {
    let mut hasher = Hasher::new(blob.digest.algorithm());
    let mut buffer = vec![0; CHUNK];
    loop {
        match blob.file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    blob.file.seek(SeekFrom::Start(0))?;
    Ok(hasher.finish() == blob.digest)
}

type Verdict = Box<dyn FnOnce(Hasher) -> bool + Send>;

struct Reader {
    file: File,
    left: u64,
    check: Option<(Hasher, Verdict)>,
}

type Step = JoinHandle<io::Result<Option<(Bytes, Reader)>>>;

/// Reads one chunk ahead of what is being sent.
fn start(reader: Reader) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(None::<(Step, ())>, {
        let mut first = Some(reader);
        move |state| {
            let step: Option<Step> = match (state, first.take()) {
                (Some((step, ())), _) => Some(step),
                (None, Some(reader)) => Some(spawn_blocking(move || reader.next())),
                (None, None) => None,
            };
            async move {
                let Some(step) = step else { return Ok(None) };
                let Some((bytes, reader)) = step.await.map_err(io::Error::other)?? else { return Ok(None) };
                Ok(Some((bytes, Some((spawn_blocking(move || reader.next()), ())))))
            }
        }
    })
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
            && let Some((hasher, verdict)) = self.check.take()
            && !verdict(hasher)
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the blob is damaged"));
        }
        Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), self)))
    }
}
