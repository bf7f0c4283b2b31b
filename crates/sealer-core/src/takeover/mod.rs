//! Goes on with a cluster from another machine: the copy of the state that the cluster keeps becomes the state here.
//!
//! Without a state here, the copy is taken when the named hosts carry the marker of the cluster. An older state here
//! is replaced by a newer copy; its journal stays, because steps are skipped only where nothing changed. Logins are not
//! part of a copy: they are what the operator gives, or what was known here before.

mod adopt;

use std::net::IpAddr;

use clusterfile::{Cluster, Host};
use runtime::{Facts, Requirements};
use serde::Serialize;

use crate::cluster_api::ClusterApi;
use crate::cluster_copy::{Base, Content, Relation, fetch, look, relation};
use crate::connect::connect_reachable;
use crate::observe::{Observed, gather};
use crate::operator_lock::{Claim, Lease, Operator};
use crate::run::Run;
use crate::target::Target;
use crate::{ApplyOptions, ClusterState, Error, Event, Events, Sealer, change};

const ASKING: &str = "asking the cluster for its state";

/// A state that was taken over.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct TakenOver {
    /// The cluster as it is remembered here from now on.
    #[serde(skip)]
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
    /// Whether anything was written here; not when this machine knew it already.
    pub changed: bool,
}

/// Takes over the state of a cluster from the cluster itself, as `apply` does by itself where hosts are named.
///
/// `known` names the cluster, hosts of it with their logins, of which one must be a master that is up, and the
/// provider. On a master itself, the host `127.0.0.1` is enough.
///
/// # Errors
///
/// [`Error::NoCopy`] when no host can tell, [`Error::CopyDamaged`] when what they tell is not whole.
pub async fn take_over(
    sealer: &Sealer,
    known: &Cluster,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<TakenOver, Error> {
    let run = Run { sealer, options, events };
    let state = sealer.state().to_look_at().lock(&known.name)?;
    let requirements = sealer.runtime_of(known)?.requirements();
    let observed = run.until_cancelled(ASKING, ask(&run, &state, known, &known.hosts, &requirements)).await?;
    let shared = Shared::of(&observed, known, &requirements);
    let renewed = shared.renew(&run, &state, &observed, known, &requirements);
    let renewed = run.until_cancelled(ASKING, renewed).await?;
    let nothing =
        || Error::NoCopy { cluster: known.name.clone(), hosts: known.hosts.iter().map(|host| host.address).collect() };
    let cluster = state.clusterfile()?.ok_or_else(nothing)?.cluster;
    Ok(TakenOver { name: cluster.name.clone(), cluster, changed: renewed.adopted })
}

/// What a workflow shares with other operators: the API of the cluster, if it has one, and who worked on it last.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) api: Option<ClusterApi>,
    lease: Option<Lease>,
}

/// What came of asking the cluster.
#[derive(Debug, Default)]
struct Renewed {
    adopted: bool,
    lease: Option<Lease>,
}

/// Takes over a newer copy for an apply, and looks at the hosts again when there was one.
pub(crate) async fn renew(
    run: &Run<'_>,
    state: &ClusterState,
    target: &mut Target<'_>,
    observed: Observed,
) -> Result<(Observed, Shared), Error> {
    let requirements = target.runtime.requirements();
    let mut shared = Shared::of(&observed, target.cluster(), &requirements);
    let renewed = shared.renew(run, state, &observed, target.cluster(), &requirements);
    let renewed = run.until_cancelled(ASKING, renewed).await?;
    shared.lease = renewed.lease;
    if !renewed.adopted {
        return Ok((observed, shared));
    }
    target.current = state.clusterfile()?.map(|file| file.cluster);
    let observed = gather(run, state, target, &change::diff(target)).await?;
    shared.api = ClusterApi::through(&observed, target.cluster(), &requirements);
    Ok((observed, shared))
}

/// The cluster as the newest state says, for a deletion: hosts that somebody else added must not be left behind. A
/// cluster that cannot be asked is deleted as it is known here.
pub(crate) async fn newest(
    run: &Run<'_>,
    state: &ClusterState,
    current: Cluster,
    requirements: &Requirements,
) -> Result<Cluster, Error> {
    if requirements.without_hosts {
        return Ok(current);
    }
    let masters: Vec<Host> = current.masters().cloned().collect();
    let renewed = run.until_cancelled(ASKING, async {
        let observed = ask(run, state, &current, &masters, requirements).await?;
        let shared = Shared::of(&observed, &current, requirements);
        shared.renew(run, state, &observed, &current, requirements).await
    });
    match renewed.await {
        Ok(Renewed { adopted: true, .. }) => Ok(state.clusterfile()?.map_or(current, |file| file.cluster)),
        Ok(_) => Ok(current),
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => {
            run.warn(format!("the cluster is deleted as it is known here: {error}"));
            Ok(current)
        }
    }
}

