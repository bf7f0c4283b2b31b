//! The contract suite of `Provider`, and a provider that counts its calls.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use clusterfile::{Cluster, ProviderName, Role};

use crate::{Context, Error, PendingUpdate, Provider, ProviderEvent, Provisioned, Release, Result};

/// Checks a provider against the promises of [`Provider`], and leaves nothing behind when they are kept.
///
/// `grown` is `wanted` with exactly one more node; both are clusters of the same name of which nothing exists yet.
///
/// # Panics
/// When a promise is broken; the message says which one.
pub async fn contract(provider: &dyn Provider, wanted: &Cluster, grown: &Cluster, state_dir: &Path) {
    let log = Mutex::new(Vec::new());
    let events = |event| lock(&log).push(event);
    let mut calls = Calls { provider, context: Context::new(state_dir, &events) };

    assert_eq!(*provider.name(), wanted.provider, "a provider serves its own kind");
    assert!(!provider.describe(wanted).is_empty(), "a dry run says what there will be");
    assert_eq!(provider.describe(wanted), provider.describe(wanted), "a dry run is repeatable");

    calls.check_cancelled(wanted, &log).await;
    calls.context = Context::new(state_dir, &events);
    let first = calls.check_repeated(wanted, &log).await;
    calls.check_updates(&first).await;
    calls.check_resized(wanted, grown, &first).await;
    calls.release(&first, Release::All).await;
    calls.release(&first, Release::All).await;
}

struct Calls<'a> {
    provider: &'a dyn Provider,
    context: Context<'a>,
}

impl Calls<'_> {
    async fn check_cancelled(&self, wanted: &Cluster, log: &Mutex<Vec<ProviderEvent>>) {
        if self.provider.owns_hosts() {
            self.context.cancel.cancel();
            let cancelled = self.provider.provision(wanted, None, &self.context).await;
            assert!(matches!(cancelled, Err(Error::Cancelled)), "a cancelled call says so: {cancelled:?}");
            assert_eq!(creations(log), 0, "a cancelled call makes nothing");
        }
    }

    /// A machine that is as wanted is left alone.
    async fn check_updates(&self, first: &Cluster) {
        for host in &first.hosts {
            if let Err(error) = self.provider.update(first, host.address, &self.context).await {
                panic!("a machine that is as wanted needs no update: {}", error_report::one_line(&error));
            }
            if let Err(error) = self.provider.updated(first, host.address, &self.context).await {
                panic!("an update can be confirmed: {}", error_report::one_line(&error));
            }
        }
        assert_eq!(self.provision(first, Some(first)).await, *first, "updates that change nothing change nothing");
    }

    async fn check_repeated(&self, wanted: &Cluster, log: &Mutex<Vec<ProviderEvent>>) -> Cluster {
        let first = self.provision(wanted, None).await;
        check_hosts(wanted, &first);
        let created = creations(log);
        let again = self.provision(wanted, Some(&first)).await;
        assert_eq!(again, first, "the same call again gives the same hosts");
        let forgotten = self.provision(wanted, None).await;
        assert_eq!(forgotten, first, "hosts are found again without memory");
        let filled = self.provision(&first, Some(&first)).await;
        assert_eq!(filled, first, "a cluster that is filled in already stays as it is");
        assert_eq!(creations(log), created, "nothing is made twice");
        first
    }

    async fn check_resized(&self, wanted: &Cluster, grown: &Cluster, first: &Cluster) {
        let more = self.provision(grown, Some(first)).await;
        check_hosts(grown, &more);
        let (old, new) = (addresses(first), addresses(&more));
        assert!(new.is_superset(&old), "growing keeps the hosts that are there");
        assert_eq!(new.len(), old.len() + 1, "growing by one makes one");

        let fewer = self.provision(wanted, Some(first)).await;
        assert_eq!(addresses(&fewer), old, "shrinking keeps the hosts that were remembered");
        if self.provider.owns_hosts() {
            let mut listed = wanted.clone();
            listed.hosts =
                more.hosts.iter().filter(|host| host.is_master() || !old.contains(&host.address)).cloned().collect();
            let chosen = self.provision(&listed, Some(&more)).await;
            assert_eq!(addresses(&chosen), addresses(&listed), "shrinking keeps the hosts that are listed");
        }
        let left: Vec<IpAddr> = new.difference(&old).copied().collect();
        self.release(&more, Release::Hosts(left.clone())).await;
        self.release(&more, Release::Hosts(left)).await;
        let kept = self.provision(wanted, Some(first)).await;
        assert_eq!(addresses(&kept), old, "releasing one host leaves the others");
    }

    async fn provision(&self, wanted: &Cluster, current: Option<&Cluster>) -> Cluster {
        match self.provider.provision(wanted, current, &self.context).await {
            Ok(Provisioned { cluster, updates, .. }) => {
                assert_eq!(updates, [], "machines of the wanted size need no update");
                cluster
            }
            Err(error) => panic!("hosts are given: {}", error_report::one_line(&error)),
        }
    }

    async fn release(&self, cluster: &Cluster, hosts: Release) {
        if let Err(error) = self.provider.release(cluster, hosts.clone(), &self.context).await {
            panic!("releasing {hosts:?} can be repeated: {}", error_report::one_line(&error));
        }
    }
}

