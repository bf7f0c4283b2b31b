//! Goes on with a cluster from another machine: the copy of the state that the cluster keeps becomes the state here.
//!
//! Without a state here, the copy is taken when the named hosts carry the marker of the cluster. An older state here
//! is replaced by a newer copy; its journal stays, because steps are skipped only where nothing changed. Logins are not
//! part of a copy: they are what the operator gives, or what was known here before.

mod adopt;

use std::net::IpAddr;

use clusterfile::{Cluster, Clusterfile, Host};
use runtime::{Facts, Plan, Requirements};
use serde::Serialize;

use crate::cluster_api::ClusterApi;
use crate::cluster_copy::{self, Base, Content, Relation, fetch, look, relation};
use crate::connect::connect;
use crate::observe::{Observed, gather};
use crate::operator_lock::{Claim, Lease, Operator};
use crate::run::Run;
use crate::target::Target;
use crate::{ApplyOptions, ClusterState, Error, Event, Events, Remotes, Sealer};

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

/// Makes the state of this machine the newest that a cluster keeps of itself, also where there is none here.
///
/// `apply` does this by itself. Call it before a request is made of what is remembered here, such as adding a host to
/// it, and before deleting a cluster of which nothing is remembered here. `known` names the cluster, its provider, and
/// hosts with their logins, of which one must be a master that is up. On a master itself, the host `127.0.0.1` is
/// enough.
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
    // Only a master can tell; whoever is named without a role may be one.
    let masters: Vec<Host> = known.masters().cloned().collect();
    let hosts = if masters.is_empty() { &known.hosts } else { &masters };
    let observed = run.until_cancelled(ASKING, ask(&run, &state, known, hosts, &requirements)).await?;
    let (_, changed) = renew_standing(&run, &state, known, &observed, &requirements).await?;
    let nothing =
        || Error::NoCopy { cluster: known.name.clone(), hosts: hosts.iter().map(|host| host.address).collect() };
    let cluster = state.clusterfile()?.ok_or_else(nothing)?.cluster;
    Ok(TakenOver { name: cluster.name.clone(), cluster, changed })
}

/// The remembered cluster, made the newest that it keeps of itself; as it is where it keeps nothing, or cannot be asked
/// and is remembered here.
///
/// # Errors
///
/// Those of [`take_over`] but [`Error::NoCopy`].
pub async fn newest(
    sealer: &Sealer,
    known: Clusterfile,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Clusterfile, Error> {
    let kept = known.cluster.hosts.is_empty() || sealer.runtime_of(&known.cluster)?.requirements().without_hosts;
    if kept {
        return Ok(known);
    }
    match take_over(sealer, &known.cluster, options, events).await {
        Ok(_) => Ok(sealer.state().clusterfile(&known.cluster.name)?.unwrap_or(known)),
        Err(Error::NoCopy { .. }) => Ok(known),
        Err(error) => Err(error),
    }
}

/// Takes over the state of a cluster whose machines are listed and of which nothing is remembered here, before its
/// provider makes any: who leaves is then known, and agreed to, before that.
pub(crate) async fn of_listed_machines(run: &Run<'_>, target: &Target<'_>) -> Result<(), Error> {
    let cluster = target.cluster();
    if target.current.is_some() || !target.provider.owns_hosts() || cluster.hosts.is_empty() {
        return Ok(());
    }
    match take_over(run.sealer, cluster, run.options, run.events).await {
        Err(Error::NoCopy { .. }) => Ok(()),
        taken => taken.map(drop),
    }
}

/// What a workflow shares with other operators: the API of the cluster, if it has one, and who worked on it last.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    api: Option<ClusterApi>,
    lease: Option<Lease>,
    /// Digest of the copy that the cluster had when it was asked.
    stored: Option<String>,
}

/// Takes over a newer copy for an apply, and looks at the hosts again when there was one. From then on the observation
/// has what is shared with other operators.
pub(crate) async fn renew(
    run: &Run<'_>,
    state: &ClusterState,
    target: &mut Target<'_>,
    mut observed: Observed,
) -> Result<Observed, Error> {
    let requirements = target.runtime.requirements();
    let (mut shared, is_newer) = renew_standing(run, state, target.cluster(), &observed, &requirements).await?;
    if is_newer {
        target.current = state.clusterfile()?.map(|file| file.cluster);
        observed = gather(run, state, target).await?;
        shared.api = Shared::of(&observed, target.cluster(), &requirements).api;
    }
    observed.shared = shared;
    Ok(observed)
}

/// What a cluster that stands shares with other operators, and whether its newer state was taken over.
pub(crate) async fn renew_standing(
    run: &Run<'_>,
    state: &ClusterState,
    current: &Cluster,
    observed: &Observed,
    requirements: &Requirements,
) -> Result<(Shared, bool), Error> {
    let mut shared = Shared::of(observed, current, requirements);
    let is_newer = run.until_cancelled(ASKING, shared.renew(run, state, observed, current)).await?;
    Ok((shared, is_newer))
}

