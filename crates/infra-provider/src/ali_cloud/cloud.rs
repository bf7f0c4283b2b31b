//! How is the cloud asked so that nothing is done twice, nothing is lost, and no call is made too early?

use std::time::Duration;

use clusterfile::{Cluster, Secret};
use tokio::time::Instant;

use super::api::eip::AssociateEipAddress;
use super::api::{Action, ApiError, Class, Client, Listing};
use super::backoff::{Backoffs, Pending};
use super::record::{Record, Things};
use super::stored::{Stored, intent};
use crate::{Context, Error, ProviderEvent, Result};

/// No list of a cluster has more pages; a server that never ends its list is not followed further.
const PAGES: usize = 200;
/// Pauses shorter than this are not worth telling.
const SHORT: Duration = Duration::from_millis(1_500);

/// The cloud, as one run for one cluster uses it.
#[derive(Clone, Copy)]
pub(super) struct Cloud<'a> {
    pub(super) client: &'a Client,
    pub(super) record: &'a Record,
    pub(super) context: &'a Context<'a>,
    /// The cluster as it is wanted.
    pub(super) wanted: &'a Cluster,
    /// When to give up.
    pub(super) deadline: Instant,
    /// When to give up waiting for a state, so that it can be looked whether that makes sense.
    pub(super) patience: Option<Instant>,
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
    /// A call that only looks, or whose repetition does nothing the second time.
    pub(super) async fn ask<A: Action>(&self, action: &A) -> Result<A::Answer> {
        self.repeat(action, None, &mut false).await
    }

    /// All pages of a list.
    pub(super) async fn list<L: Listing + Clone>(&self, listing: L) -> Result<Vec<L::Item>> {
        let mut listing = listing;
        let mut items = Vec::new();
        // A refused page is asked for again; the pages before it are not.
        for _ in 0..PAGES {
            let answer = self.repeat(&listing, None, &mut false).await?;
            if !listing.turn(answer, &mut items) {
                return Ok(items);
            }
        }
        Err(Error::EndlessList { action: L::NAME })
    }

    /// A naturally repeatable change, made when its prerequisite should be open.
    pub(super) async fn change<A: Action>(&self, action: &A, prerequisite: Option<Prerequisite>) -> Result<A::Answer> {
        self.repeat(action, prerequisite, &mut false).await
    }

    /// Makes something once: the same `step` after a crash repeats the stored call, which answers as it did.
    ///
    /// `keep` writes the answer into the record; from then on the step is done.
    pub(super) async fn make<A: Action>(
        &self,
        step: &str,
        prerequisite: Option<Prerequisite>,
        action: impl FnOnce(String) -> A,
        keep: impl FnOnce(&mut Things, &A::Answer),
    ) -> Result<A::Answer> {
        let open = self.record.with(|things| things.intents.get(step).cloned());
        let open = open.filter(|intent| intent.action == A::NAME);
        // Whether an attempt before the last one may have had its effect.
        let mut doubtful = open.is_some();
        let made = match open {
            Some(intent) => self.repeat(&Stored::<A>::new(&intent, self.password), prerequisite, &mut doubtful).await,
            None => {
                let action = action(self.record.token()?);
                let intent = intent(&action);
                self.record.change(|things| things.intents.insert(step.to_owned(), intent))?;
                self.repeat(&action, prerequisite, &mut doubtful).await
            }
        };
        match made {
            Ok(answer) => {
                self.record.change(|things| {
                    keep(things, &answer);
                    things.intents.remove(step);
                })?;
                Ok(answer)
            }
            Err(error) => {
                if happened_not(&error) {
                    self.record.change(|things| {
                        things.intents.remove(step);
                        // Only a search by tag tells what came of it.
                        things.looked &= !doubtful || A::NAME == AssociateEipAddress::NAME;
                    })?;
                }
                Err(error)
            }
        }
    }

    /// Writes a change into the record.
    pub(super) fn keep(&self, change: impl FnOnce(&mut Things)) -> Result<()> {
        self.record.change(change)
    }

    /// Waits until a state is expected, before anything is asked about it.
    pub(super) async fn until(&self, prerequisite: Prerequisite) -> Result<()> {
        let Some(expected) = prerequisite.expected else { return Ok(()) };
        let left = expected.saturating_duration_since(Instant::now());
        if left >= SHORT {
            self.tell_waiting(prerequisite.pending.words(), left, None);
        }
        self.context.sleep(left).await
    }

    /// Sleeps before a look that came too early is repeated; an error when the time is up.
    pub(super) async fn pause(&self, what: &str, pause: Duration, why: &ApiError) -> Result<()> {
        self.check_deadline(what, pause, Some(why))?;
        if pause >= SHORT {
            self.tell_waiting(what, pause, Some(why.to_string()));
        }
        self.context.sleep(pause).await
    }

    /// An error when there is no time left for another pause.
    pub(super) fn check_deadline(&self, what: &str, pause: Duration, why: Option<&ApiError>) -> Result<()> {
        if Instant::now() + pause <= self.deadline {
            return Ok(());
        }
        let reason = why.map_or_else(String::new, |why| format!(": {why}"));
        Err(Error::OutOfTime { what: what.to_owned(), reason })
    }

    /// The same cloud for somebody who does not wait longer than this before looking whether the wait makes sense.
    pub(super) fn impatient(&self, patience: Duration) -> Cloud<'a> {
        Cloud { patience: Some(Instant::now() + patience), ..*self }
    }

    /// `doubtful` becomes true when an attempt that was followed by another one may have had its effect.
    async fn repeat<A: Action>(
        &self,
        action: &A,
        prerequisite: Option<Prerequisite>,
        doubtful: &mut bool,
    ) -> Result<A::Answer> {
        if let Some(prerequisite) = prerequisite {
            self.until(prerequisite).await?;
        }
        let mut backoffs = Backoffs::after(prerequisite.map(|prerequisite| prerequisite.pending));
        loop {
            self.context.check_cancelled()?;
            let error = match self.client.call(action).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = backoffs.next(&error);
            let Some(time) = pause.filter(|time| !is_state(error.class) || self.is_patient(*time)) else {
                return Err(Error::Cloud { cluster: self.wanted.name.clone(), source: Box::new(error) });
            };
            let what = prerequisite.map_or(A::NAME, |prerequisite| prerequisite.pending.words());
            *doubtful |= error.may_have_happened;
            self.pause(what, time, &error).await?;
        }
    }

    fn is_patient(&self, pause: Duration) -> bool {
        self.patience.is_none_or(|until| Instant::now() + pause <= until)
    }

    /// Tells that something other than a machine was made.
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

/// Whether a call was refused for a state until patience was lost.
pub(super) fn lost_patience(error: &Error) -> bool {
    class(error).is_some_and(is_state)
}

/// Whether the failed call is known to have had no effect: then its token is of no more use.
fn happened_not(error: &Error) -> bool {
    match error {
        Error::Cloud { source, .. } => !source.may_have_happened && source.class != Class::Server,
        _ => false,
    }
}