fn check_hosts(wanted: &Cluster, given: &Cluster) {
    let count = |spec: &Option<clusterfile::MachineSpec>, listed: usize| {
        spec.as_ref().map_or(listed, |spec| spec.count as usize)
    };
    assert_eq!(
        given.masters().count(),
        count(&wanted.machines.masters, wanted.masters().count()),
        "as many masters as wanted"
    );
    assert_eq!(given.nodes().count(), count(&wanted.machines.nodes, wanted.nodes().count()), "as many nodes as wanted");
    assert_eq!(addresses(given).len(), given.hosts.len(), "every address is given once");
    for host in &given.hosts {
        assert!(!host.ssh.user.is_empty() && host.ssh.port != 0, "host {} says how to log in", host.address);
    }
    let without_hosts = |cluster: &Cluster| {
        let mut cluster = cluster.clone();
        cluster.hosts.clear();
        cluster.ssh = clusterfile::Ssh::default();
        cluster.annotations.clone_from(&wanted.annotations);
        cluster.cert_sans.clone_from(&wanted.cert_sans);
        cluster
    };
    assert_eq!(without_hosts(given), without_hosts(wanted), "only hosts, log-in, names and annotations are filled in");
    let kept = |(key, value): (&String, &String)| given.annotations.get(key) == Some(value);
    assert!(wanted.annotations.iter().all(kept), "annotations of the user stay");
    assert!(wanted.cert_sans.iter().all(|name| given.cert_sans.contains(name)), "names of the user stay");
}

fn addresses(cluster: &Cluster) -> BTreeSet<IpAddr> {
    cluster.hosts.iter().map(|host| host.address).collect()
}

fn creations(log: &Mutex<Vec<ProviderEvent>>) -> usize {
    lock(log).iter().filter(|event| matches!(event, ProviderEvent::Creating { .. })).count()
}

/// A provider that makes nothing but addresses (192.0.2.0/24, RFC 5737), and counts what it is asked.
#[derive(Debug, Default)]
pub struct Counting {
    state: Mutex<CountingState>,
}

/// How often a [`Counting`] provider was called.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls of [`Provider::provision`].
    pub provisions: usize,
    /// Calls of [`Provider::update`] that changed a machine.
    pub updates: usize,
    /// Calls of [`Provider::release`].
    pub releases: usize,
    /// Hosts that are given out right now.
    pub hosts: usize,
}

#[derive(Debug, Default)]
struct CountingState {
    counts: Counts,
    /// Hosts given out: index of the address and role, in order.
    hosts: Vec<(u8, Role)>,
    /// Hosts whose machines have to be changed.
    pending: Vec<PendingUpdate>,
    fail_next: bool,
}

impl Counting {
    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = lock(&self.state);
        Counts { hosts: state.hosts.len(), ..state.counts }
    }

    /// Lets machines differ from what is wanted, until [`Provider::update`] changes them.
    pub fn set_pending(&self, updates: Vec<PendingUpdate>) {
        lock(&self.state).pending = updates;
    }

    /// Makes the next call of `provision`, `update` or `release` fail before it does anything.
    pub fn fail_next(&self) {
        lock(&self.state).fail_next = true;
    }

    fn call(&self, count: impl FnOnce(&mut Counts) -> &mut usize) -> Result<MutexGuard<'_, CountingState>> {
        let mut state = lock(&self.state);
        *count(&mut state.counts) += 1;
        if std::mem::take(&mut state.fail_next) {
            Err(Error::Interrupted { act: "a call that was told to fail" })
        } else {
            Ok(state)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn address(index: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, index])
}

#[async_trait]
impl Provider for Counting {
    fn name(&self) -> &ProviderName {
        &ProviderName::CONTAINER
    }

