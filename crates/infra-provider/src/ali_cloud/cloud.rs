//! Repeats calls after back-off, and records every call that makes something before it is sent.

use std::time::Duration;

use clusterfile::{Cluster, Secret};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::api::eip::ASSOCIATE;
use super::api::{ApiError, Class, Client, Done, Listing, Request};
use super::backoff::{Backoffs, Pending};
use super::record::{Intent, Record, Resources};
use crate::{Context, Error, ProviderEvent, Result};

/// No list has more pages; a server whose list never ends is not followed further.
const MAX_PAGES: usize = 200;
/// Shorter pauses are not reported.
const MIN_REPORTED_WAIT: Duration = Duration::from_millis(1_500);

/// The cloud as one run for one cluster uses it.
#[derive(Clone, Copy)]
pub(super) struct Cloud<'a> {
    pub(super) client: &'a Client,
    pub(super) record: &'a Record,
    pub(super) context: &'a Context<'a>,
    /// The cluster as it is wanted.
    pub(super) wanted: &'a Cluster,
    /// When to give up.
    pub(super) deadline: Instant,
    /// When to stop waiting for a state and look up what is really there.
    pub(super) state_deadline: Option<Instant>,
    /// The password of new machines, if they get one; never in the record.
    pub(super) password: Option<&'a Secret>,
}

/// A state that must be reached before a call can succeed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prerequisite {
    pub(super) pending: Pending,
    /// When the state is expected; a state that began at an unknown time is asked for at once.
    expected: Option<Instant>,
}

impl Prerequisite {
    /// A state that began to be reached right now.
    pub(super) fn from_now(pending: Pending) -> Self {
        Self { pending, expected: Some(Instant::now() + pending.usual_time()) }
    }

    /// A state that began to be reached some time in the past.
    pub(super) fn unknown(pending: Pending) -> Self {
        Self { pending, expected: None }
    }
}

impl<'a> Cloud<'a> {
    /// Sends a call that only reads, or whose repetition has no further effect.
    pub(super) async fn ask<A: DeserializeOwned>(&self, request: &Request<A>) -> Result<A> {
        self.repeat(request, None, &mut false).await
    }

    /// Reads all pages of a list.
    pub(super) async fn list<T: DeserializeOwned>(&self, mut listing: Listing<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        // A refused page is asked for again; the pages before it are not.
        for _ in 0..MAX_PAGES {
            let page = self.ask(listing.request()).await?;
            if !listing.turn(page, &mut items) {
                return Ok(items);
            }
        }
        Err(Error::EndlessList { action: listing.request().action })
    }

    /// Makes an idempotent change once its prerequisite is expected.
    pub(super) async fn change(&self, request: &Request<Done>, prerequisite: Option<Prerequisite>) -> Result<()> {
        self.repeat(request, prerequisite, &mut false).await.map(drop)
    }

    /// Makes something once: after a crash the same `step` repeats the recorded call, whose client token gives the first
    /// response again.
    ///
    /// `keep` writes the response into the record; with that the step is done.
    pub(super) async fn make<A: DeserializeOwned>(
        &self,
        step: &str,
        prerequisite: Option<Prerequisite>,
        mut request: Request<A>,
        keep: impl FnOnce(&mut Resources, &A),
    ) -> Result<A> {
        let open = self.record.with(|resources| resources.intents.get(step).cloned());
        let open = open.filter(|intent| intent.action == request.action);
        // Whether an earlier attempt may have had its effect.
        let mut ambiguous = open.is_some();
        match open {
            Some(intent) => request.parameters = intent.restored(self.password),
            None => {
                request = request.with_token(&self.record.token()?);
                let intent = Intent::new(request.action, &request.parameters);
                self.record.change(|resources| resources.intents.insert(step.to_owned(), intent))?;
            }
        }
        match self.repeat(&request, prerequisite, &mut ambiguous).await {
            Ok(answer) => {
                self.record.change(|resources| {
                    keep(resources, &answer);
                    resources.intents.remove(step);
                })?;
                Ok(answer)
            }
            Err(error) => {
                if had_no_effect(&error) {
                    self.record.change(|resources| {
                        resources.intents.remove(step);
                        // Only a search by tag shows whether it had.
                        resources.searched &= !ambiguous || request.action == ASSOCIATE;
                    })?;
                }
                Err(error)
            }
        }
    }

