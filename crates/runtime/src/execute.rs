//! How is a plan performed: steps in parallel over hosts, each finished one journalled.

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
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use remote::Remote;

use crate::{Action, Error, Journal, Plan, Step};
use action::Act;
use schedule::Schedule;

/// Brings content to a host; implemented above this crate, where content and hosts meet.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Performs an [`Action::Content`] on the host behind `remote`.
    ///
    /// # Errors
    ///
    /// When the content could not be brought there whole and verified.
    async fn deliver(
        &self,
        remote: Arc<dyn Remote>,
        action: &Action,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Error>;
}

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
        /** steps finished earlier */
        done: usize,
        /** all steps */
        total: usize,
    },
    /// A step begins on a host.
    Started {
        /** host */
        host: IpAddr,
        /** step id */
        step: String,
        /** its title */
        title: String,
    },
    /// Content moves.
    Moving {
        /** host */
        host: IpAddr,
        /** step id */
        step: String,
        /** how far */
        progress: Progress,
    },
    /// A line of output of a step whose output is shown.
    Output {
        /** host */
        host: IpAddr,
        /** step id */
        step: String,
        /** the line */
        line: String,
    },
    /// A step is finished on a host.
    Finished {
        /** host */
        host: IpAddr,
        /** step id */
        step: String,
        /** its title */
        title: String,
        /** time taken, in milliseconds */
        millis: u64,
    },
    /// A step failed on a host.
    Failed {
        /** host */
        host: IpAddr,
        /** step id */
        step: String,
        /** its title */
        title: String,
        /** why */
        reason: String,
    },
}

/// How to perform a plan.
#[derive(Debug, Clone)]
pub struct ExecuteOptions {
    /// Hosts worked on at once.
    pub parallel: usize,
    /// Asked between steps: when set, the current steps are finished and no new one is started.
    pub cancel: CancellationToken,
}

/// What was done.
#[derive(Debug, Clone, Default, Serialize)]
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
/// The first failure; steps running on other hosts are finished first, nothing new is started.
/// [`Error::Cancelled`] when it was stopped before the last step, [`Error::Plan`] before the first one when the plan
/// cannot be performed.
pub async fn execute(
    plan: &Plan,
    remotes: &BTreeMap<IpAddr, Arc<dyn Remote>>,
    deliver: &dyn Deliver,
    journal: &Journal,
    options: &ExecuteOptions,
    events: &(dyn Fn(Event) + Send + Sync),
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
    let board = Board::new(&schedule, &held);
    let work = Work {
        plan,
        schedule: &schedule,
        remotes,
        deliver,
        journal,
        events,
        cancel: &options.cancel,
        places: Semaphore::new(options.parallel.clamp(1, Semaphore::MAX_PERMITS)),
        board: watch::Sender::new(board),
    };
    let mut hosts: FuturesUnordered<_> =
        schedule.hosts.iter().map(|(host, steps)| work.host(*host, &steps[held[host]..])).collect();
    let mut failure = None;
    loop {
        tokio::select! {
            biased;
            () = options.cancel.cancelled(), if !work.board.borrow().stop => work.stop(),
            ended = hosts.next() => match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => failure = failure.or(Some(error)),
                None => break,
            },
        }
    }
    let left: usize = work.board.borrow().remaining.iter().sum();
    match failure {
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

/// What all hosts' work goes by.
struct Board {
    /// For each step, on how many hosts it is not finished.
    remaining: Vec<usize>,
    /// Nothing new is started.
    stop: bool,
}

impl Board {
    fn new(schedule: &Schedule, held: &BTreeMap<IpAddr, usize>) -> Self {
        let mut remaining = schedule.counts.clone();
        for (host, steps) in &schedule.hosts {
            steps[..held[host]].iter().for_each(|&index| remaining[index] -= 1);
        }
        Self { remaining, stop: false }
    }
}

struct Work<'a> {
    plan: &'a Plan,
    schedule: &'a Schedule,
    remotes: &'a BTreeMap<IpAddr, Arc<dyn Remote>>,
    deliver: &'a dyn Deliver,
    journal: &'a Journal,
    events: &'a (dyn Fn(Event) + Send + Sync),
    cancel: &'a CancellationToken,
    places: Semaphore,
    board: watch::Sender<Board>,
}

impl Work<'_> {
    /// Performs the steps of one host.
    async fn host(&self, host: IpAddr, steps: &[usize]) -> Result<(), Error> {
        for &index in steps {
            let ready = |board: &Board| {
                board.stop || self.schedule.after[index].iter().all(|&before| board.remaining[before] == 0)
            };
            // Neither the board nor the places go away while hosts are at work.
            let _ = self.board.subscribe().wait_for(ready).await;
            let _place = self.places.acquire().await;
            if self.board.borrow().stop || self.cancel.is_cancelled() {
                return Ok(());
            }
            let done = self.step(host, &self.plan.steps[index]).await;
            match done {
                Ok(true) => self.board.send_modify(|board| board.remaining[index] -= 1),
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.stop();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Performs one step; `false` when it was broken off.
    async fn step(&self, host: IpAddr, step: &Step) -> Result<bool, Error> {
        let started = Instant::now();
        let (id, title) = (step.id.clone(), step.title.clone());
        (self.events)(Event::Started { host, step: id.clone(), title: title.clone() });
        let act = Act { step, host, remote: &self.remotes[&host], deliver: self.deliver, events: self.events };
        let mut stopped = self.board.subscribe();
        let performed = tokio::select! {
            biased;
            performed = act.perform() => performed,
            _ = stopped.wait_for(|board| board.stop), if matches!(step.action, Action::Wait { .. }) => return Ok(false),
        };
        let recorded = match performed {
            Ok(()) => self.record(step, host).await,
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

    async fn record(&self, step: &Step, host: IpAddr) -> Result<(), Error> {
        let (journal, step) = (self.journal.clone(), step.clone());
        let recording = tokio::task::spawn_blocking(move || journal.record(&step, host));
        recording.await.map_err(|error| Error::Task { detail: error.to_string() })?
    }

    fn stop(&self) {
        self.board.send_modify(|board| board.stop = true);
    }
}