    fn owns_hosts(&self) -> bool {
        true
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        current: Option<&Cluster>,
        context: &Context<'_>,
    ) -> Result<Provisioned> {
        context.check_cancelled()?;
        let mut state = self.call(|counts| &mut counts.provisions)?;
        let mut cluster = wanted.clone();
        cluster.hosts.clear();
        let machines = &wanted.machines;
        for (role, spec, listed) in [
            (Role::Master, &machines.masters, wanted.masters().count()),
            (Role::Node, &machines.nodes, wanted.nodes().count()),
        ] {
            let count = spec.as_ref().map_or(listed, |spec| spec.count as usize);
            let lacking = count.saturating_sub(state.hosts.iter().filter(|(_, other)| *other == role).count());
            for _ in 0..lacking {
                let free = (1..=254).find(|index| state.hosts.iter().all(|(used, _)| used != index));
                let subnet = || Error::SubnetFull { cluster: wanted.name.clone(), subnet: "192.0.2.0/24".to_owned() };
                let index = free.ok_or_else(subnet)?;
                state.hosts.push((index, role.clone()));
                context.tell(ProviderEvent::Creating { host: format!("{role}-{index}"), address: address(index) });
            }
            let mut mine: Vec<IpAddr> =
                state.hosts.iter().filter(|(_, other)| *other == role).map(|(index, _)| address(*index)).collect();
            let rank =
                |host: &IpAddr| (wanted.host(*host).is_none(), current.is_none_or(|known| known.host(*host).is_none()));
            mine.sort_by_key(rank);
            for surplus in mine.split_off(count.min(mine.len())) {
                context.tell(ProviderEvent::Unclaimed { host: format!("{role} {surplus}"), address: surplus });
            }
            mine.sort_unstable();
            cluster.add_hosts(&role, mine);
        }
        Ok(Provisioned::new(cluster).with_updates(state.pending.clone()))
    }

    async fn update(&self, cluster: &Cluster, host: IpAddr, _context: &Context<'_>) -> Result<()> {
        if cluster.host(host).is_none() {
            return Err(Error::UnknownHost { cluster: cluster.name.clone(), host });
        }
        if lock(&self.state).pending.iter().all(|update| update.host != host || !update.needs_change) {
            return Ok(());
        }
        let mut state = self.call(|counts| &mut counts.updates)?;
        for update in state.pending.iter_mut().filter(|update| update.host == host) {
            (update.begun, update.needs_change) = (true, false);
        }
        Ok(())
    }

    async fn updated(&self, _cluster: &Cluster, host: IpAddr, _context: &Context<'_>) -> Result<()> {
        lock(&self.state).pending.retain(|update| update.host != host);
        Ok(())
    }

    async fn release(&self, _cluster: &Cluster, hosts: Release, _context: &Context<'_>) -> Result<()> {
        let mut state = self.call(|counts| &mut counts.releases)?;
        match hosts {
            Release::All => state.hosts.clear(),
            Release::Hosts(addresses) => state.hosts.retain(|(index, _)| !addresses.contains(&address(*index))),
        }
        Ok(())
    }

    fn describe(&self, wanted: &Cluster) -> Vec<String> {
        vec![format!("addresses for cluster {}", wanted.name)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::BareMetal;
    use clusterfile::MachineSpec;

    #[tokio::test]
    async fn bare_metal() {
        let mut wanted = Cluster::new("contract", "shop:1.4");
        wanted.add_hosts(&Role::Master, [IpAddr::from([192, 0, 2, 1])]);
        wanted.add_hosts(&Role::Node, [IpAddr::from([192, 0, 2, 2])]);
        let mut grown = wanted.clone();
        grown.add_hosts(&Role::Node, [IpAddr::from([192, 0, 2, 3])]);
        let state = tempfile::tempdir().unwrap();
        contract(&BareMetal, &wanted, &grown, state.path()).await;
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn counting() {
        let mut wanted = Cluster::new("contract", "shop:1.4");
        wanted.provider = ProviderName::CONTAINER;
        wanted.machines.masters = Some(MachineSpec::of(1));
        wanted.machines.nodes = Some(MachineSpec::of(1));
        let mut grown = wanted.clone();
        grown.machines.nodes = Some(MachineSpec::of(2));
        let state = tempfile::tempdir().unwrap();
        let provider = Counting::default();
        contract(&provider, &wanted, &grown, state.path()).await;
        assert_eq!(provider.counts(), Counts { provisions: 9, updates: 0, releases: 4, hosts: 0 });
    }

    #[tokio::test]
    async fn counting_fails_when_told() {
        let mut wanted = Cluster::new("contract", "shop:1.4");
        wanted.machines.masters = Some(MachineSpec::of(1));
        let (provider, state) = (Counting::default(), tempfile::tempdir().unwrap());
        provider.fail_next();
        assert!(provider.provision(&wanted, None, &Context::new(state.path(), &|_| ())).await.is_err());
        assert_eq!(provider.counts(), Counts { provisions: 1, ..Counts::default() });
        assert_eq!(
            provider.provision(&wanted, None, &Context::new(state.path(), &|_| ())).await.unwrap().cluster.hosts.len(),
            1
        );
    }
}
