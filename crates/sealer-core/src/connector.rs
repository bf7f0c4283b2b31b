//! Reaches hosts: over SSH, or directly when a host is this machine.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use clusterfile::{Host, Jump, Secret, SshHost};
use futures_util::future::join_all;
use remote::{Auth, Hop, Jumps, KnownHostsPolicy, Local, Remote, Ssh, SshOptions};

use crate::{Error, SshSettings, text_file};

/// One connection per host, by its address.
pub type Remotes = BTreeMap<IpAddr, Arc<dyn Remote>>;

/// How the hosts of a cluster are reached.
#[async_trait]
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// Connects to all of `hosts` at once. A host that cannot be reached is one of [`Connections::failures`].
    ///
    /// `known_hosts` says which host keys are trusted and where a new one is recorded.
    ///
    /// # Errors
    ///
    /// When something on this machine is missing that is needed for any connection, such as a private key.
    async fn connect(&self, hosts: &[Host], known_hosts: &KnownHostsPolicy) -> Result<Connections, Error>;
}

/// What came of connecting to several hosts.
#[derive(Debug, Default)]
pub struct Connections {
    /// The hosts that were reached.
    pub remotes: Remotes,
    /// The hosts that were not, and why.
    pub failures: Vec<(IpAddr, remote::Error)>,
}

/// Reaches hosts over SSH as their Clusterfile says, and this machine without SSH when this process is root.
#[derive(Debug, Clone, Default)]
pub struct SshConnector {
    settings: SshSettings,
}

impl SshConnector {
    /// A connector that logs in by these settings where a Clusterfile says nothing else.
    #[must_use]
    pub fn new(settings: SshSettings) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Connector for SshConnector {
    async fn connect(&self, hosts: &[Host], known_hosts: &KnownHostsPolicy) -> Result<Connections, Error> {
        let mut attempts = Vec::new();
        for host in hosts {
            let options = if is_local(host) { None } else { Some(ssh_options(&self.settings, host, known_hosts)?) };
            attempts.push((host.address, options));
        }
        // Hosts behind the same jump host share one connection to it.
        let jumps = Jumps::default();
        let connected = join_all(attempts.into_iter().map(|(address, options)| {
            let jumps = &jumps;
            async move {
                let remote: Result<Arc<dyn Remote>, remote::Error> = match options {
                    None => Ok(Arc::new(Local::new(address))),
                    Some(options) => {
                        Ssh::connect_through(options, jumps).await.map(|ssh| Arc::new(ssh) as Arc<dyn Remote>)
                    }
                };
                (address, remote)
            }
        }));
        let mut connections = Connections::default();
        for (address, remote) in connected.await {
            match remote {
                Ok(remote) => drop(connections.remotes.insert(address, remote)),
                Err(error) => connections.failures.push((address, error)),
            }
        }
        Ok(connections)
    }
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

fn ssh_options(settings: &SshSettings, host: &Host, known_hosts: &KnownHostsPolicy) -> Result<SshOptions, Error> {
    let hop = |jump: &Jump| {
        let login = jump.login(&host.ssh);
        Ok(Hop::new(place(&jump.host), login.port, &login.user, auth(settings, &login)?))
    };
    let mut options = SshOptions::new(host.address);
    options.port = host.ssh.port;
    options.user.clone_from(&host.ssh.user);
    options.auth = auth(settings, &host.ssh)?;
    options.jump = host.jumps().iter().map(hop).collect::<Result<_, Error>>()?;
    options.known_hosts = known_hosts.clone();
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
    let text = text_file::read("read the private key", path)?;
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

        let way = host("[gate@a.example:2222, {host: 10.0.0.9, passwd: other}, 127.0.0.1]");
        let options = ssh_options(&SshSettings::default(), &way, &KnownHostsPolicy::default());
        let hop = |host: &str, port, user: &str, password: &str| {
            Hop::new(place(&host.parse().unwrap()), port, user, vec![Auth::Password(password.into())])
        };
        assert_eq!(options.unwrap().jump, [hop("a.example", 2222, "gate", "own"), hop("10.0.0.9", 22, "ops", "other")]);
    }
}
