//! Has the provider give the hosts of a wanted cluster.

use std::time::Instant;

use infra_provider::{Context, PendingUpdate};
use runtime::{HostUpdate, ManagedCluster};

use crate::change::{self, APPLIED};
use crate::observe;
use crate::run::Run;
use crate::target::Target;
use crate::{ClusterState, Error, Event};

/// The target with all its hosts, and with the machines that must change.
pub(crate) async fn provision<'a>(
    run: &Run<'_>,
    state: &ClusterState,
    mut target: Target<'a>,
) -> Result<Target<'a>, Error> {
    let started = Instant::now();
    // What was read without the lock may have changed.
    target.current = state.clusterfile()?.map(|file| file.cluster);
    refuse_other_machines(run, state, &target).await?;
    let owns_hosts = target.provider.owns_hosts();
    if owns_hosts && target.current.is_none() {
        // What is made from here on can be deleted by the cluster's name.
        state.remember(&target.wanted)?;
    }
    let tell = |provider| run.tell(Event::Provider { provider });
    let context = Context::new(state.path(), &tell).with_cancel(&run.options.cancel);
    let provider = target.provider;
    let provisioned = run.until_cancelled("making hosts", async {
        let provisioned = provider.provision(target.cluster(), target.current.as_ref(), &context).await?;
        // A run that was killed may have left such a machine stopped; it was drained, and cannot be asked anything.
        for stopped in provisioned.updates.iter().filter(|update| update.begun && update.needs_change) {
            provider.update(&provisioned.cluster, stopped.host, &context).await?;
        }
        Ok::<_, Error>(provisioned)
    });
    let provisioned = provisioned.await?;
    target.wanted.cluster = provisioned.cluster;
    target.updates = provisioned.updates.iter().map(host_update).collect();
    target.managed = provisioned.managed.map(|managed| ManagedCluster::new(managed.endpoint, managed.kubeconfig));
    keep_mark(&mut target);
    if owns_hosts {
        // From here on a crash must not leak hosts.
        state.remember(&target.wanted)?;
        run.phase("hosts", target.cluster(), started);
    }
    Ok(target)
}

/// The target with the hosts that are there already; the same target when the provider would have to make them.
pub(crate) fn existing(mut target: Target<'_>) -> Target<'_> {
    let known = target.current.as_ref().filter(|current| !current.hosts.is_empty());
    if let Some(known) = known.filter(|_| target.wanted.cluster.hosts.is_empty()) {
        target.wanted.cluster.hosts.clone_from(&known.hosts);
        change::add_public_address(target.provider, known, &mut target.wanted.cluster);
    }
    target
}

/// Refuses other machines for a cluster that is initialized, before they are made, and hosts of another provider: those
/// that there are could no longer be given back.
pub(crate) async fn refuse_other_machines(
    run: &Run<'_>,
    state: &ClusterState,
    target: &Target<'_>,
) -> Result<(), Error> {
    let Some(current) = &target.current else { return Ok(()) };
    if current.provider != target.cluster().provider {
        return Err(Error::OtherProvider { cluster: current.name.clone(), kind: current.provider.to_string() });
    }
    if !change::machines_differ(target.provider, current, target.cluster()) || current.hosts.is_empty() {
        return Ok(());
    }
    let facts = observe::facts_of(run, state, target, current).await?;
    if change::is_initialized(&facts, &current.name) { Err(change::refused()) } else { Ok(()) }
}

/// The digest of the image that the cluster was finished with stays to be read until another one is.
fn keep_mark(target: &mut Target<'_>) {
    if let Some(mark) = target.current.as_ref().and_then(|current| current.annotations.get(APPLIED)) {
        target.wanted.cluster.annotations.insert(APPLIED.to_owned(), mark.clone());
    }
}

fn host_update(update: &PendingUpdate) -> HostUpdate {
    let pending = HostUpdate::new(update.host, &update.summary);
    if update.begun { pending.begun() } else { pending }
}