impl Shared {
    /// What the observed hosts of a cluster give access to.
    pub(crate) fn of(observed: &Observed, cluster: &Cluster, requirements: &Requirements) -> Self {
        Self { api: ClusterApi::through(observed, cluster, requirements), lease: None }
    }

    /// What is needed to work on the cluster alone, see [`crate::operator_lock::exclusively`].
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim { api: self.api.as_ref(), seen: self.lease.clone(), cluster_ends: false }
    }

    /// The same for a deletion, which was not planned from what the cluster said.
    pub(crate) async fn claim_to_delete(&self) -> Claim<'_> {
        // An API that is broken must not keep a cluster from being deleted.
        match &self.api {
            Some(api) => match look(api).await {
                Ok(seen) => Claim { api: Some(api), seen: seen.lease, cluster_ends: true },
                Err(_) => Claim { api: None, seen: None, cluster_ends: true },
            },
            None => Claim { api: None, seen: None, cluster_ends: true },
        }
    }

    /// Makes the copy in the cluster the state here, when it is newer or there is none here.
    async fn renew(
        &self,
        run: &Run<'_>,
        state: &ClusterState,
        observed: &Observed,
        logins: &Cluster,
        requirements: &Requirements,
    ) -> Result<Renewed, Error> {
        let Some(api) = &self.api else { return Ok(Renewed::default()) };
        let local = Content::of(state)?;
        let seen = match look(api).await {
            Ok(seen) => seen,
            Err(error @ Error::ClusterApi { .. }) if local.is_some() => {
                run.warn(format!("whether somebody else changed the cluster is not known: {error}"));
                return Ok(Renewed::default());
            }
            Err(error) => return Err(error),
        };
        let mut renewed = Renewed { adopted: false, lease: seen.lease };
        let Some((index, _)) = seen.index else { return Ok(renewed) };
        let base = Base::read(state)?;
        if let Some(local) = &local {
            let operator = Operator::of(state)?;
            let is_newer = relation(base.as_ref(), local.digest(), Some(&index), &operator) == Relation::ClusterNewer;
            // Hosts of another cluster of this name are refused with the reason later on.
            if index.authority != local.authority() || !is_newer {
                return Ok(renewed);
            }
        }
        let Some((index, content)) = fetch(api).await? else { return Ok(renewed) };
        refuse_foreign(&index.authority, &observed.facts, api.host())?;
        adopt::adopt(state, &index, &content, logins, requirements)?;
        renewed.adopted = true;
        let (generation, writer, time) = (index.generation, index.writer, index.time);
        if local.is_some() {
            let known = base.map_or(0, |base| base.generation);
            run.warn(format!(
                "{writer} changed the cluster at {time}: the state that it keeps (generation {generation}) is newer than \
                 the one here ({known}) and replaces it"
            ));
        } else {
            let detail = format!("taken over from the cluster: generation {generation}, written by {writer} at {time}");
            run.tell(Event::Phase { name: "state".to_owned(), detail, millis: 0 });
        }
        Ok(renewed)
    }
}

/// Refuses a copy that is not of the cluster to which the host belongs that gave it.
fn refuse_foreign(authority: &str, facts: &Facts, through: IpAddr) -> Result<(), Error> {
    let marker = facts.hosts.get(&through).and_then(|host| host.marker.as_ref());
    match marker {
        Some(marker) if !marker.authority.is_empty() && marker.authority != authority => {
            Err(Error::CopyDamaged { reason: format!("is of another cluster than the marker of {through}") })
        }
        _ => Ok(()),
    }
}

/// What those of the hosts say that can be reached.
async fn ask(
    run: &Run<'_>,
    state: &ClusterState,
    cluster: &Cluster,
    hosts: &[Host],
    requirements: &Requirements,
) -> Result<Observed, Error> {
    let mut asked = cluster.clone();
    asked.hosts = hosts.to_vec();
    let (remotes, _) = connect_reachable(run, state, &asked, true).await?;
    let facts = runtime::gather(&remotes, &cluster.name, requirements).await?;
    Ok(Observed { remotes, facts })
}

#[cfg(test)]
mod tests;
