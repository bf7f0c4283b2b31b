//! How is the cloud asked so that nothing is done twice, nothing is lost, and no call is made too early?

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clusterfile::{Cluster, Secret};
use tokio::time::Instant;

use super::api::eip::AssociateEipAddress;
use super::api::{Action, ApiError, Class, Client, Listing};
use super::pause::{Refusals, pause};
use super::record::{Record, Things};
use super::stored::{Stored, intent};
use super::waits::{Wait, Waits};
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
    pub(super) waits: &'a Mutex<Waits>,
    /// Where learned times are kept.
    pub(super) waits_file: Option<&'a Path>,
    /// When to give up.
    pub(super) deadline: Instant,
    /// When to give up waiting for a state, so that it can be looked whether that makes sense.
    pub(super) patience: Option<Instant>,
    /// The password of new machines, if they get one; never in the record.
    pub(super) password: Option<&'a Secret>,
}

/// Something that must be ready before a call can succeed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    wait: Wait,
    /// When its making was answered; unknown after a restart, then it is probed at once.
    since: Option<Instant>,
}

impl Gate {
    /// What is awaited began right now.
    pub(super) fn from_now(wait: Wait) -> Self {
        Self { wait, since: Some(Instant::now()) }
    }

    /// What is awaited began some time in the past.
    pub(super) fn unknown(wait: Wait) -> Self {
        Self { wait, since: None }
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

    /// A naturally repeatable change, made when its gate should be open.
    pub(super) async fn change<A: Action>(&self, action: &A, gate: Option<Gate>) -> Result<A::Answer> {
        self.repeat(action, gate, &mut false).await
    }

    /// Makes something once: the same `step` after a crash repeats the stored call, which answers as it did.
    ///
    /// `keep` writes the answer into the record; from then on the step is done.
    pub(super) async fn make<A: Action>(
        &self,
        step: &str,
        gate: Option<Gate>,
        action: impl FnOnce(String) -> A,
        keep: impl FnOnce(&mut Things, &A::Answer),
    ) -> Result<A::Answer> {
        let open = self.record.with(|things| things.intents.get(step).cloned());
        let open = open.filter(|intent| intent.action == A::NAME);
        // Whether an attempt before the last one may have had its effect.
        let mut doubtful = open.is_some();
        let made = match open {
            Some(intent) => self.repeat(&Stored::<A>::new(&intent, self.password), gate, &mut doubtful).await,
            None => {
                let action = action(self.record.token()?);
                let intent = intent(&action);
                self.record.change(|things| things.intents.insert(step.to_owned(), intent))?;
                self.repeat(&action, gate, &mut doubtful).await
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

    /// Waits until something should be ready, before anything is asked about it.
    pub(super) async fn until(&self, gate: Gate) -> Result<()> {
        let Some(since) = gate.since else { return Ok(()) };
        let first = self.learned(|waits| waits.first(gate.wait));
        let left = (since + first).saturating_duration_since(Instant::now());
        if left >= SHORT {
            self.tell_waiting(gate.wait.words(), left, None);
        }
        self.context.sleep(left).await
    }

    /// Tells that something was ready when it was asked for at `ready`, and not yet at `early`.
    pub(super) fn learn(&self, gate: Gate, ready: Instant, early: Option<Instant>) -> Result<()> {
        let Some(since) = gate.since else { return Ok(()) };
        let after = |time: Instant| time.saturating_duration_since(since);
        let waits = {
            let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.learn(gate.wait, after(ready), early.map(after));
            waits.clone()
        };
        self.waits_file.map_or(Ok(()), |path| waits.store(path))
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
    async fn repeat<A: Action>(&self, action: &A, gate: Option<Gate>, doubtful: &mut bool) -> Result<A::Answer> {
        if let Some(gate) = gate {
            self.until(gate).await?;
        }
        let (mut refused, mut early) = (Refusals::default(), None);
        loop {
            self.context.check_cancelled()?;
            let asked = Instant::now();
            let error = match self.client.call(action).await {
                Ok(answer) => {
                    gate.map_or(Ok(()), |gate| self.learn(gate, asked, early))?;
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if is_state(error.class) {
                refused.state += 1;
                early = Some(asked);
            } else {
                refused.other += 1;
            }
            let pause = pause(&error, refused, random());
            let Some(time) = pause.filter(|time| !is_state(error.class) || self.is_patient(*time)) else {
                return Err(Error::Cloud { cluster: self.wanted.name.clone(), source: Box::new(error) });
            };
            let what = gate.map_or(A::NAME, |gate| gate.wait.words());
            *doubtful |= error.may_have_happened;
            self.pause(what, time, &error).await?;
        }
    }

    fn is_patient(&self, pause: Duration) -> bool {
        self.patience.is_none_or(|until| Instant::now() + pause <= until)
    }

    fn learned<T>(&self, look: impl FnOnce(&Waits) -> T) -> T {
        look(&self.waits.lock().unwrap_or_else(PoisonError::into_inner))
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

/// A number between 0 and 1 that spreads retries; nothing secret hangs on it.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without random numbers everybody waits equally long: slower for many, wrong for nobody.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
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