/// The cluster as a newer state says, for a deletion: hosts that somebody else added must not be left behind. A cluster
/// that cannot be asked is deleted as it is known here.
pub(crate) async fn renewed_for_deletion(
    run: &Run<'_>,
    state: &ClusterState,
    current: &Cluster,
    observed: &Observed,
    requirements: &Requirements,
) -> Result<Option<Cluster>, Error> {
    match renew_standing(run, state, current, observed, requirements).await {
        Ok((_, true)) => Ok(state.clusterfile()?.map(|file| file.cluster)),
        Ok((_, false)) => Ok(None),
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => {
            run.warn(format!("the cluster is deleted as it is known here: {error}"));
            Ok(None)
        }
    }
}

impl Shared {
    /// What the observed hosts of a cluster give access to.
    pub(crate) fn of(observed: &Observed, cluster: &Cluster, requirements: &Requirements) -> Self {
        let api = ClusterApi::through(&observed.remotes, &observed.facts, cluster, requirements);
        Self { api, lease: None, stored: None }
    }

    /// What is needed to perform this plan alone, see [`crate::operator_lock::exclusively`]: nothing for an empty one.
    pub(crate) fn claim(&self, plan: &Plan) -> Claim<'_> {
        let api = self.api.as_ref().filter(|_| !plan.is_empty());
        Claim { api, seen: self.lease.clone(), cluster_ends: false }
    }

    /// Stores the state in the cluster, also in one that was just made: `now` is what its hosts say after a change.
    pub(crate) async fn save(
        &self,
        run: &Run<'_>,
        state: &ClusterState,
        cluster: &Cluster,
        requirements: &Requirements,
        remotes: &Remotes,
        now: Option<&Facts>,
    ) -> Result<(), Error> {
        if now.is_none() && self.stored.is_some() {
            let content = Content::of(state)?;
            if content.is_some_and(|content| Some(content.digest()) == self.stored.as_deref()) {
                return Ok(());
            }
        }
        let new = now.and_then(|facts| ClusterApi::through(remotes, facts, cluster, requirements));
        cluster_copy::save(run, state, new.as_ref().or(self.api.as_ref())).await
    }

    /// The same for a deletion, which was not planned from what the cluster said.
    pub(crate) async fn claim_to_delete(&self) -> Claim<'_> {
        // An API that is broken must not keep a cluster from being deleted.
        if let Some(api) = &self.api
            && let Ok(seen) = look(api).await
        {
            return Claim { api: Some(api), seen: seen.lease, cluster_ends: true };
        }
        Claim { api: None, seen: None, cluster_ends: true }
    }

    /// Makes the copy in the cluster the state here, when it is newer or there is none here, and says whether it was.
    async fn renew(
        &mut self,
        run: &Run<'_>,
        state: &ClusterState,
        observed: &Observed,
        logins: &Cluster,
    ) -> Result<bool, Error> {
        let Some(api) = &self.api else { return Ok(false) };
        let local = Content::of(state)?;
        let seen = match look(api).await {
            Ok(seen) => seen,
            Err(error @ Error::ClusterApi { .. }) if local.is_some() => {
                run.warn(format!("whether somebody else changed the cluster is not known: {error}"));
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.lease = seen.lease;
        let Some((index, _)) = seen.index else { return Ok(false) };
        self.stored = Some(index.digest.clone());
        let base = Base::read(state)?;
        if let Some(local) = &local {
            // Hosts of another cluster of this name are refused with the reason later on.
            if index.authority != local.authority() {
                return Ok(false);
            }
            match relation(base.as_ref(), local.digest(), Some(&index), &Operator::of(state)?) {
                Relation::ClusterNewer => {}
                Relation::Same => {
                    Base::remember(state, &index, base.as_ref())?;
                    return Ok(false);
                }
                Relation::Missing | Relation::LocalNewer => return Ok(false),
            }
        }
        let Some((index, content)) = fetch(api).await? else { return Ok(false) };
        refuse_foreign(&index.authority, &observed.facts, api.host())?;
        // The copy itself names the runtime that made the cluster.
        let specs = run.sealer.runtime_of(&content.clusterfile()?.cluster)?.requirements().secrets;
        adopt::adopt(state, &index, &content, logins, specs)?;
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
        Ok(true)
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
    let remotes = connect(run, state, cluster, hosts, &[]).await?.remotes;
    let facts = runtime::gather(&remotes, &cluster.name, requirements).await?;
    Ok(Observed { remotes, facts, ..Observed::default() })
}

#[cfg(test)]
mod tests;
