//! Deletes a cluster and everything that was made for it.

use std::sync::Arc;

use clusterfile::{Cluster, Clusterfile, ProviderName};
use infra_provider::{Context, ProviderEvent, Release};
use runtime::{ImageContents, Journal, Payload, Plan, Request, Secrets};
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::consent::Agreed;
use crate::executor::{Executor, JOURNAL};
use crate::observe::{Observed, gather_all};
use crate::provision::leaving;
use crate::report::{Planned, addresses};
use crate::run::Run;
use crate::takeover::{self, Shared};
use crate::wanted::set_variables;
use crate::{ApplyOptions, ClusterState, Error, Events, Sealer, operator_lock};

/// The journal of a deletion.
const DELETE_JOURNAL: &str = "delete.jsonl";
const FREEING: &str = "giving hosts back";

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Who made the hosts of a cluster of which nothing is remembered here: it is asked what there is under that name.
    pub provider: Option<ProviderName>,
    /// How the plan is performed, and who agrees to it. Hosts that cannot be reached are forgotten instead of stopping at
    /// them with [`ApplyOptions::ignore_unreachable`].
    pub apply: ApplyOptions,
    /// Variables (`KEY=VALUE`) that plugins see while hosts are cleaned, over those of the cluster.
    pub env: Vec<String>,
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
/// reached and is not to be ignored; [`Error::NotConfirmed`] before anything is changed.
pub async fn delete(
    sealer: &Sealer,
    name: &str,
    options: &DeleteOptions,
    events: Events<'_>,
) -> Result<Deleted, Error> {
    let run = Run { sealer, options: &options.apply, events };
    if sealer.state().clusterfile(name)?.is_none() {
        // Before a lock file is made for it.
        let made_by = options.provider.clone().ok_or_else(|| unknown(sealer, name))?;
        return run.until_cancelled(FREEING, forgotten(&run, name, made_by)).await;
    }
    let state = sealer.state().lock(name)?;
    let current = remembered(&state, options)?.ok_or_else(|| unknown(sealer, name))?;
    let mut agreed = Agreed::default();
    agreed.ask_anyway(&run, &Arc::new(gone(&current))).await?;
    // From here on the steps by which it was made are undone: applying it again must not believe that they are done.
    Journal::open(&state.file(JOURNAL))?.clear()?;
    let provider = sealer.provider_for(&current)?;

    let mut deleted = Deleted { name: name.to_owned(), hosts: current.hosts.len(), unreachable: Vec::new() };
    if !provider.owns_hosts() {
        // Hosts that go away with their provider need no cleaning; these stay.
        (deleted.hosts, deleted.unreachable) = clean(&run, &state, &current, &options.env, &mut agreed).await?;
    }
    let tell = |provider| events(crate::Event::Provider { provider });
    let context = Context::new(state.path(), &tell).with_cancel(&options.apply.cancel);
    run.until_cancelled(FREEING, provider.release(&current, Release::All, &context)).await?;
    state.forget()?;
    Ok(deleted)
}

/// What [`delete`] would do: the steps that clean hosts, or the machines that their provider takes back. Consent is not
/// asked for.
///
/// # Errors
///
/// As [`delete`].
pub async fn plan_delete(
    sealer: &Sealer,
    name: &str,
    options: &DeleteOptions,
    events: Events<'_>,
) -> Result<Planned, Error> {
    let run = Run { sealer, options: &options.apply, events };
    let state = sealer.state().to_look_at().lock(name)?;
    if let Some(current) = remembered(&state, options)? {
        if sealer.provider_for(&current)?.owns_hosts() {
            return Ok(given_back(&current));
        }
        let Cleaning { plan, observed, .. } = plan_cleaning(&run, &state, &current, &options.env).await?;
        return Ok(Planned { unreachable: observed.facts.unreachable, ..Planned::of(plan) });
    }
    let made_by = options.provider.clone().ok_or_else(|| unknown(sealer, name))?;
    let (provider, found) = find(&run, &state, name, made_by).await?;
    let nothing = || Error::NothingFound { cluster: name.to_owned(), kind: provider.to_string() };
    found.as_ref().map(given_back).ok_or_else(nothing)
}

fn unknown(sealer: &Sealer, name: &str) -> Error {
    Error::NoCluster { cluster: name.to_owned(), state: sealer.state().root().to_owned() }
}

/// The cluster of a state, whose own name decides which files and hosts are taken away.
fn remembered(state: &ClusterState, options: &DeleteOptions) -> Result<Option<Cluster>, Error> {
    let current = state.clusterfile()?.map(|file| file.cluster);
    let Some(current) = current.filter(|current| current.name == state.name()) else { return Ok(None) };
    if options.provider.as_ref().is_some_and(|name| *name != current.provider) {
        return Err(Error::OtherProvider { cluster: current.name, kind: current.provider.to_string() });
    }
    Ok(Some(current))
}

/// What a provider has under a name.
async fn find(
    run: &Run<'_>,
    state: &ClusterState,
    name: &str,
    made_by: ProviderName,
) -> Result<(ProviderName, Option<Cluster>), Error> {
    let mut cluster = Cluster::new(name, "");
    cluster.provider = made_by;
    let provider = run.sealer.provider_for(&cluster)?;
    let tell = |provider| run.tell(crate::Event::Provider { provider });
    let found = provider.find(name, &Context::new(state.path(), &tell)).await?;
    Ok((cluster.provider, found))
}

