//! Performs a plan: steps in parallel over hosts, each finished one journalled.

mod action;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use remote::Remote;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use action::StepRun;
use schedule::Schedule;

use crate::{Action, Error, Journal, Plan, Step};

/// Performs what is not a script or a file: content delivery, and acts that a planner only names. Implemented above this
/// crate, where stores, providers and hosts meet.
#[async_trait]
pub trait ActionHandler: Send + Sync {
    /// Performs an [`Action::Content`] or [`Action::Custom`] of `step` on `host`, which `remote` reaches.
    ///
    /// # Errors
    ///
    /// When it could not be done; the same step is then tried again by the next run.
    async fn perform(
        &self,
        step: &Step,
        host: IpAddr,
        remote: Arc<dyn Remote>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Error>;
}

/// Receives events, from any thread, in the order in which they happened.
pub type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// How far content delivery is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What happens while a plan is performed.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// Steps that the journal already holds are skipped.
    Resuming {
        /// Steps finished earlier.
        done: usize,
        /// All steps.
        total: usize,
    },
    /// A step begins on a host.
    Started {
        /// Host.
        host: IpAddr,
        /// Step id.
        step: String,
        /// Its title.
        title: String,
    },
    /// Content moves.
    Moving {
        /// Host.
        host: IpAddr,
        /// Step id.
        step: String,
        /// How far.
        progress: Progress,
    },
    /// A line of output of a step whose output is shown.
    Output {
        /// Host.
        host: IpAddr,
        /// Step id.
        step: String,
        /// The line.
        line: String,
    },
    /// A step is finished on a host.
    Finished {
        /// Host.
        host: IpAddr,
        /// Step id.
        step: String,
        /// Its title.
        title: String,
        /// Time taken, in milliseconds.
        millis: u64,
    },
    /// A step failed on a host.
    Failed {
        /// Host.
        host: IpAddr,
        /// Step id.
        step: String,
        /// Its title.
        title: String,
        /// Why.
        reason: String,
    },
}

/// How to perform a plan.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExecuteOptions {
    /// Hosts worked on at once.
    pub parallel: usize,
    /// Asked between steps: when set, the current steps are finished and no new one is started.
    pub cancel: CancellationToken,
}

impl Default for ExecuteOptions {
    fn default() -> Self {
        Self { parallel: 32, cancel: CancellationToken::new() }
    }
}

impl ExecuteOptions {
    /// So many hosts at once, stopped by this token.
    #[must_use]
    pub fn new(parallel: usize, cancel: CancellationToken) -> Self {
        Self { parallel, cancel }
    }
}

/// What was done.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Steps done now.
    pub done: usize,
    /// Steps that the journal already held.
    pub skipped: usize,
    /// Time taken.
    #[serde(skip)]
    pub elapsed: Duration,
}

/// Performs `plan`: on one host in order, on different hosts at once, minding [`crate::Step::after`].
///
/// A step that the journal holds is skipped, as long as all steps before it on that host are held too. Scripts on one
/// host never overlap, not even with one that an earlier, killed session left running. Waiting changes nothing, so
/// it is broken off when the plan stops; all other steps under way are finished.
///
/// # Errors
///
/// The first failure, or [`Error::Several`]: the hosts that failed stop there, and so do steps that wait for theirs;
/// everything else is finished first. [`Error::Cancelled`] when it was stopped before the last step, [`Error::Plan`]
/// before the first one when the plan cannot be performed.
pub async fn execute(
    plan: &Plan,
    remotes: &BTreeMap<IpAddr, Arc<dyn Remote>>,
    handler: &dyn ActionHandler,
    journal: &Journal,
    options: &ExecuteOptions,
    events: Events<'_>,
) -> Result<Report, Error> {
    let started = Instant::now();
    let schedule = Schedule::of(plan)?;
    if let Some(host) = schedule.hosts.keys().find(|host| !remotes.contains_key(host)) {
        return Err(Error::Plan { cluster: plan.cluster.clone(), reason: format!("there is no connection to {host}") });
    }
    let held = held(plan, &schedule, journal);
    let total = schedule.counts.iter().sum();
    let skipped: usize = held.values().sum();
    if skipped > 0 {
        events(Event::Resuming { done: skipped, total });
    }
    forget_others(plan, &schedule, &held, journal).await?;
    let state = RunState::new(&schedule, &held);
    let executor = Executor {
        plan,
        schedule: &schedule,
        remotes,
        handler,
        journal,
        events,
        cancel: &options.cancel,
        places: Semaphore::new(options.parallel.clamp(1, Semaphore::MAX_PERMITS)),
        state: watch::Sender::new(state),
    };
    let mut hosts: FuturesUnordered<_> =
        schedule.hosts.iter().map(|(host, steps)| executor.host(*host, &steps[held[host]..])).collect();
    let mut failures = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = options.cancel.cancelled(), if !executor.state.borrow().stop => executor.stop(),
            ended = hosts.next() => match ended {
                Some(failed) => failures.extend(failed),
                None => break,
            },
        }
    }
    let left: usize = executor.state.borrow().remaining.iter().sum();
    match Error::of_hosts(failures) {
        Some(error) => Err(error),
        None if left > 0 => Err(Error::Cancelled { done: total - left, total }),
        None => Ok(Report { done: total - skipped, skipped, elapsed: started.elapsed() }),
    }
}

/// How many steps of each host the journal holds, from its first one on without a gap.
fn held(plan: &Plan, schedule: &Schedule, journal: &Journal) -> BTreeMap<IpAddr, usize> {
    let hosts = schedule.hosts.iter();
    hosts
        .map(|(&host, steps)| {
            (host, steps.iter().take_while(|&&index| journal.contains(&plan.steps[index], host)).count())
        })
        .collect()
}