    /// Writes a change into the record.
    pub(super) fn keep(&self, change: impl FnOnce(&mut Resources)) -> Result<()> {
        self.record.change(change)
    }

    /// Waits until a state is expected.
    pub(super) async fn until(&self, prerequisite: Prerequisite) -> Result<()> {
        let Some(expected) = prerequisite.expected else { return Ok(()) };
        let left = expected.saturating_duration_since(Instant::now());
        if left >= MIN_REPORTED_WAIT {
            self.tell_waiting(prerequisite.pending.words(), left, None);
        }
        self.context.sleep(left).await
    }

    /// Sleeps before a call is repeated; an error when the run is out of time.
    pub(super) async fn pause(&self, what: &str, pause: Duration, why: &ApiError) -> Result<()> {
        self.check_deadline(what, pause, Some(why))?;
        if pause >= MIN_REPORTED_WAIT {
            self.tell_waiting(what, pause, Some(why.to_string()));
        }
        self.context.sleep(pause).await
    }

    /// Fails when no time is left for another pause.
    pub(super) fn check_deadline(&self, what: &str, pause: Duration, why: Option<&ApiError>) -> Result<()> {
        if Instant::now() + pause <= self.deadline {
            return Ok(());
        }
        let reason = why.map_or_else(String::new, |why| format!(": {why}"));
        Err(Error::OutOfTime { what: what.to_owned(), reason })
    }

    /// The same cloud, which waits no longer than this for any one state.
    pub(super) fn with_state_timeout(&self, state_deadline: Duration) -> Cloud<'a> {
        Cloud { state_deadline: Some(Instant::now() + state_deadline), ..*self }
    }

    /// Repeats a call until it succeeds or repeating cannot help. `ambiguous` becomes true when an attempt that was
    /// followed by another one may have had its effect.
    async fn repeat<A: DeserializeOwned>(
        &self,
        request: &Request<A>,
        prerequisite: Option<Prerequisite>,
        ambiguous: &mut bool,
    ) -> Result<A> {
        if let Some(prerequisite) = prerequisite {
            self.until(prerequisite).await?;
        }
        let mut backoffs = Backoffs::after(prerequisite.map(|prerequisite| prerequisite.pending));
        loop {
            self.context.check_cancelled()?;
            let error = match self.client.call(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = backoffs.next(&error);
            let Some(time) = pause.filter(|time| !is_state(error.class) || self.within_state_deadline(*time)) else {
                return Err(Error::Cloud { cluster: self.wanted.name.clone(), source: Box::new(error) });
            };
            let what = prerequisite.map_or(request.action, |prerequisite| prerequisite.pending.words());
            *ambiguous |= error.may_have_happened;
            self.pause(what, time, &error).await?;
        }
    }

    fn within_state_deadline(&self, pause: Duration) -> bool {
        self.state_deadline.is_none_or(|until| Instant::now() + pause <= until)
    }

    /// Reports that something other than a machine was made.
    pub(super) fn tell_made(&self, what: &str, id: &str) {
        self.context.tell(ProviderEvent::Made { what: what.to_owned(), id: id.to_owned() });
    }

    fn tell_waiting(&self, what: &str, pause: Duration, reason: Option<String>) {
        let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.context.tell(ProviderEvent::Waiting { what: what.to_owned(), milliseconds, reason });
    }
}

/// The class of a refusal of the cloud.
pub(super) fn class(error: &Error) -> Option<Class> {
    match error {
        Error::Cloud { source, .. } => Some(source.class),
        _ => None,
    }
}

fn is_state(class: Class) -> bool {
    matches!(class, Class::NotReady | Class::InUse)
}

/// Whether a call was refused for a state until the time for it was over.
pub(super) fn state_timed_out(error: &Error) -> bool {
    class(error).is_some_and(is_state)
}

/// Whether a failed call certainly had no effect; its token is not used again.
fn had_no_effect(error: &Error) -> bool {
    match error {
        Error::Cloud { source, .. } => !source.may_have_happened && source.class != Class::Server,
        _ => false,
    }
}
