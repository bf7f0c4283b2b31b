//! How is a plan performed: steps in parallel over hosts, each finished one journalled.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Action, Error, Journal, Plan, Remote};

/// Brings content to a host; implemented above this crate, where content and hosts meet.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Performs an [`Action::Content`] on the host behind `remote`.
    ///
    /// # Errors
    ///
    /// When the content could not be brought there whole and verified.
    async fn deliver(&self, remote: Arc<dyn Remote>, action: &Action, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<(), Error>;
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
    Resuming { /** steps finished earlier */ done: usize, /** all steps */ total: usize },
    /// A step begins on a host.
    Started { /** host */ host: IpAddr, /** step id */ step: String, /** its title */ title: String },
    /// Content moves.
    Moving { /** host */ host: IpAddr, /** step id */ step: String, /** how far */ progress: Progress },
    /// A line of output of a step whose output is shown.
    Output { /** host */ host: IpAddr, /** step id */ step: String, /** the line */ line: String },
    /// A step is finished on a host.
    Finished { /** host */ host: IpAddr, /** step id */ step: String, /** its title */ title: String, /** time taken, in milliseconds */ millis: u64 },
    /// A step failed on a host.
    Failed { /** host */ host: IpAddr, /** step id */ step: String, /** its title */ title: String, /** why */ reason: String },
}

/// How to perform a plan.
#[derive(Debug, Clone)]
pub struct ExecuteOptions {
    /// Hosts worked on at once.
    pub parallel: usize,
    /// Asked between steps: when set, the current steps are finished and no new one is started.
    pub cancel: tokio_util::sync::CancellationToken,
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
/// # Errors
///
/// The first failure; steps running on other hosts are finished first, nothing new is started.
pub async fn execute(
    plan: &Plan,
    remotes: &BTreeMap<IpAddr, Arc<dyn Remote>>,
    deliver: &dyn Deliver,
    journal: &Journal,
    options: &ExecuteOptions,
    events: &(dyn Fn(Event) + Send + Sync),
) -> Result<Report, Error> {
    let _ = (plan, remotes, deliver, journal, options, events);
    Err(Error::NotBuilt { what: "execute" })
}
