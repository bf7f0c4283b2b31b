//! Makes a virtual address usable for the clients on this host.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::link;
use super::route::{self, LOOPBACK};
use super::settings::Settings;
use crate::dataplane::ipvs::SYSCTLS;
use crate::netlink::{Socket, protocols};
use crate::{Addressing, Dataplane, Error, Result};

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
    /// Why kernel settings are not as they should be.
    degraded: Mutex<Option<String>>,
    /// The server that decides from which address local clients call.
    reached: Mutex<Option<IpAddr>>,
}

impl Vip {
    /// Keeps the address as `mode` says. Previous values of kernel settings that are changed are kept in the file
    /// `record`, so that [`Addressing::remove`] can put them back.
    #[must_use]
    pub fn new(mode: AddressingMode, record: PathBuf) -> Self {
        let (settings, netlink) = (Settings::none(record), Socket::new(protocols::NETLINK_ROUTE));
        Self { mode, settings, netlink, degraded: Mutex::default(), reached: Mutex::default() }
    }

    /// Also sees to the kernel settings that `dataplane` relies on.
    #[must_use]
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
        let before = *self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = None;
        for server in before.into_iter().chain(servers.iter().map(SocketAddr::ip)) {
            match route::look_up(&self.netlink, server).await {
                Ok(found) => {
                    if let Some(source) = found.source.filter(|source| *source != service) {
                        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
                        return Ok(Some(source));
                    }
                }
                Err(failure) => failed = Some(failure.of("find a route to the server", server.to_string())),
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

#[async_trait]
impl Addressing for Vip {
    async fn ensure(&self, service: IpAddr, servers: &[SocketAddr]) -> Result<bool> {
        let set = self.settings.ensure();
        let degraded = set.as_ref().err().map(|error| error_report::one_line(error));
        *self.degraded.lock().unwrap_or_else(PoisonError::into_inner) = degraded;
        let mut repaired = set.unwrap_or(false);
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
        Ok(route::ensure(&self.netlink, service, link, source).await? | repaired)
    }

    fn degraded(&self) -> Option<String> {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn remove(&self, service: IpAddr) -> Result<()> {
        route::remove(&self.netlink, service).await?;
        if let AddressingMode::Link { name } = &self.mode {
            link::remove(&self.netlink, name, service).await?;
        }
        self.settings.undo()
    }
}
