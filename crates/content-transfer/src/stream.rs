//! Brings blobs into the store while any number of readers read them.

use crate::fetch::{self, Written, blocking};
use crate::{Error, Result};
use bytes::Bytes;
use content_store::{Digest, PartialBlob, Reference, Store};
use futures_util::stream::{self, BoxStream, StreamExt};
use registry_client::Registry;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};

/// Bytes that are read from the disk at a time.
const CHUNK: u64 = 256 << 10;
/// The last bytes of a blob, which nobody gets before all of it was verified.
const HELD_BACK: u64 = 64 << 10;

/// A registry that a blob may come from, for transfers that outlive whoever asked for them.
#[derive(Clone, Debug)]
pub struct BlobOrigin {
    /// The registry.
    pub registry: Arc<dyn Registry>,
    /// An image of the repository, as this registry names it; tag and digest do not count.
    pub image: Reference,
}

/// Blobs on their way into one store. Clones share them.
///
/// Everybody who asks for a blob that is on its way reads it from the disk as it arrives, at a pace of their own: it is transferred once.
/// A transfer goes on when those who asked for it are gone, and resumes where an earlier one broke off.
#[derive(Clone, Debug)]
pub struct Downloads {
    store: Store,
    places: Arc<Semaphore>,
    running: Arc<Mutex<HashMap<Digest, watch::Receiver<Progress>>>>,
    unkept: Unkept,
}

type Listener = dyn Fn(&Digest, &Error) + Send + Sync;

/// Is told of a blob that was served and could not be kept.
#[derive(Clone)]
struct Unkept(Arc<Listener>);

impl std::fmt::Debug for Unkept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Unkept")
    }
}

/// How far a transfer is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// What readers read from, as soon as there is something.
    file: Option<Arc<File>>,
    size: Option<u64>,
    written: u64,
    /// How many origins gave wrong bytes.
    round: u32,
    state: State,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Running,
    Verified,
    Failed(Arc<Error>),
}

/// A blob that is on its way, or has arrived.
#[derive(Clone, Debug)]
pub struct Download {
    file: Arc<File>,
    size: u64,
    round: u32,
    progress: watch::Receiver<Progress>,
}

impl Downloads {
    /// Downloads into `store`, at most `parallel` at a time. `unkept` is told of a blob that arrived, so that readers have it, but could not
    /// be kept, and why.
    #[must_use]
    pub fn new(store: &Store, parallel: usize, unkept: impl Fn(&Digest, &Error) + Send + Sync + 'static) -> Self {
        let places = Arc::new(Semaphore::new(parallel.max(1)));
        Self { store: store.clone(), places, running: Arc::default(), unkept: Unkept(Arc::new(unkept)) }
    }

    /// Joins the transfer of the blob, or starts it from the first origin that gives it. Returns when its size is known. Must be called within
    /// the runtime.
    ///
    /// # Errors
    ///
    /// [`Error`] of the last origin, or of the store; everybody who waits for the same transfer gets it.
    pub async fn open(&self, digest: Digest, origins: Vec<BlobOrigin>) -> Result<Download, Arc<Error>> {
        let mut progress = self.join(digest, origins);
        let opened = progress.wait_for(|progress| progress.is_open()).await.map(|progress| progress.clone());
        match opened {
            Ok(Progress { state: State::Failed(error), .. }) => Err(error),
            Ok(Progress { file: Some(file), size: Some(size), round, .. }) => {
                Ok(Download { file, size, round, progress })
            }
            _ => Err(Arc::new(Error::Cancelled)),
        }
    }

    fn join(&self, digest: Digest, origins: Vec<BlobOrigin>) -> watch::Receiver<Progress> {
        let mut running = self.lock();
        if let Some(progress) = running.get(&digest) {
            return progress.clone();
        }
        let (sender, receiver) = watch::channel(Progress::default());
        running.insert(digest, receiver.clone());
        let (downloads, entry) = (self.clone(), Entry { downloads: self.clone(), digest });
        tokio::spawn(async move {
            let sender = Arc::new(sender);
            let transferred = downloads.transfer(digest, &origins, &sender).await;
            // Whoever comes from now on finds the blob in the store, or starts anew.
            drop(entry);
            if let Err(error) = transferred {
                // Verified bytes that could not be kept were right nevertheless.
                if matches!(sender.borrow().state, State::Verified) {
                    (downloads.unkept.0)(&digest, &error);
                } else {
                    sender.send_modify(|progress| progress.state = State::Failed(Arc::new(error)));
                }
            }
        });
        receiver
    }

    async fn transfer(&self, digest: Digest, origins: &[BlobOrigin], progress: &Sender) -> Result<()> {
        let _place = self.places.acquire().await.map_err(|_| Error::Cancelled)?;
        let mut failure = Error::NoOrigin { digest };
        for origin in origins {
            match self.transfer_from(digest, origin, progress).await {
                Err(error) if error.is_of_origin() => {
                    if matches!(error, Error::Store(content_store::Error::Mismatch { .. })) {
                        // What readers got of wrong bytes cannot be taken back; who got none yet reads those of the next.
                        progress.send_modify(|progress| {
                            *progress = Progress { round: progress.round + 1, ..Progress::default() };
                        });
                    }
                    failure = error;
                }
                done => return done,
            }
        }
        Err(failure)
    }

