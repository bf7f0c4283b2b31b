//! Connects to the hosts of a cluster, and waits for those whose machines are still starting.

use std::net::IpAddr;
use std::time::Duration;

use clusterfile::{Cluster, Host};
use remote::{AcceptedHostKey, HostKeyObserver, KnownHostsPolicy};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::connector::{Connections, Remotes};
use crate::run::Run;
use crate::{ClusterState, Error, Event};

/// How long a host that was just made may take until it accepts a login.
pub(crate) const BOOT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long after an attempt comes the next.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Connects to every host; fails with all failures at once.
pub(crate) async fn connect(run: &Run<'_>, state: &ClusterState, cluster: &Cluster) -> Result<Remotes, Error> {
    let Connections { remotes, failures } = try_connect(run, state, cluster, &cluster.hosts).await?;
    if failures.is_empty() { Ok(remotes) } else { Err(Error::Connect(failures)) }
}

/// Connects to every host of which some were just made: their systems are still starting.
///
/// A host that refuses the key, or shows another one than before, is not asked again.
pub(crate) async fn connect_new(run: &Run<'_>, state: &ClusterState, cluster: &Cluster) -> Result<Remotes, Error> {
    let deadline = Instant::now() + BOOT_TIMEOUT;
    let mut remotes = Remotes::new();
    let mut told = None;
    loop {
        let missing = cluster.hosts.iter().filter(|host| !remotes.contains_key(&host.address));
        let missing: Vec<Host> = missing.cloned().collect();
        let connections = try_connect(run, state, cluster, &missing).await?;
        remotes.extend(connections.remotes);
        let failures = connections.failures;
        let Some((_, reason)) = failures.first() else { return Ok(remotes) };
        if Instant::now() + RETRY_INTERVAL > deadline || !failures.iter().all(|(_, error)| is_starting(error)) {
            return Err(Error::Connect(failures));
        }
        let waits = (failures.iter().map(|(host, _)| *host).collect::<Vec<_>>(), reason.to_string());
        if told.as_ref() != Some(&waits) {
            let (hosts, reason) = waits.clone();
            run.tell(Event::Waiting { hosts, reason });
            told = Some(waits);
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Whether this is what a machine looks like whose SSH server does not run yet.
pub(crate) fn is_starting(error: &remote::Error) -> bool {
    use remote::Error as Remote;
    matches!(
        error.root(),
        Remote::Unreachable { .. } | Remote::Handshake { .. } | Remote::ConnectionLost { .. } | Remote::TimedOut { .. }
    )
}

/// Connects to every host that can be reached; without `force`, one that cannot is a failure.
pub(crate) async fn connect_reachable(
    run: &Run<'_>,
    state: &ClusterState,
    cluster: &Cluster,
    force: bool,
) -> Result<(Remotes, Vec<IpAddr>), Error> {
    let Connections { remotes, failures } = try_connect(run, state, cluster, &cluster.hosts).await?;
    if !failures.is_empty() && !force {
        return Err(Error::Connect(failures));
    }
    Ok((remotes, failures.into_iter().map(|(address, _)| address).collect()))
}

async fn try_connect(
    run: &Run<'_>,
    state: &ClusterState,
    cluster: &Cluster,
    hosts: &[Host],
) -> Result<Connections, Error> {
    let sealer = run.sealer;
    // A provider reuses the addresses of its machines, so keys recorded elsewhere may be those of earlier ones.
    let files = match sealer.provider_for(cluster) {
        Ok(provider) if provider.owns_hosts() => Vec::new(),
        _ => sealer.settings().ssh.known_hosts.clone(),
    };
    let strict = sealer.settings().ssh.strict_host_key;
    let (sender, mut accepted) = mpsc::unbounded_channel();
    // Who accepts a key while a step runs finds nobody who listens: then every key is known.
    let observer = HostKeyObserver::new(move |key| drop(sender.send(key)));
    let known_hosts = KnownHostsPolicy { files, record: state.file("known_hosts"), strict, observer };
    let mut connecting = sealer.connector().connect(hosts, &known_hosts);
    let connections = loop {
        tokio::select! {
            biased;
            Some(key) = accepted.recv() => tell(run, key),
            connections = &mut connecting => break connections,
        }
    };
    while let Ok(key) = accepted.try_recv() {
        tell(run, key);
    }
    connections
}

fn tell(run: &Run<'_>, key: AcceptedHostKey) {
    let AcceptedHostKey { host, algorithm, fingerprint, recorded, contradicts } = key;
    run.tell(Event::HostKey { host, algorithm, fingerprint, recorded, contradicts });
}
