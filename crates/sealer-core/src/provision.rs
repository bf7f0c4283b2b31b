//! Has the provider give the hosts of a wanted cluster, and takes back those that left it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use clusterfile::{Cluster, Host};
use infra_provider::{Context, PendingUpdate, ProviderEvent, Release};
use runtime::{HostChange, HostUpdate, ManagedCluster, Plan, PlannedHost};

use crate::change::{self, APPLIED};
use crate::consent::Agreed;
use crate::run::Run;
use crate::target::Target;
use crate::{ClusterState, Error, Event};

/// The target with all its hosts, and with the machines that must change.
pub(crate) async fn provision<'a>(
    run: &Run<'_>,
    state: &ClusterState,
    mut target: Target<'a>,
    agreed: &mut Agreed,
) -> Result<Target<'a>, Error> {
    let started = Instant::now();
    // What was read without the lock may have changed.
    target.current = state.clusterfile()?.map(|file| file.cluster);
    refuse_other_machines(&target)?;
    keep_mark(&mut target);
    let owns_hosts = target.provider.owns_hosts();
    if owns_hosts {
        keep_machines(&mut target);
        // From here on machines are made, and what is remembered changes: later it is too late to ask.
        agreed.ask(run, &Arc::new(leaving_machines(&target))).await?;
        if target.current.is_none() {
            // What is made from here on can be deleted by the cluster's name.
            state.remember(&target.wanted)?;
        }
    }
    let unclaimed = Mutex::new(Vec::new());
    let tell = |provider: ProviderEvent| {
        if let ProviderEvent::Unclaimed { address, .. } = &provider {
            unclaimed.lock().unwrap_or_else(PoisonError::into_inner).push(*address);
        }
        run.tell(Event::Provider { provider });
    };
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
    target.unclaimed = unclaimed.into_inner().unwrap_or_else(PoisonError::into_inner);
    keep_mark(&mut target);
    if owns_hosts {
        // From here on a crash must not leak hosts.
        let others = change::others(target.current.as_ref(), target.cluster());
        state.remember(&change::under_way(target.current.as_ref(), &target.wanted, &others))?;
        run.phase("hosts", target.cluster(), started);
    }
    Ok(target)
}

/// The target with the hosts that are there already; what its provider would have to make besides, a line each.
pub(crate) fn existing(mut target: Target<'_>) -> Result<(Target<'_>, Vec<String>), Error> {
    refuse_other_machines(&target)?;
    let Some(known) = target.current.clone().filter(|current| !current.hosts.is_empty()) else {
        return Ok((target, Vec::new()));
    };
    if target.wanted.cluster.machines.is_empty() && !target.wanted.cluster.hosts.is_empty() {
        return Ok((target, Vec::new()));
    }
    let mut lines = Vec::new();
    if target.provider.owns_hosts() {
        if makes_machines(&known, target.cluster()) {
            let there = target.provider.describe(&known);
            lines = target.provider.describe(target.cluster());
            lines.retain(|line| !there.contains(line));
        }
        keep_machines(&mut target);
        // What the provider will say again.
        let logins: Vec<_> = target.wanted.cluster.hosts.iter().map(|host| known.host(host.address)).collect();
        let logins: Vec<_> = logins.into_iter().map(|host| host.map(|host| host.ssh.clone())).collect();
        for (host, ssh) in target.wanted.cluster.hosts.iter_mut().zip(logins) {
            host.ssh = ssh.unwrap_or_else(|| known.ssh.clone());
        }
        target.wanted.cluster.ssh.clone_from(&known.ssh);
    } else if target.wanted.cluster.hosts.is_empty() {
        target.wanted.cluster.hosts.clone_from(&known.hosts);
    }
    change::add_public_address(target.provider, &known, &mut target.wanted.cluster);
    Ok((target, lines))
}

/// Gives machines back that left the cluster, when their provider made them.
pub(crate) async fn release(
    run: &Run<'_>,
    state: &ClusterState,
    target: &Target<'_>,
    hosts: &[IpAddr],
) -> Result<(), Error> {
    if hosts.is_empty() || !target.provider.owns_hosts() {
        return Ok(());
    }
    let tell = |provider| run.tell(Event::Provider { provider });
    let context = Context::new(state.path(), &tell).with_cancel(&run.options.cancel);
    let released = target.provider.release(target.cluster(), Release::Hosts(hosts.to_vec()), &context);
    let failed = |source| Error::NotGivenBack { hosts: hosts.to_vec(), source };
    match run.options.cancel.run_until_cancelled(released).await {
        Some(released) => released.map_err(failed),
        None => Err(failed(infra_provider::Error::Cancelled)),
    }
}

/// Refuses hosts of another provider, which could no longer be given back, and what cannot be changed about machines.
fn refuse_other_machines(target: &Target<'_>) -> Result<(), Error> {
    let Some(current) = &target.current else { return Ok(()) };
    if current.provider != target.cluster().provider {
        return Err(Error::OtherProvider { cluster: current.name.clone(), kind: current.provider.to_string() });
    }
    change::refuse_other_disks(current, target.cluster())
}

/// Lists the machines that stay, so that the provider keeps these and no others.
fn keep_machines(target: &mut Target<'_>) {
    let Some(current) = &target.current else { return };
    let kept = change::kept_machines(current, &target.wanted.cluster);
    let cluster = &mut target.wanted.cluster;
    let listed = std::mem::take(&mut cluster.hosts);
    for Host { address, roles, .. } in kept {
        match listed.iter().find(|host| host.address == address) {
            Some(host) => cluster.hosts.push(host.clone()),
            None => roles.iter().for_each(|role| cluster.add_hosts(role, [address])),
        }
    }
}

/// Whether more machines are wanted than there are.
fn makes_machines(known: &Cluster, wanted: &Cluster) -> bool {
    let lacks = |spec: &Option<clusterfile::MachineSpec>, count: usize| {
        spec.as_ref().is_some_and(|spec| spec.count as usize > count)
    };
    lacks(&wanted.machines.masters, known.masters().count()) || lacks(&wanted.machines.nodes, known.nodes().count())
}

/// A plan that only names the machines that leave.
fn leaving_machines(target: &Target<'_>) -> Plan {
    let mut plan = Plan::new(&target.cluster().name);
    plan.hosts = change::others(target.current.as_ref(), target.cluster()).iter().map(leaving).collect();
    plan
}

/// A host as a plan shows it when it leaves.
pub(crate) fn leaving(host: &Host) -> PlannedHost {
    PlannedHost::new(host.address, HostChange::Leave, if host.is_master() { "master" } else { "node" })
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
