//! Connects to the hosts of a cluster, and waits for those whose machines are still starting.

use std::net::IpAddr;
use std::time::Duration;

use clusterfile::{Cluster, Host};
use remote::{AcceptedHostKey, HostKeyObserver, KnownHostsPolicy};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::connector::Connections;
use crate::run::Run;
use crate::{ClusterState, Error, Event};

/// How long a host that was just made may take until it accepts a login.
pub(crate) const BOOT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long after an attempt comes the next.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Connects to all of `hosts`; those that cannot be reached are named with the reason.
///
/// Some of `starting` were just made or changed: their systems are waited for. A host that refuses the key, or shows
/// another one than before, is not asked again.
pub(crate) async fn connect(
    run: &Run<'_>,
    state: &ClusterState,
    cluster: &Cluster,
    hosts: &[Host],
    starting: &[Host],
) -> Result<Connections, Error> {
    let deadline = Instant::now() + BOOT_TIMEOUT;
    let mut connections = try_connect(run, state, cluster, hosts).await?;
    let is_awaited = |address: IpAddr| starting.iter().any(|host| host.address == address);
    let mut told = None;
    loop {
        let (awaited, given_up): (Vec<_>, Vec<_>) =
            std::mem::take(&mut connections.failures).into_iter().partition(|(host, _)| is_awaited(*host));
        connections.failures = given_up;
        let Some((_, reason)) = awaited.first() else { return Ok(connections) };
        if Instant::now() + RETRY_INTERVAL > deadline || !awaited.iter().all(|(_, error)| is_starting(error)) {
            connections.failures.extend(awaited);
            return Ok(connections);
        }
        let waits = (awaited.iter().map(|(host, _)| *host).collect::<Vec<_>>(), reason.to_string());
        if told.as_ref() != Some(&waits) {
            let (hosts, reason) = waits.clone();
            run.tell(Event::Waiting { hosts, reason });
            told = Some(waits);
        }
        sleep(RETRY_INTERVAL).await;
        let missing: Vec<Host> =
            hosts.iter().filter(|host| awaited.iter().any(|(address, _)| *address == host.address)).cloned().collect();
        let again = try_connect(run, state, cluster, &missing).await?;
        connections.remotes.extend(again.remotes);
        connections.failures.extend(again.failures);
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