    async fn transfer_from(&self, digest: Digest, origin: &BlobOrigin, progress: &Sender) -> Result<()> {
        let store = self.store.clone();
        // Waits for another process that fetches the same blob.
        let (mut partial, stored) = blocking(move || prepare(&store, digest)).await??;
        if let Some(file) = stored {
            let size = file.metadata().map_err(|source| self.failed(digest, source))?.len();
            let (file, size, written) = (Some(Arc::new(file)), Some(size), size);
            progress.send_modify(|progress| {
                *progress = Progress { file, size, written, round: progress.round, state: State::Verified };
            });
            return Ok(());
        }
        let mut source = origin.registry.blob(&origin.image, &digest, partial.offset()).await?;
        let size = match source.size {
            Some(size) => Some(size),
            None => origin.registry.blob_exists(&origin.image, &digest).await?,
        };
        if size.is_some_and(|size| size < partial.offset()) {
            partial.restart()?;
            source = origin.registry.blob(&origin.image, &digest, 0).await?;
        }
        let (file, offset) = (Arc::new(partial.reader()?), partial.offset());
        progress.send_modify(|progress| {
            progress.file = Some(file);
            progress.size = size.or(progress.size);
            progress.written = offset;
        });
        if let Some(size) = size {
            partial = partial.with_limit(size);
        }
        let told = progress.clone();
        fetch::receive(
            source.stream,
            partial,
            digest,
            |_| {},
            move |written| told.send_modify(|progress| progress.take(written)),
        )
        .await
    }

    fn failed(&self, digest: Digest, source: io::Error) -> content_store::Error {
        content_store::Error::File { act: "read", path: self.store.blob_path(&digest), source }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, watch::Receiver<Progress>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Sender = Arc<watch::Sender<Progress>>;

/// The place of a transfer among those that run; given up also when the transfer panics.
struct Entry {
    downloads: Downloads,
    digest: Digest,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.downloads.lock().remove(&self.digest);
    }
}

/// What is here of the blob, locked; and the blob itself, if it is here and has the right bytes.
fn prepare(store: &Store, digest: Digest) -> content_store::Result<(PartialBlob, Option<File>)> {
    let partial = store.partial(&digest)?;
    let is_intact = store.contains(&digest) && store.verify(&digest).is_ok();
    let path = store.blob_path(&digest);
    let open = || File::open(&path).map_err(|source| content_store::Error::File { act: "open", path, source });
    let stored = if is_intact { Some(open()?) } else { None };
    Ok((partial, stored))
}

impl Progress {
    /// Whether readers can begin, or never will.
    fn is_open(&self) -> bool {
        match self.state {
            State::Running => self.file.is_some() && self.size.is_some(),
            State::Verified | State::Failed(_) => true,
        }
    }

    fn take(&mut self, written: Written) {
        match written {
            Written::Bytes(count) => self.written = count,
            Written::Verified => {
                self.size = Some(self.written);
                self.state = State::Verified;
            }
        }
    }
}

impl Download {
    /// The size of the blob in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of `range` as they arrive, which must lie within the blob. Its last bytes follow only when all of it was verified; what is
    /// not the whole blob is read after that.
    #[must_use]
    pub fn read(self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        let is_whole = range == (0..self.size);
        let reader = Reader { download: self, position: range.start, end: range.end, is_whole, has_begun: false };
        stream::try_unfold(reader, Reader::next).boxed()
    }
}

struct Reader {
    download: Download,
    position: u64,
    end: u64,
    is_whole: bool,
    has_begun: bool,
}

impl Reader {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let Some(available) = self.available().await? else { return Ok(None) };
        let (file, position) = (self.download.file.clone(), self.position);
        let length = usize::try_from((available - position).min(CHUNK)).map_err(io::Error::other)?;
        let read = move || {
            let mut chunk = vec![0; length];
            file.read_exact_at(&mut chunk, position).map(|()| chunk)
        };
        let chunk = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        (self.position, self.has_begun) = (self.position + length as u64, true);
        Ok(Some((chunk.into(), self)))
    }

    /// Waits for more bytes, and says up to where there are some; none at the end of the range.
    async fn available(&mut self) -> io::Result<Option<u64>> {
        loop {
            let available = {
                let progress = self.download.progress.borrow_and_update();
                if progress.round != self.download.round
                    && let (Some(file), Some(size)) = (&progress.file, progress.size)
                {
                    if self.has_begun || size != self.download.size {
                        return Err(io::Error::other("the first origin gave wrong bytes; ask for the blob again"));
                    }
                    (self.download.file, self.download.round) = (file.clone(), progress.round);
                }
                match &progress.state {
                    State::Failed(error) => return Err(io::Error::other(error.clone())),
                    State::Running if progress.round != self.download.round => 0,
                    State::Verified if self.position >= self.end => return Ok(None),
                    State::Verified => self.end,
                    State::Running if self.is_whole => {
                        progress.written.min(self.download.size.saturating_sub(HELD_BACK))
                    }
                    State::Running => 0,
                }
            };
            if available > self.position {
                return Ok(Some(available));
            }
            let changed = self.download.progress.changed().await;
            changed.map_err(|_| io::Error::other("the transfer of the blob panicked"))?;
        }
    }
}