/// Where something is done now, what else an interrupted plan has done does not count any more: a third plan may ask for
/// it again, after this one has undone it.
async fn forget_others(
    plan: &Plan,
    schedule: &Schedule,
    held: &BTreeMap<IpAddr, usize>,
    journal: &Journal,
) -> Result<(), Error> {
    let changing = schedule.hosts.iter().filter(|(host, steps)| held[host] < steps.len());
    let others = changing
        .flat_map(|(host, steps)| journal.others(*host, steps[..held[host]].iter().map(|&index| &plan.steps[index])));
    let others: Vec<_> = others.collect();
    if others.is_empty() {
        return Ok(());
    }
    blocking(journal, move |journal| journal.append(&others)).await
}

/// The journal is on a disk.
async fn blocking(
    journal: &Journal,
    act: impl FnOnce(&Journal) -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let journal = journal.clone();
    let done = tokio::task::spawn_blocking(move || act(&journal)).await;
    done.map_err(|error| Error::TaskPanicked { detail: error.to_string() })?
}

/// How far all hosts are.
struct RunState {
    /// For each step, on how many hosts it is not finished.
    remaining: Vec<usize>,
    /// Whether each step cannot be finished any more, because a host on which it happens stopped before.
    given_up: Vec<bool>,
    /// Nothing new is started.
    stop: bool,
}

impl RunState {
    fn new(schedule: &Schedule, held: &BTreeMap<IpAddr, usize>) -> Self {
        let mut remaining = schedule.counts.clone();
        for (host, steps) in &schedule.hosts {
            steps[..held[host]].iter().for_each(|&index| remaining[index] -= 1);
        }
        Self { given_up: vec![false; remaining.len()], remaining, stop: false }
    }

    /// Whether a step may start; `Some(false)` when it never will.
    fn may_start(&self, schedule: &Schedule, index: usize) -> Option<bool> {
        let finished = |before: &usize| self.remaining[*before] == 0;
        let given_up = |before: &usize| self.given_up[*before];
        if schedule.after[index].iter().any(given_up) {
            return Some(false);
        }
        let ended = |before: &usize| finished(before) || given_up(before);
        (schedule.after[index].iter().all(finished) && schedule.after_end_of[index].iter().all(ended)).then_some(true)
    }
}

struct Executor<'a> {
    plan: &'a Plan,
    schedule: &'a Schedule,
    remotes: &'a BTreeMap<IpAddr, Arc<dyn Remote>>,
    handler: &'a dyn ActionHandler,
    journal: &'a Journal,
    events: Events<'a>,
    cancel: &'a CancellationToken,
    places: Semaphore,
    state: watch::Sender<RunState>,
}

impl Executor<'_> {
    /// Performs the steps of one host; returns its failures.
    async fn host(&self, host: IpAddr, steps: &[usize]) -> Vec<Error> {
        let mut failures = Vec::new();
        for (place, &index) in steps.iter().enumerate() {
            let step = &self.plan.steps[index];
            let done = if self.can_start(index).await {
                let _place = self.places.acquire().await;
                if self.is_stopped() {
                    break;
                }
                self.step(host, step).await
            } else {
                Ok(false)
            };
            match done {
                Ok(true) => {
                    self.state.send_modify(|state| state.remaining[index] -= 1);
                    continue;
                }
                Ok(false) => {}
                Err(error) => failures.push(error),
            }
            if self.is_stopped() {
                break;
            }
            if !step.independent {
                self.give_up(&steps[place..]);
                break;
            }
            self.give_up(&[index]);
        }
        failures
    }

    /// Waits until it is known whether a step can start.
    async fn can_start(&self, index: usize) -> bool {
        let known = |state: &RunState| state.stop || state.may_start(self.schedule, index).is_some();
        // Neither the state nor the places go away while hosts are at work.
        let _ = self.state.subscribe().wait_for(known).await;
        self.state.borrow().may_start(self.schedule, index) != Some(false)
    }

    fn is_stopped(&self) -> bool {
        self.state.borrow().stop || self.cancel.is_cancelled()
    }

    /// Performs one step; `false` when it was broken off.
    async fn step(&self, host: IpAddr, step: &Step) -> Result<bool, Error> {
        let started = Instant::now();
        let (id, title) = (step.id.clone(), step.title.clone());
        (self.events)(Event::Started { host, step: id.clone(), title: title.clone() });
        let run = StepRun { step, host, remote: &self.remotes[&host], handler: self.handler, events: self.events };
        let mut stopped = self.state.subscribe();
        let performed = tokio::select! {
            biased;
            performed = run.perform() => performed,
            _ = stopped.wait_for(|state| state.stop), if matches!(step.action, Action::Wait(_)) => return Ok(false),
        };
        let recorded = match performed {
            Ok(()) => {
                let step = step.clone();
                blocking(self.journal, move |journal| journal.record(&step, host)).await
            }
            Err(error) => Err(error),
        };
        match &recorded {
            Ok(()) => {
                let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                (self.events)(Event::Finished { host, step: id, title, millis });
            }
            Err(error) => (self.events)(Event::Failed { host, step: id, title, reason: error.to_string() }),
        }
        recorded.map(|()| true)
    }

    /// Nothing of these steps will be finished, so nobody waits for them.
    fn give_up(&self, steps: &[usize]) {
        self.state.send_modify(|state| steps.iter().for_each(|&index| state.given_up[index] = true));
    }

    fn stop(&self) {
        self.state.send_modify(|state| state.stop = true);
    }
}
