//! What the steps of one workflow share: the Sealer, the options, the listener.

use std::time::Instant;

use clusterfile::Cluster;

use crate::{ApplyOptions, Error, Event, Events, Sealer};

/// One call of a workflow.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) sealer: &'a Sealer,
    pub(crate) options: &'a ApplyOptions,
    pub(crate) events: Events<'a>,
}

impl Run<'_> {
    pub(crate) fn tell(&self, event: Event) {
        (self.events)(event);
    }

    pub(crate) fn warn(&self, message: String) {
        self.tell(Event::Warning { message });
    }

    /// Tells that a phase that concerned the hosts of `cluster` is finished.
    pub(crate) fn phase(&self, name: &str, cluster: &Cluster, started: Instant) {
        let count = cluster.hosts.len();
        let detail = format!("{count} host{}", if count == 1 { "" } else { "s" });
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tell(Event::Phase { name: name.to_owned(), detail, millis });
    }

    /// Runs work that can be dropped at any time without harm, and drops it on cancellation.
    pub(crate) async fn until_cancelled<T, E: Into<Error>>(
        &self,
        act: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        match self.options.cancel.run_until_cancelled(work).await {
            Some(done) => done.map_err(Into::into),
            None => Err(Error::Interrupted { act }),
        }
    }
}
