//! Uploads one blob: mounted, continued, or sent in parts, and tried again where that may help.

use crate::body::{self, BlobSource};
use crate::fetch::blocking;
use crate::send::{Destination, SendOptions};
use crate::sessions::Claim;
use crate::{Error, Event, Events, Placed, Result};
use content_store::{Digest, Reference, Store};
use registry_client::{Error as RegistryError, Mount, Upload, UploadBody, UploadSession};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Failures in a row, without a byte more at the registry, before an upload is given up.
const ATTEMPTS: u32 = 6;
/// The wait after the first failure; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait that a registry may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);
/// How often failures of one blob begin to count anew.
const RECOVERIES: u32 = 100;
/// How often one blob is started again from its beginning.
const RESTARTS: u32 = 3;
/// The status of an answer to bytes that do not begin where the registry's end.
const OTHER_OFFSET: u16 = 416;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// The upload of one blob.
pub(crate) struct BlobUpload<'a> {
    pub(crate) store: &'a Store,
    pub(crate) options: &'a SendOptions,
    pub(crate) to: &'a Destination<'a>,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// Repositories of the same registry that may have it.
    pub(crate) elsewhere: &'a [String],
    pub(crate) claim: Option<Arc<Claim>>,
    pub(crate) events: Events<'a>,
}

/// How far it is.
struct State {
    session: Option<UploadSession>,
    /// Where the next part is read from, when that is where the session is.
    source: Option<BlobSource>,
    /// The largest part that is sent at once.
    part: u64,
    mount: bool,
    failures: u32,
    restarts: u32,
    refused: bool,
    /// The most bytes that the registry ever said to have: a registry that takes a part and loses it makes no progress.
    furthest: u64,
    recoveries: u32,
    progress: Progress,
}

impl State {
    /// Takes note of how far the registry says to be. Only when that is further than ever, failures begin to count anew.
    fn confirm(&mut self, offset: u64) {
        if offset > self.furthest {
            self.furthest = offset;
            self.recoveries += u32::from(self.failures > 0);
            (self.failures, self.refused) = (0, false);
        }
    }

    fn is_hopeless(&self) -> bool {
        self.failures >= ATTEMPTS || self.recoveries > RECOVERIES
    }
}

/// What is told; it never goes back.
struct Progress {
    told: u64,
    /// Bytes that were handed to the network in earlier requests.
    sent: u64,
}

/// What one request came to.
enum Advance {
    Placed(Placed),
    Part,
}

/// A request that failed, with what the reader of its body says.
struct Failed {
    error: Error,
    /// Whether the registry may have bytes of it.
    in_session: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, in_session: false }
    }
}

