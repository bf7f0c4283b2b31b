//! Lets one operator at a time work on a cluster: a Lease in the cluster with an owner and a heartbeat.
//!
//! The Lease `sealer-operator` in `kube-system` names who works on the cluster. It is renewed every [`HEARTBEAT`];
//! one that nobody renews for its duration counts as left behind. That is found out by watching it, never by comparing
//! times: clocks may be apart. A cluster without an API server has no Lease: there the lock of the state directory
//! and the markers of the hosts keep two operators apart.

mod lease;
mod operator;

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

pub(crate) use lease::{LEASE, Lease, timestamp};
pub(crate) use operator::Operator;

use crate::cluster_api::{ClusterApi, Verb, Written};
use crate::run::Run;
use crate::{ApplyOptions, Class, ClusterState, Error};

/// How often the Lease is renewed.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a Lease counts that is not renewed, in seconds.
const SECONDS: u64 = 60;
/// How often the Lease of somebody else is looked at.
const WATCH: Duration = Duration::from_secs(3);
/// How often a Lease is tried to be had that changes under our hands.
const ATTEMPTS: usize = 5;

/// What is needed to lock a cluster.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    /// The cluster's API; `None` when it has none yet.
    pub(crate) api: Option<&'a ClusterApi>,
    /// The Lease as it was before planning: a change since then means that the plan may be wrong.
    pub(crate) seen: Option<Lease>,
    /// Whether the API goes away with this work, so that there is nothing to release in the end.
    pub(crate) cluster_ends: bool,
}

/// Performs `work` while nobody else can; the Lease is released in the end, also after a failure.
///
/// When somebody else takes the Lease over meanwhile, the work is cancelled: running steps end, no new one starts.
///
/// # Errors
///
/// [`Error::OperatorBusy`] when another operator works on the cluster, [`Error::ChangedMeanwhile`] when one did since
/// planning, [`Error::LockLost`] when one took over, and those of `work`.
pub(crate) async fn exclusively<T>(
    run: &Run<'_>,
    state: &ClusterState,
    claim: Claim<'_>,
    work: impl AsyncFnOnce(Run<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(api) = claim.api else { return work(*run).await };
    let cluster = state.name();
    let holder = Holder { api, operator: Operator::of(state)?, cluster: &cluster, run };
    let acquiring = holder.acquire(claim.seen);
    let lease = run.until_cancelled("waiting for another operator", acquiring).await?;
    let options = ApplyOptions { cancel: run.options.cancel.child_token(), ..run.options.clone() };
    let lost = OnceLock::new();
    let heartbeat = async {
        let _ = lost.set(holder.keep(lease, claim.cluster_ends).await);
        options.cancel.cancel();
        std::future::pending::<Infallible>().await
    };
    let result = tokio::select! {
        biased;
        result = work(Run { sealer: run.sealer, options: &options, events: run.events }) => result,
        never = heartbeat => match never {},
    };
    if let Some(name) = lost.into_inner() {
        let is_stopped = result.as_ref().is_err_and(|error| error.class() == Class::Interrupted);
        return if is_stopped { Err(Error::LockLost { cluster, holder: name }) } else { result };
    }
    if !claim.cluster_ends {
        holder.release().await;
    }
    result
}

/// Who holds the Lease, or wants to.
struct Holder<'a> {
    api: &'a ClusterApi,
    operator: Operator,
    cluster: &'a str,
    run: &'a Run<'a>,
}

