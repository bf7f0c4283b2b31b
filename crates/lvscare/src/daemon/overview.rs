//! Shows the virtual addresses of this host, as their daemons and the kernel see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dataplanes;
use super::socket::{STATUS, ask, known_services, socket_path};
use crate::{DataplaneKind, Error, Result, Rules, Scheduler, ServerState, ServerStatus, Status, Traffic};

/// What to look at.
#[derive(Debug, Clone)]
pub struct OverviewRequest {
    /// A virtual address; all that have or had a daemon when there is none.
    pub vs: Option<SocketAddr>,
    /// Where the daemons' sockets are.
    pub directory: PathBuf,
    /// The socket of the one daemon, when it is elsewhere.
    pub socket: Option<PathBuf>,
    /// Where the rules are.
    pub dataplane: DataplaneKind,
}

/// One virtual address.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The virtual address.
    pub service: SocketAddr,
    /// Where the rules are: `ipvs`, `nftables`; `None` when there are none.
    pub dataplane: Option<String>,
    /// How a server is chosen.
    pub scheduler: Option<Scheduler>,
    /// Its servers in the order of their addresses.
    pub servers: Vec<Member>,
    /// Its daemon; `None` when none runs.
    #[serde(rename = "carer")]
    pub daemon: Option<Daemon>,
}

/// A server as the kernel has it, and what its daemon knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The server.
    pub server: SocketAddr,
    /// Its weight in the kernel; `None` when it is not in, or another program changed how packets reach it.
    pub weight: Option<u16>,
    /// What went through it, where the kernel counts.
    pub traffic: Option<Traffic>,
    /// Whether it counts as healthy.
    pub state: ServerState,
    /// What the daemon knows of it.
    pub health: Option<ServerStatus>,
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Daemon {
    /// Its process.
    pub pid: u32,
    /// For how many seconds it has been running.
    pub seconds: f64,
    /// Its guard.
    #[serde(flatten)]
    pub status: Status,
}

/// Asks daemons and the kernel.
///
/// # Errors
/// When the kernel does not tell, or a daemon runs and cannot be asked.
pub async fn overview(request: &OverviewRequest) -> Result<Vec<Overview>> {
    let services = match (request.vs, &request.socket) {
        (vs, Some(socket)) => vec![(vs, socket.clone())],
        (Some(vs), None) => vec![(Some(vs), socket_path(&request.directory, vs))],
        (None, None) => {
            let known = known_services(&request.directory).into_iter();
            known.map(|vs| (Some(vs), socket_path(&request.directory, vs))).collect()
        }
    };
    let mut found = Vec::new();
    for (service, socket) in services {
        let daemon = daemon(&socket).await?;
        let Some(service) = service.or(daemon.as_ref().map(|daemon| daemon.status.service)) else {
            continue;
        };
        // Where its daemon works is no question; a dataplane that is only asked for may have to be loaded first.
        let told = daemon.as_ref().and_then(|daemon| daemon.status.dataplane.parse().ok());
        let kernel = kernel(service, told.unwrap_or(request.dataplane)).await?;
        found.push(Overview::of(service, kernel, daemon));
    }
    Ok(found)
}

async fn kernel(service: SocketAddr, kind: DataplaneKind) -> Result<Option<Kernel>> {
    for dataplane in dataplanes::existing(kind).await? {
        if let Some(rules) = dataplane.observe(service).await? {
            return Ok(Some((dataplane.name(), rules, dataplane.traffic(service).await?)));
        }
    }
    Ok(None)
}

async fn daemon(socket: &Path) -> Result<Option<Daemon>> {
    let Some(text) = ask(socket, STATUS).await? else { return Ok(None) };
    let strange = |error: serde_json::Error| Error::Refused {
        act: "understand the answer about",
        object: format!("the daemon at {}", socket.display()),
        reason: error.to_string(),
    };
    serde_json::from_slice(&text).map(Some).map_err(strange)
}

/// A dataplane's name, its rules, and what went through them.
type Kernel = (&'static str, Rules, BTreeMap<SocketAddr, Traffic>);

impl Overview {
    fn of(service: SocketAddr, kernel: Option<Kernel>, daemon: Option<Daemon>) -> Self {
        let known = kernel.map(|(name, rules, traffic)| (Some(name.to_owned()), Some(rules), traffic));
        let (dataplane, rules, traffic) = known.unwrap_or_default();
        let mut health: BTreeMap<SocketAddr, Option<ServerStatus>> = BTreeMap::new();
        health.extend(rules.iter().flat_map(|rules| rules.servers.keys()).map(|server| (*server, None)));
        let known = daemon.iter().flat_map(|daemon| &daemon.status.servers);
        health.extend(known.map(|status| (status.server, Some(status.clone()))));
        let member = |(server, health): (SocketAddr, Option<ServerStatus>)| Member {
            server,
            weight: rules.as_ref().and_then(|rules| (*rules.servers.get(&server)?).try_into().ok()),
            traffic: traffic.get(&server).copied(),
            state: health.as_ref().map_or(ServerState::Unknown, |health| health.state),
            health,
        };
        let servers = health.into_iter().map(member).collect();
        let scheduler = rules.as_ref().map(|rules| rules.service.scheduler);
        Self { service, dataplane, scheduler, servers, daemon }
    }
}
