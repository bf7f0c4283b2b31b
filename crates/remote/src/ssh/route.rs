//! The servers on the way to a host, and the login of each.

use std::net::IpAddr;
use std::time::Duration;

use super::connect::Connection;
use super::{Auth, Jumps, KnownHostsPolicy, SshOptions};
use crate::{Error, Host, StrictHostKey};

/// The way to a host.
#[derive(Debug)]
pub(super) struct Route {
    /// The host's address, as the Clusterfile names it.
    pub(super) address: IpAddr,
    pub(super) target: Server,
    hops: Vec<Server>,
    jumps: Jumps,
}

impl Route {
    pub(super) fn new(options: SshOptions, jumps: Jumps) -> Self {
        let server = |host, port, user, auth| Server {
            host,
            port,
            user,
            auth,
            known_hosts: options.known_hosts.clone(),
            timeout: options.timeout,
            keepalive: options.keepalive,
        };
        let hops = options.jump.into_iter().map(|hop| server(hop.host, hop.port, hop.user, hop.auth)).collect();
        let target = server(options.address.into(), options.port, options.user, options.auth);
        Self { address: options.address, target, hops, jumps }
    }

    /// Connects, through the jump hosts where there are some.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        self.connect_to(&self.target).await
    }

    /// Connects again; a host that was trusted must show a key that is known, whatever the policy: it gets passwords.
    pub(super) async fn reconnect(&self, trusted: bool) -> Result<Connection, Error> {
        let mut target = self.target.clone();
        if trusted && target.known_hosts.strict == StrictHostKey::No {
            target.known_hosts.strict = StrictHostKey::AcceptNew;
        }
        self.connect_to(&target).await
    }

    async fn connect_to(&self, target: &Server) -> Result<Connection, Error> {
        let forwarded = match self.hops.as_slice() {
            [] => None,
            hops => Some(self.jumps.forwarded(hops, target).await?),
        };
        Connection::open(target, forwarded).await
    }
}

/// An SSH server: where it is, how we log in, and what we know of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) auth: Vec<Auth>,
    pub(super) known_hosts: KnownHostsPolicy,
    pub(super) timeout: Duration,
    pub(super) keepalive: Duration,
}

impl Server {
    pub(super) fn unreachable(&self, through: Option<&str>, detail: impl Into<String>) -> Error {
        let through = through.map(str::to_owned);
        Error::Unreachable { host: self.host.clone(), port: self.port, through, detail: detail.into() }
    }
}

/// The servers of a way, as messages name them.
pub(super) fn named(hops: &[Server]) -> String {
    let name = |hop: &Server| match hop.port {
        22 => hop.host.to_string(),
        port => crate::known_hosts::name(&hop.host, port),
    };
    hops.iter().map(name).collect::<Vec<_>>().join(" and ")
}