impl Holder<'_> {
    /// Takes the Lease when it is free, ours, or left behind.
    async fn acquire(&self, seen: Option<Lease>) -> Result<Lease, Error> {
        let version = |lease: Option<&Lease>| lease.map(|lease| lease.version.clone());
        let mut known = seen.clone();
        for _ in 0..ATTEMPTS {
            if let Some(lease) = known.as_ref().filter(|lease| self.is_of_other(lease)) {
                known = self.watch(lease).await?;
                continue;
            }
            // Another operator came and went since planning. Our own name means that the answer to a write was lost.
            let is_ours = known.as_ref().is_some_and(|lease| lease.is_of(&self.operator));
            if !is_ours && version(known.as_ref()) != version(seen.as_ref()) {
                break;
            }
            if let Some(lease) = self.take(self.api, known.as_ref()).await? {
                return Ok(lease);
            }
            known = self.read(self.api).await?;
        }
        Err(Error::ChangedMeanwhile { cluster: self.cluster.to_owned() })
    }

    /// Watches the Lease of somebody else until it is free, or was not renewed for its duration: then it is as seen,
    /// but free to be taken.
    async fn watch(&self, lease: &Lease) -> Result<Option<Lease>, Error> {
        let deadline = Instant::now() + lease.duration();
        let busy = |lease: &Lease| Error::OperatorBusy {
            cluster: self.cluster.to_owned(),
            holder: lease.holder_name().to_owned(),
            since: lease.since().to_owned(),
        };
        let mut told = false;
        loop {
            match self.read(self.api).await? {
                Some(now) if now.is_held() && now.version != lease.version => return Err(busy(&now)),
                Some(now) if now.is_held() && Instant::now() >= deadline => return Ok(Some(now.left_behind())),
                Some(now) if now.is_held() => {}
                free => return Ok(free),
            }
            if !told {
                let (name, since, seconds) = (lease.holder_name(), lease.since(), lease.duration().as_secs());
                self.run.warn(format!(
                    "{name} has been working on cluster {} since {since}; waiting up to {seconds} s to see whether that is \
                     still so",
                    self.cluster
                ));
                told = true;
            }
            sleep(WATCH).await;
        }
    }

    /// Renews the Lease for ever; returns who took it when somebody did.
    async fn keep(&self, lease: Lease, cluster_ends: bool) -> String {
        let (api, mut known, mut away) = (self.api.once(), Some(lease), false);
        loop {
            sleep(HEARTBEAT).await;
            let renewed = async {
                match self.take(&api, known.as_ref()).await? {
                    Some(lease) => Ok(Some(lease)),
                    // Changed by somebody, or by a renewal of ours whose answer was lost.
                    None => self.read(&api).await,
                }
            };
            match renewed.await {
                Ok(Some(lease)) if self.is_of_other(&lease) => return lease.holder_name().to_owned(),
                Ok(lease) => (known, away) = (lease, false),
                Err(error) => {
                    if !away && !cluster_ends {
                        self.run.warn(format!("the lock of cluster {} is not renewed for now: {error}", self.cluster));
                    }
                    away = true;
                }
            }
        }
    }

    /// Gives the Lease back. One that cannot be given back ends by itself.
    async fn release(&self) {
        for _ in 0..ATTEMPTS {
            let released = async {
                match self.read(self.api).await? {
                    Some(lease) if lease.is_of(&self.operator) => {
                        let free = Lease::object(Some(&lease), None, SECONDS, OffsetDateTime::now_utc());
                        self.api.write(Verb::Replace, &free).await
                    }
                    _ => Ok(Written::Missing),
                }
            };
            match released.await {
                // A heartbeat that was under way came first.
                Ok(Written::Conflict) => {}
                Ok(_) => return,
                Err(error) => {
                    return self.run.warn(format!(
                        "the lock of cluster {} could not be released: {error}; others must wait {SECONDS} s",
                        self.cluster
                    ));
                }
            }
        }
    }

    async fn read(&self, api: &ClusterApi) -> Result<Option<Lease>, Error> {
        Ok(api.get(&[LEASE]).await?.first().map(Lease::parse))
    }

    /// Takes or renews the Lease; `None` when it is not as known.
    async fn take(&self, api: &ClusterApi, known: Option<&Lease>) -> Result<Option<Lease>, Error> {
        let object = Lease::object(known, Some(&self.operator), SECONDS, OffsetDateTime::now_utc());
        let verb = if known.is_some() { Verb::Replace } else { Verb::Create };
        match api.write(verb, &object).await? {
            Written::Done(version) => Ok(Some(Lease::parse(&object).in_version(version))),
            Written::Exists | Written::Missing | Written::Conflict => Ok(None),
        }
    }

    fn is_of_other(&self, lease: &Lease) -> bool {
        lease.is_held() && !lease.is_of(&self.operator)
    }
}

#[cfg(test)]
mod tests;
