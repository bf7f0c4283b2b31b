//! Deletes a cluster and everything that was made for it.

use std::sync::Arc;

use clusterfile::{Cluster, Clusterfile, ProviderName};
use infra_provider::{Context, ProviderEvent, Release};
use runtime::{ImageContents, Journal, Payload, Request, Secrets};
use serde::Serialize;

use crate::connect::connect_reachable;
use crate::executor::{Executor, JOURNAL};
use crate::observe::{self, Observed};
use crate::run::Run;
use crate::{ApplyOptions, ClusterState, Error, Events, Sealer};

/// The journal of a deletion.
const DELETE_JOURNAL: &str = "delete.jsonl";
const FREEING: &str = "giving hosts back";

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Forget hosts that cannot be reached instead of stopping at them.
    pub force: bool,
    /// Who made the hosts of a cluster of which nothing is remembered here: it is asked what there is under that name.
    pub provider: Option<ProviderName>,
    /// How the plan is performed.
    pub apply: ApplyOptions,
}

/// What was deleted.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Deleted {
    /// The cluster.
    pub name: String,
    /// How many hosts were cleaned or given back.
    pub hosts: usize,
    /// Hosts that were left as they were because they could not be reached.
    pub unreachable: Vec<std::net::IpAddr>,
}

/// Takes a cluster back: cleans its hosts, frees what its provider made, forgets its state.
///
/// Works on partially created clusters; after any failure the same call resumes.
///
/// # Errors
///
/// [`Error::NoCluster`] when nothing is known of it; [`Error::Connect`] when a host cannot be
/// reached and `force` is not set.
pub async fn delete(
    sealer: &Sealer,
    name: &str,
    options: &DeleteOptions,
    events: Events<'_>,
) -> Result<Deleted, Error> {
    let run = Run { sealer, options: &options.apply, events };
    let unknown = || Error::NoCluster { cluster: name.to_owned(), state: sealer.state().root().to_owned() };
    if sealer.state().clusterfile(name)?.is_none() {
        // Before a lock file is made for it.
        let made_by = options.provider.clone().ok_or_else(unknown)?;
        return run.until_cancelled(FREEING, forgotten(sealer, name, made_by, events)).await;
    }
    let state = sealer.state().lock(name)?;
    let current = state.clusterfile()?.ok_or_else(unknown)?.cluster;
    if current.name != name {
        // Its own name decides which files and hosts are taken away.
        return Err(unknown());
    }
    if options.provider.as_ref().is_some_and(|name| *name != current.provider) {
        return Err(Error::OtherProvider { cluster: current.name, kind: current.provider.to_string() });
    }
    // From here on the steps by which it was made are undone: applying it again must not believe that they are done.
    Journal::open(&state.file(JOURNAL))?.clear()?;
    let provider = sealer.provider_for(&current)?;

    let mut deleted = Deleted { name: name.to_owned(), hosts: current.hosts.len(), unreachable: Vec::new() };
    if !provider.owns_hosts() {
        // Hosts that go away with their provider need no cleaning; these stay.
        deleted.unreachable = clean(&run, &state, &current, options.force).await?;
        deleted.hosts -= deleted.unreachable.len();
    }
    let tell = |provider| events(crate::Event::Provider { provider });
    let context = Context::new(state.path(), &tell).with_cancel(&options.apply.cancel);
    run.until_cancelled(FREEING, provider.release(&current, Release::All, &context)).await?;
    state.forget()?;
    Ok(deleted)
}

/// Frees what a provider has under a name of which nothing is remembered here.
async fn forgotten(sealer: &Sealer, name: &str, provider: ProviderName, events: Events<'_>) -> Result<Deleted, Error> {
    let mut cluster = Cluster::new(name, "");
    cluster.provider = provider;
    let provider = sealer.provider_for(&cluster)?;
    let new = !sealer.state().root().join(name).exists();
    let state = sealer.state().lock(name)?;
    let tell = |provider| events(crate::Event::Provider { provider });
    let found = match provider.find(name, &Context::new(state.path(), &tell)).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            state.forget()?;
            return Err(Error::NothingFound { cluster: name.to_owned(), kind: cluster.provider.to_string() });
        }
        Err(error) => {
            if new {
                state.forget()?;
            }
            return Err(error.into());
        }
    };
    let hosts = std::sync::atomic::AtomicUsize::new(0);
    let count = |event: ProviderEvent| {
        if matches!(event, ProviderEvent::Released { .. }) {
            hosts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        tell(event);
    };
    provider.release(&found, Release::All, &Context::new(state.path(), &count)).await?;
    state.forget()?;
    Ok(Deleted { name: name.to_owned(), hosts: hosts.into_inner(), unreachable: Vec::new() })
}

/// Cleans every host that can be reached; returns those that cannot.
async fn clean(
    run: &Run<'_>,
    state: &ClusterState,
    current: &Cluster,
    force: bool,
) -> Result<Vec<std::net::IpAddr>, Error> {
    let runtime = run.sealer.runtime_of(current)?;
    let requirements = runtime.requirements();
    let asked = run.until_cancelled("asking the hosts", async {
        if requirements.without_hosts {
            return Ok((observe::operator(), Vec::new()));
        }
        let (remotes, unreachable) = connect_reachable(run, state, current, force).await?;
        let facts = runtime::gather(&remotes, &current.name, &requirements).await?;
        Ok::<_, Error>((Observed { remotes, facts }, unreachable))
    });
    let (observed, unreachable) = asked.await?;
    let secrets = match Secrets::load(state.path(), requirements.secrets)? {
        Some(secrets) => secrets,
        None => Secrets::make(current, requirements.secrets)?,
    };
    // Deleting needs nothing of the image, which may be gone by now.
    let image = ImageContents::named(&current.image);
    let wanted = Clusterfile::from(current.without_hosts());
    let plan = Arc::new(runtime.plan(&Request::new(&wanted, &observed.facts, &Payload::new(&image, &secrets)))?);

    let untouched = observed.facts.hosts.keys().filter(|host| !plan.hosts.iter().any(|known| known.address == **host));
    for address in untouched {
        run.warn(format!("{address} does not belong to this cluster (any more) and is left as it is"));
    }
    // A journal of its own, and a new one each time: what was finished once may have come back since.
    let journal = state.file(DELETE_JOURNAL);
    if journal.exists() {
        std::fs::remove_file(&journal).map_err(|source| Error::State { act: "remove", path: journal, source })?;
    }
    let provider = run.sealer.provider_for(current)?;
    let executor =
        Executor { run: *run, state, cluster: current, provider, observed: &observed, journal: DELETE_JOURNAL };
    executor.execute(&plan).await?;
    Ok(unreachable)
}
