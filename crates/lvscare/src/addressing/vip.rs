//! Makes a virtual address usable for the clients on this host.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::link;
use super::route::{self, LOOPBACK};
use super::settings::Settings;
use crate::dataplane::ipvs::SYSCTLS;
use crate::netlink::{Socket, protocols};
use crate::{Addressing, Dataplane, Error, Result};

/// Links, addresses, routes and routing rules of both families, next hops (`RTMGRP_*` of `linux/rtnetlink.h`): while the
/// kernel tells nothing of these, what was right stays right.
const GROUPS: u32 = 1 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 31;

/// Where a virtual address is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressingMode {
    /// A route to this host itself.
    Route {
        /// The address from which local clients call; the one from which this host reaches the servers where none is
        /// given.
        source: Option<IpAddr>,
    },
    /// A link of its own kind `dummy`, which carries the address and can be seen with every tool.
    Link {
        /// The name of the link.
        name: String,
    },
}

/// Makes a virtual address usable on this host.
///
/// The address counts as this host's own, so a connection that no rule rewrites is refused at once instead of leaving
/// for somewhere. Its route says from which address local clients call: without that the kernel would choose the
/// virtual address itself or 127.0.0.1, to which no server can answer.
#[derive(Debug)]
pub struct Vip {
    mode: AddressingMode,
    settings: Settings,
    netlink: Socket,
    monitor: Socket,
    known: Mutex<Known>,
}

/// What was found at the last look.
#[derive(Debug, Default)]
struct Known {
    /// Why kernel settings are not as they should be.
    degraded: Option<String>,
    /// The server that decides from which address local clients call.
    reached: Option<IpAddr>,
    /// What all was right for.
    right: Option<(IpAddr, Vec<SocketAddr>)>,
}

impl Vip {
    /// Keeps the address as `mode` says. Previous values of kernel settings that are changed are kept in the file
    /// `record`, so that [`Addressing::remove`] can put them back.
    pub fn new(mode: AddressingMode, record: PathBuf) -> Self {
        let [netlink, monitor] = [protocols::NETLINK_ROUTE; 2].map(Socket::new);
        Self { mode, settings: Settings::none(record), netlink, monitor, known: Mutex::default() }
    }

    /// Also sees to the kernel settings that `dataplane` relies on.
    pub fn with_settings_for(mut self, dataplane: &dyn Dataplane) -> Self {
        self.settings.wanted = if dataplane.name() == "ipvs" { &SYSCTLS } else { &[] };
        self
    }

    /// The address from which local clients are to call, none when there is no server: the one from which this host
    /// reaches a server. It is the same server as before, whether that is healthy or not.
    async fn source(&self, service: IpAddr, servers: &[SocketAddr]) -> Result<Option<IpAddr>> {
        if let AddressingMode::Route { source: Some(source) } = self.mode {
            return Ok(Some(source));
        }
        let before = self.known().reached;
        let mut failed = None;
        for server in before.into_iter().chain(servers.iter().map(SocketAddr::ip)) {
            match route::look_up(&self.netlink, server).await {
                Ok(found) => {
                    if let Some(source) = found.source.filter(|source| *source != service) {
                        self.known().reached = Some(server);
                        return Ok(Some(source));
                    }
                }
                Err(failure) => failed = Some(failure.of("find a route to the server", server.to_string())),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Addressing for Vip {
    async fn ensure(&self, service: IpAddr, servers: &[SocketAddr]) -> Result<bool> {
        let set = self.settings.ensure();
        self.known().degraded = set.as_ref().err().map(|error| error_report::one_line(error));
        let mut repaired = set.unwrap_or(false);
        let wanted = Some((service, servers.to_vec()));
        if !self.monitor.has_heard(GROUPS) && self.known().right == wanted {
            return Ok(repaired);
        }
        self.known().right = None;
        let source = self.source(service, servers).await?;
        if source.is_some_and(|source| source.is_ipv4() != service.is_ipv4()) {
            let reason = "the source address is not of the same address family".to_owned();
            return Err(Error::Invalid { service: SocketAddr::new(service, 0), reason });
        }
        let link = match &self.mode {
            AddressingMode::Route { .. } => LOOPBACK,
            AddressingMode::Link { name } => {
                let (link, made) = link::ensure(&self.netlink, name, service).await?;
                repaired |= made;
                link
            }
        };
        repaired |= route::ensure(&self.netlink, service, link, source).await?;
        self.known().right = wanted;
        Ok(repaired)
    }

    fn degraded(&self) -> Option<String> {
        self.known().degraded.clone()
    }

    async fn remove(&self, service: IpAddr) -> Result<()> {
        route::remove(&self.netlink, service).await?;
        if let AddressingMode::Link { name } = &self.mode {
            link::remove(&self.netlink, name, service).await?;
        }
        self.settings.undo()
    }
}