/// Frees what a provider has under a name of which nothing is remembered here.
async fn forgotten(run: &Run<'_>, name: &str, provider: ProviderName) -> Result<Deleted, Error> {
    let sealer = run.sealer;
    let new = !sealer.state().root().join(name).exists();
    let state = sealer.state().lock(name)?;
    let found = match find(run, &state, name, provider).await {
        Ok((_, Some(found))) => found,
        Ok((provider, None)) => {
            state.forget()?;
            return Err(Error::NothingFound { cluster: name.to_owned(), kind: provider.to_string() });
        }
        Err(error) => {
            if new {
                state.forget()?;
            }
            return Err(error);
        }
    };
    let provider = sealer.provider_for(&found)?;
    let tell = |provider| run.tell(crate::Event::Provider { provider });
    if let Err(refused) = Agreed::default().ask_anyway(run, &Arc::new(gone(&found))).await {
        if new {
            state.forget()?;
        }
        return Err(refused);
    }
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

/// What a person agrees to who deletes a cluster.
fn gone(cluster: &Cluster) -> Plan {
    let mut plan = Plan::new(&cluster.name);
    plan.hosts = cluster.hosts.iter().map(leaving).collect();
    plan.summary = "the cluster is deleted".to_owned();
    plan
}

/// The same before it is agreed to.
fn given_back(cluster: &Cluster) -> Planned {
    Planned { given_back: addresses(&cluster.hosts), ..Planned::of(gone(cluster)) }
}

/// The steps that clean the hosts of a cluster.
struct Cleaning {
    /// The cluster as it says itself, where it does.
    cluster: Cluster,
    observed: Observed,
    plan: Plan,
}

async fn plan_cleaning(
    run: &Run<'_>,
    state: &ClusterState,
    current: &Cluster,
    env: &[String],
) -> Result<Cleaning, Error> {
    let runtime = run.sealer.runtime_of(current)?;
    let requirements = runtime.requirements();
    let observed = gather_all(run, state, current, &requirements).await?;
    if let Some(newer) = takeover::renewed_for_deletion(run, state, current, &observed, &requirements).await? {
        return Box::pin(plan_cleaning(run, state, &newer, env)).await;
    }
    let secrets = match Secrets::load(state.path(), requirements.secrets)? {
        Some(secrets) => secrets,
        None => Secrets::make(current, requirements.secrets)?,
    };
    // Deleting needs nothing of the image, which may be gone by now.
    let mut image = ImageContents::named(&current.image);
    // Plugins get the variables of one that is still here.
    let (images, name) = (run.sealer.images().clone(), current.image.clone());
    if let Ok(Ok(found)) = spawn_blocking(move || images.get_any(&name)).await {
        image.env.clone_from(&found.extension().env);
    }
    // Plugins meet hosts as they are remembered, with the variables of this deletion.
    let mut known = Clusterfile::from(current.clone());
    set_for_plugins(&mut known.cluster, env)?;
    known.plugins = state.clusterfile()?.map(|file| file.plugins).unwrap_or_default();
    let mut wanted = Clusterfile::from(known.cluster.without_hosts());
    wanted.plugins.clone_from(&known.plugins);
    let known = labelled(known);
    let payload = Payload::new(&image, &secrets);
    let mut request = Request::new(&wanted, &observed.facts, &payload);
    (request.drain, request.plugin_seconds) = (run.options.drain, run.options.plugin_timeout.as_secs());
    request.known = Some(&known.cluster);
    let plan = runtime.plan(&request)?;
    let untouched = observed.facts.hosts.keys().filter(|host| !plan.hosts.iter().any(|known| known.address == **host));
    for address in untouched {
        run.warn(format!("{address} does not belong to this cluster (any more) and is left as it is"));
    }
    Ok(Cleaning { cluster: current.clone(), observed, plan })
}

/// A cluster as it is remembered, with the labels that its plugins gave. One with plugins that are refused by now leaves all
/// the same.
pub(crate) fn labelled(remembered: Clusterfile) -> Clusterfile {
    runtime::with_plugins(&remembered, None).unwrap_or(remembered)
}

/// Sets variables for plugins. What the cluster was made with, and is found and cleaned by, stays.
fn set_for_plugins(cluster: &mut Cluster, env: &[String]) -> Result<(), Error> {
    let before = cluster.env.clone();
    set_variables(cluster, env)?;
    let differs = |key: &str| clusterfile::is_cluster_setting(key) && before.get(key) != cluster.env.get(key);
    match cluster.env.iter().find(|(key, _)| differs(key)) {
        Some((key, _)) => {
            let reason = format!("--env {key}: it is deleted with the setting that it was made with");
            Err(Error::Scale { cluster: cluster.name.clone(), reason })
        }
        None => Ok(()),
    }
}

/// Cleans every host that can be reached; returns how many those are, and those that cannot.
async fn clean(
    run: &Run<'_>,
    state: &ClusterState,
    current: &Cluster,
    env: &[String],
    agreed: &mut Agreed,
) -> Result<(usize, Vec<std::net::IpAddr>), Error> {
    let Cleaning { cluster, observed, plan } = plan_cleaning(run, state, current, env).await?;
    let plan = Arc::new(plan);
    // The cluster may have hosts of which nothing is remembered here.
    agreed.ask(run, &plan).await?;

    // A journal of its own, and a new one each time: what was finished once may have come back since.
    let journal = state.file(DELETE_JOURNAL);
    if journal.exists() {
        std::fs::remove_file(&journal).map_err(|source| Error::State { act: "remove", path: journal, source })?;
    }
    let provider = run.sealer.provider_for(&cluster)?;
    let shared = Shared::of(&observed, &cluster, &run.sealer.runtime_of(&cluster)?.requirements());
    operator_lock::exclusively(run, state, shared.claim_to_delete().await, async |run| {
        let executor =
            Executor { run, state, cluster: &cluster, provider, observed: &observed, journal: DELETE_JOURNAL };
        executor.execute(&plan).await
    })
    .await?;
    Ok((observed.facts.hosts.len(), observed.facts.unreachable.into_keys().collect()))
}