impl BlobUpload<'_> {
    /// Brings the blob to the registry; gives how, and the bytes that were sent.
    pub(crate) async fn run(self) -> Result<(Placed, u64)> {
        let mut state = State {
            session: None,
            source: None,
            part: self.options.part.max(1),
            mount: !self.elsewhere.is_empty(),
            failures: 0,
            restarts: 0,
            refused: false,
            furthest: 0,
            recoveries: 0,
            progress: Progress { told: 0, sent: 0 },
        };
        if let Some(claim) = self.claim.clone() {
            state.session = blocking(move || claim.load()).await?;
        }
        if self.ask(&mut state).await? {
            return Ok(self.done(&mut state, Placed::Sent));
        }
        loop {
            match self.advance(&mut state).await {
                Ok(Advance::Part) => {}
                Ok(Advance::Placed(placed)) => return Ok(self.done(&mut state, placed)),
                Err(failed) => {
                    if self.recover(&mut state, failed).await? {
                        return Ok(self.done(&mut state, Placed::Sent));
                    }
                }
            }
        }
    }

    fn done(&self, state: &mut State, placed: Placed) -> (Placed, u64) {
        if let Some(claim) = &self.claim {
            claim.forget();
        }
        (self.events)(self.event(self.size, state.progress.sent, Some(placed)));
        (placed, state.progress.sent)
    }

    /// Sends the next part, after a session was started where there is none.
    async fn advance(&self, state: &mut State) -> std::result::Result<Advance, Failed> {
        let session = match state.session.clone() {
            Some(session) => session,
            None => match self.start(state).await? {
                Upload::Session(session) => session,
                _ => return Ok(Advance::Placed(Placed::Mounted)),
            },
        };
        let count = self.size.saturating_sub(session.offset).min(state.part);
        let is_last = session.offset + count == self.size;
        let (body, taken, reader) = self.read(state, &session, count).await?;
        let request = async {
            let (registry, image) = (self.to.registry, &self.to.image);
            if is_last {
                registry.finish_upload(image, &session, &self.digest, body).await.map(|()| None)
            } else {
                registry.upload(image, &session, body).await.map(Some)
            }
        };
        let answer = self.telling(state, session.offset, &taken, request).await;
        state.progress.sent += taken.load(Ordering::Relaxed);
        let read = reader.await.map_err(|error| Failed::from(Error::TaskPanicked(error)))?;
        match (answer, read) {
            // When the store fails, the registry only says that the body broke off.
            (_, Err(error)) => Err(Error::from(error).into()),
            (Err(error), _) => Err(Failed { error: error.into(), in_session: true }),
            (Ok(None), _) => Ok(Advance::Placed(Placed::Sent)),
            (Ok(Some(next)), Ok(source)) => {
                state.source = Some(source);
                if next.offset <= session.offset {
                    // It was taken and is not there.
                    state.failures += 1;
                    if state.is_hopeless() {
                        return Err(
                            Error::Lost { digest: self.digest, host: self.to.image.registry().to_owned() }.into()
                        );
                    }
                }
                state.confirm(next.offset);
                self.keep(state, next).await?;
                Ok(Advance::Part)
            }
        }
    }

    /// Starts a session, or mounts the blob.
    async fn start(&self, state: &mut State) -> std::result::Result<Upload, Failed> {
        let (registry, image) = (self.to.registry, &self.to.image);
        let from = if std::mem::take(&mut state.mount) { self.found_elsewhere().await } else { None };
        let mount = from.map(|from| Mount::new(&self.digest, from));
        let started = match registry.start_upload(image, mount).await {
            // One that cannot be mounted is sent.
            Err(error) if mount.is_some() && !error.is_transient() => registry.start_upload(image, None).await,
            started => started,
        };
        let started = started.map_err(Error::from)?;
        if let Upload::Session(session) = &started {
            self.keep(state, session.clone()).await?;
        }
        Ok(started)
    }

    /// A repository that has the blob. It is asked, because a mount that fails leaves a session behind.
    async fn found_elsewhere(&self) -> Option<&str> {
        for repository in self.elsewhere {
            let Ok(image) = Reference::new(self.to.image.registry(), repository, "latest") else { continue };
            if let Ok(Some(_)) = self.to.registry.blob_exists(&image, &self.digest).await {
                return Some(repository);
            }
        }
        None
    }

    /// The body of the next request, and the thread that reads it.
    async fn read(&self, state: &mut State, session: &UploadSession, count: u64) -> Result<Reading> {
        let kept = state.source.take().filter(|source| source.position() == session.offset);
        let (store, digest, offset) = (self.store.clone(), self.digest, session.offset);
        let source = match kept {
            Some(source) => source,
            None => blocking(move || BlobSource::open(&store, digest, offset)).await??,
        };
        let (sender, pieces) = mpsc::channel(body::PIECES);
        let reader = tokio::task::spawn_blocking(move || source.feed(count, &sender));
        let taken = Arc::new(AtomicU64::new(0));
        Ok((UploadBody::new(count, body::counted(pieces, taken.clone())), taken, reader))
    }

    /// Tells how far the request is while it runs.
    async fn telling<T>(
        &self,
        state: &mut State,
        offset: u64,
        taken: &AtomicU64,
        request: impl Future<Output = T>,
    ) -> T {
        let mut request = pin!(request);
        let mut ticks = tokio::time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                answer = &mut request => return answer,
                _ = ticks.tick() => {
                    let taken = taken.load(Ordering::Relaxed);
                    // The registry answers after the last byte: until then it does not have all.
                    let at = (offset + taken).min(self.size.saturating_sub(1));
                    state.progress.told = state.progress.told.max(at);
                    (self.events)(self.event(state.progress.told, state.progress.sent + taken, None));
                }
            }
        }
    }

    fn event(&self, bytes: u64, sent: u64, placed: Option<Placed>) -> Event {
        Event::Upload { digest: self.digest, bytes, size: self.size, sent, placed }
    }

    /// Decides what to do after a failure, and waits if that is part of it. Gives whether the blob is there.
    async fn recover(&self, state: &mut State, failed: Failed) -> Result<bool> {
        let Error::Registry(error) = failed.error else { return Err(failed.error) };
        let status = match &error {
            RegistryError::Answer { status, .. } => Some(status.as_u16()),
            _ => None,
        };
        if error.is_transient() || (failed.in_session && status == Some(OTHER_OFFSET)) {
            self.pause(state, error).await?;
        } else if failed.in_session && error.is_not_found() {
            return self.forgotten(state, error).await;
        } else if failed.in_session && !state.refused && matches!(error, RegistryError::Unauthorised { .. }) {
            // Tokens get old; the next request brings a new one.
            state.refused = true;
        } else if failed.in_session && status.is_some() && self.restart(state).await {
            // It was told wrong bytes, or takes no parts: once more, from the beginning and in one piece.
            state.part = u64::MAX;
            return Ok(false);
        } else {
            return Err(error.into());
        }
        self.ask(state).await
    }

    /// Asks how far the session is. Gives whether the blob is there.
    async fn ask(&self, state: &mut State) -> Result<bool> {
        while let Some(session) = state.session.clone() {
            match self.to.registry.upload_status(&self.to.image, &session).await {
                Ok(next) if next.offset <= self.size => {
                    state.progress.told = state.progress.told.max(next.offset);
                    state.confirm(next.offset);
                    self.keep(state, next).await?;
                    return Ok(false);
                }
                Ok(_) => drop(self.restart(state).await),
                Err(error) if error.is_transient() => self.pause(state, error).await?,
                Err(error) => return self.forgotten(state, error).await,
            }
        }
        Ok(false)
    }

    /// The registry does not know the session: the blob is there and only the answer was lost, or it starts again.
    async fn forgotten(&self, state: &mut State, error: RegistryError) -> Result<bool> {
        let found = self.to.registry.blob_exists(&self.to.image, &self.digest).await;
        if matches!(found, Ok(Some(size)) if size == self.size) {
            return Ok(true);
        }
        if self.restart(state).await { Ok(false) } else { Err(error.into()) }
    }

    /// Forgets the session, so that the blob starts again; not for ever.
    async fn restart(&self, state: &mut State) -> bool {
        (state.session, state.source) = (None, None);
        if let Some(claim) = self.claim.clone() {
            // Should it stay, it is asked for once more.
            let _ = blocking(move || claim.forget()).await;
        }
        state.restarts += 1;
        state.restarts <= RESTARTS
    }

    /// Waits before the next attempt; the error when there is to be none.
    async fn pause(&self, state: &mut State, error: RegistryError) -> Result<()> {
        state.failures += 1;
        if state.is_hopeless() {
            return Err(error.into());
        }
        let wait = match error {
            RegistryError::TooManyRequests { retry_after: Some(wait), .. } => wait.min(LONGEST_RETRY_AFTER),
            _ => LONGEST_WAIT.min(FIRST_WAIT * 2_u32.saturating_pow(state.failures - 1)),
        };
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Remembers the session, in this process and for others.
    async fn keep(&self, state: &mut State, session: UploadSession) -> Result<()> {
        if let Some(claim) = self.claim.clone() {
            let session = session.clone();
            blocking(move || claim.save(&session)).await??;
        }
        state.session = Some(session);
        Ok(())
    }
}

/// The body of a request, how many of its bytes were taken, and the thread that reads them.
type Reading = (UploadBody, Arc<AtomicU64>, JoinHandle<content_store::Result<BlobSource>>);
