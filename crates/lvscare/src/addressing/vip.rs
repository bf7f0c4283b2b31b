//! How is a virtual address made usable for the clients on this host?

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::calm::Calm;
use super::link;
use super::meddling;
use super::route::{self, LOOPBACK};
use super::settings::Settings;
use crate::{Addressing, Dataplane, Error, Result, ipvs};

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
    /// Why kernel settings are not as they should be.
    hampered: Mutex<Option<String>>,
    calm: Calm,
    /// The source that was chosen, and the server that it was chosen for.
    chosen: Mutex<Option<(IpAddr, IpAddr)>>,
}

impl Vip {
    /// Keeps the address as `mode` says. Previous values of kernel settings that are changed are kept in the file
    /// `record`, so that [`Addressing::remove`] can put them back.
    #[must_use]
    pub fn new(mode: AddressingMode, record: PathBuf) -> Self {
        let settings = Settings::none(record);
        Self { mode, settings, hampered: Mutex::default(), calm: Calm::default(), chosen: Mutex::default() }
    }

    /// Also sees to the kernel settings that `dataplane` relies on.
    #[must_use]
    pub fn with_settings_for(mut self, dataplane: &dyn Dataplane) -> Self {
        self.settings.wanted = if dataplane.name() == "ipvs" { &ipvs::SYSCTLS } else { &[] };
        self
    }

    /// The address from which local clients are to call; any when there is no server. One that was chosen stays as long
    /// as this host would still go from it to the server that it was chosen for, whether that lives or not.
    async fn source(&self, service: IpAddr, servers: &[SocketAddr]) -> Result<Option<IpAddr>> {
        if let AddressingMode::Route { source: Some(source) } = self.mode {
            return Ok(Some(source));
        }
        let chosen = *self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((server, source)) = chosen
            && route::look_up(server).await.is_ok_and(|found| found.source == Some(source))
        {
            return Ok(Some(source));
        }
        let mut failed = None;
        for server in servers {
            match route::look_up(server.ip()).await {
                Ok(found) => match found.source {
                    Some(source) if source != service => {
                        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Some((server.ip(), source));
                        return Ok(Some(source));
                    }
                    _ => {}
                },
                Err(failure) => failed = Some(failure.of("find a route to the server", server.ip().to_string())),
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

#[async_trait]
impl Addressing for Vip {
    async fn ensure(&self, service: IpAddr, servers: &[SocketAddr]) -> Result<bool> {
        let set = self.settings.ensure().await;
        let hampered = set.as_ref().err().map(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        *self.hampered.lock().unwrap_or_else(PoisonError::into_inner) = hampered;
        let mut mended = set.unwrap_or(false);
        if self.calm.holds(service, servers) {
            return Ok(mended);
        }
        let before = self.calm.beginning();
        let source = self.source(service, servers).await?;
        if source.is_some_and(|source| source.is_ipv4() != service.is_ipv4()) {
            let reason = "the source address is not of the same address family".to_owned();
            return Err(Error::Invalid { service: SocketAddr::new(service, 0), reason });
        }
        let link = match &self.mode {
            AddressingMode::Route { .. } => LOOPBACK,
            AddressingMode::Link { name } => {
                let (link, made) = link::ensure(name, service).await?;
                mended |= made;
                link
            }
        };
        mended |= route::ensure(service, link, source).await?;
        self.calm.found(before, service, servers);
        Ok(mended)
    }

    fn hampered(&self) -> Option<String> {
        self.hampered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn meddled(&self, service: IpAddr) {
        let link = match &self.mode {
            AddressingMode::Route { .. } => None,
            AddressingMode::Link { name } => Some(name.as_str()),
        };
        let ears = self.calm.ears();
        meddling::heard(service, link, || ears.open()).await;
    }

    async fn remove(&self, service: IpAddr) -> Result<()> {
        self.calm.end();
        route::remove(service).await?;
        if let AddressingMode::Link { name } = &self.mode {
            link::remove(name, service).await?;
        }
        self.settings.undo().await
    }
}
