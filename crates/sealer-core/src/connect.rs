//! How are all hosts of a cluster reached at once?

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clusterfile::{Cluster, Host, Jump, Secret, SshHost};
use futures_util::future::join_all;
use remote::{Auth, Hop, Jumps, Local, Remote, Ssh, SshOptions};

use crate::{ClusterState, Error, Event, Events, Sealer, SshSettings};

/// One connection per host.
pub(crate) type Remotes = BTreeMap<IpAddr, Arc<dyn Remote>>;

/// A private key file is never larger than this.
const KEY_LIMIT: u64 = 1 << 20;

/// How long a host that was just made may take until it lets us in.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long after an attempt comes the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Connects to every host; fails with all failures at once.
pub(crate) async fn connect(sealer: &Sealer, state: &ClusterState, cluster: &Cluster) -> Result<Remotes, Error> {
    let (remotes, failures) = try_connect(sealer, state, cluster, &cluster.hosts).await?;
    if failures.is_empty() { Ok(remotes) } else { Err(Error::Connect(failures)) }
}

/// Connects to every host of which some were just made: their systems are still starting.
///
/// A host that refuses the key, or shows another one than before, is not asked again.
pub(crate) async fn connect_new(
    sealer: &Sealer,
    state: &ClusterState,
    cluster: &Cluster,
    events: Events<'_>,
) -> Result<Remotes, Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut remotes = Remotes::new();
    let mut told = None;
    loop {
        let missing: Vec<&Host> = cluster.hosts.iter().filter(|host| !remotes.contains_key(&host.address)).collect();
        let (reached, failures) = try_connect(sealer, state, cluster, missing).await?;
        remotes.extend(reached);
        let Some((_, reason)) = failures.first() else { return Ok(remotes) };
        if Instant::now() + PAUSE > deadline || !failures.iter().all(|(_, error)| is_starting(error)) {
            return Err(Error::Connect(failures));
        }
        let waits = (failures.iter().map(|(host, _)| *host).collect::<Vec<_>>(), reason.to_string());
        if told.as_ref() != Some(&waits) {
            let (hosts, reason) = waits.clone();
            events(Event::Waiting { hosts, reason });
            told = Some(waits);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether this is what a machine looks like whose SSH server does not run yet.
fn is_starting(error: &remote::Error) -> bool {
    use remote::Error as Remote;
    matches!(
        error.root(),
        Remote::Unreachable { .. } | Remote::Handshake { .. } | Remote::ConnectionLost { .. } | Remote::TimedOut { .. }
    )
}

/// Connects to every host that can be reached; without `force`, one that cannot is a failure.
pub(crate) async fn connect_reachable(
    sealer: &Sealer,
    state: &ClusterState,
    cluster: &Cluster,
    force: bool,
) -> Result<(Remotes, Vec<IpAddr>), Error> {
    let (remotes, failures) = try_connect(sealer, state, cluster, &cluster.hosts).await?;
    if !failures.is_empty() && !force {
        return Err(Error::Connect(failures));
    }
    Ok((remotes, failures.into_iter().map(|(address, _)| address).collect()))
}

async fn try_connect<'a>(
    sealer: &Sealer,
    state: &ClusterState,
    cluster: &Cluster,
    hosts: impl IntoIterator<Item = &'a Host>,
) -> Result<(Remotes, Vec<(IpAddr, remote::Error)>), Error> {
    // Addresses of machines that a provider makes are used again and again; who had one before says nothing about it.
    let known = match sealer.provider_for(cluster) {
        Ok(provider) if provider.owns_hosts() => &[][..],
        _ => sealer.settings().ssh.known_hosts.as_slice(),
    };
    let mut attempts = Vec::new();
    for host in hosts {
        if is_local(host) {
            attempts.push((host.address, None));
        } else {
            attempts.push((host.address, Some(ssh_options(sealer, state, host, known)?)));
        }
    }
    let jumps = Jumps::default();
    let connected = join_all(attempts.into_iter().map(async |(address, options)| {
        let remote: Result<Arc<dyn Remote>, remote::Error> = match options {
            None => Ok(Arc::new(Local::new(address))),
            Some(options) => Ssh::connect_through(options, &jumps).await.map(|ssh| Arc::new(ssh) as Arc<dyn Remote>),
        };
        (address, remote)
    }));
    let mut remotes = Remotes::new();
    let mut failures = Vec::new();
    for (address, remote) in connected.await {
        match remote {
            Ok(remote) => drop(remotes.insert(address, remote)),
            Err(error) => failures.push((address, error)),
        }
    }
    Ok((remotes, failures))
}

/// Whether the host is this machine and we may act on it without logging in.
///
/// Behind jump hosts, the address belongs to a network in which this machine's addresses may be others'.
fn is_local(host: &Host) -> bool {
    host.jumps().is_empty() && rustix::process::geteuid().is_root() && is_own(host.address)
}

/// Whether packets to this address would come from this very address: then it is one of this machine.
///
/// That it can be bound says nothing where `ip_nonlocal_bind` is set, as it is beside load balancers.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    // Connecting such a socket sends nothing.
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

/// `known` are files of host keys besides the cluster's own.
fn ssh_options(sealer: &Sealer, state: &ClusterState, host: &Host, known: &[PathBuf]) -> Result<SshOptions, Error> {
    let settings = &sealer.settings().ssh;
    let hop = |jump: &Jump| {
        let login = jump.login(&host.ssh);
        Ok(Hop::new(place(&jump.host), login.port, &login.user, auth(settings, &login)?))
    };
    let mut options = SshOptions::new(host.address);
    options.port = host.ssh.port;
    options.user.clone_from(&host.ssh.user);
    options.auth = auth(settings, &host.ssh)?;
    options.jump = host.jumps().iter().map(hop).collect::<Result<_, Error>>()?;
    options.known_hosts.files = known.to_vec();
    options.known_hosts.record = state.file("known_hosts");
    options.timeout = settings.timeout;
    Ok(options)
}

fn place(host: &SshHost) -> remote::Host {
    match host {
        SshHost::Address(address) => (*address).into(),
        SshHost::Name(name) => remote::Host::Name(name.clone()),
    }
}

/// The ways to log in: those that are named, else whatever the operator has.
fn auth(settings: &SshSettings, ssh: &clusterfile::Ssh) -> Result<Vec<Auth>, Error> {
    let mut auth = Vec::new();
    if let Some(path) = &ssh.private_key {
        auth.push(key(Path::new(path), ssh.private_key_password.clone())?);
    } else if ssh.password.is_none() {
        auth.extend(settings.agent.clone().map(|socket| Auth::Agent { socket }));
        // Nobody asked for these by name: one that cannot be read is passed over.
        let keys = settings.keys.iter().filter(|path| path.is_file());
        auth.extend(keys.filter_map(|path| key(path, ssh.private_key_password.clone()).ok()));
    }
    if let Some(password) = &ssh.password {
        auth.push(Auth::Password(password.clone()));
    }
    Ok(auth)
}

fn key(path: &Path, passphrase: Option<Secret>) -> Result<Auth, Error> {
    let failed = |source| Error::State { act: "read the private key", path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > KEY_LIMIT {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(Auth::Key { name: path.display().to_string(), pem: Secret::from(text), passphrase })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_local() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        for other in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "224.0.0.1", "2001:db8::1"] {
            assert!(!is_own(other.parse().unwrap()), "{other}");
        }
    }

    fn host(jump: &str) -> Host {
        let text = format!(
            "{{apiVersion: sealer.io/v2, kind: Cluster, metadata: {{name: c}}, spec: {{image: a, ssh: {{user: ops, \
             passwd: own, jump: {jump}}}, hosts: [{{ips: [127.0.0.1], roles: [master]}}]}}}}"
        );
        clusterfile::parse(&text).unwrap().cluster.hosts.remove(0)
    }

    #[test]
    fn a_host_behind_others_is_not_this_machine_and_knows_its_way() {
        assert_eq!(is_local(&host("[]")), rustix::process::geteuid().is_root());
        assert!(!is_local(&host("8.8.8.8")));
        assert!(host("[127.0.0.1, 8.8.8.8]").jumps().is_empty(), "its own jump host");

        let directory = tempfile::tempdir().unwrap();
        let sealer = Sealer::open(crate::Settings::new(directory.path(), directory.path())).unwrap();
        let state = sealer.state().lock("c").unwrap();
        let way = host("[gate@a.example:2222, {host: 10.0.0.9, passwd: other}, 127.0.0.1]");
        let options = ssh_options(&sealer, &state, &way, &[]);
        let hop = |host: &str, port, user: &str, password: &str| {
            Hop::new(place(&host.parse().unwrap()), port, user, vec![Auth::Password(password.into())])
        };
        assert_eq!(options.unwrap().jump, [hop("a.example", 2222, "gate", "own"), hop("10.0.0.9", 22, "ops", "other")]);
    }
}
