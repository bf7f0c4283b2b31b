//! Options that describe a virtual address, for `care` and for the unit that runs it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sealer_core::lvscare::{DataplaneKind, HealthScheme, Scheduler, parse_duration};

/// A virtual address, its servers, how their health is judged, and where the daemon's own files are. The names are
/// those of the lvscare that this one replaces.
#[derive(Debug, Clone, Args)]
pub(crate) struct CareArguments {
    /// Virtual address and port that local clients connect to
    #[arg(long, value_name = "IP:PORT", required_unless_present = "config")]
    pub(super) vs: Option<SocketAddr>,
    /// Server behind it (may be repeated, or separated by commas)
    #[arg(long = "rs", value_name = "IP:PORT", value_delimiter = ',')]
    pub(super) servers: Vec<SocketAddr>,
    /// File that says all of this instead; read again when it changes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vs", "servers", "scheduler", "interval", "rise", "fall", "Health"])]
    pub(super) config: Option<PathBuf>,
    /// How a server is chosen: rr, wrr, lc, wlc, sh, dh [default: rr]
    #[arg(long, value_name = "NAME")]
    pub(super) scheduler: Option<Scheduler>,
    /// Time from one check of a server to the next; a bare number is seconds [default: 400ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) interval: Option<Duration>,
    /// So many good checks in a row bring a server back [default: 2]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rise: Option<u32>,
    /// So many failed checks in a row take a server out [default: 2]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) fall: Option<u32>,
    #[command(flatten)]
    pub(super) health: Health,
    #[command(flatten)]
    pub(super) place: Place,
    /// File that gets the metrics (Prometheus text) every few seconds
    #[arg(long, value_name = "FILE")]
    pub(super) metrics_file: Option<PathBuf>,
    /// Has no meaning here: no data plane marks packets
    #[arg(long, value_name = "BIT", hide = true)]
    pub(super) masqueradebit: Option<String>,
    /// Has no meaning here: only changes are told
    #[arg(long, value_name = "LEVEL", hide = true)]
    logger: Option<String>,
}

/// How a server is asked for its health.
#[derive(Debug, Clone, Args)]
#[group(id = "Health", multiple = true)]
pub(crate) struct Health {
    /// How servers are asked: https, http, tcp (connect only) [default: https]
    #[arg(long = "health-schem", visible_alias = "health-scheme", value_name = "NAME")]
    pub(super) scheme: Option<HealthScheme>,
    /// Path that is asked for [default: /healthz]
    #[arg(long = "health-path", value_name = "PATH")]
    pub(super) path: Option<String>,
    /// Status that counts as healthy besides those below 400 (may be repeated)
    #[arg(long = "health-status", value_name = "CODE", value_delimiter = ',')]
    pub(super) status: Vec<u16>,
    /// How long one check may take; a bare number is seconds [default: 450ms]
    #[arg(long = "health-timeout", value_name = "TIME", value_parser = parse_duration)]
    pub(super) timeout: Option<Duration>,
    /// Method of the request [default: GET]
    #[arg(long = "health-req-method", value_name = "NAME")]
    pub(super) method: Option<String>,
    /// Body of the request
    #[arg(long = "health-req-body", value_name = "TEXT")]
    pub(super) body: Option<String>,
    /// Header of the request (may be repeated)
    #[arg(long = "health-req-headers", value_name = "NAME=VALUE")]
    pub(super) headers: Vec<String>,
    /// Certificates of the authorities that sign for the servers (PEM)
    #[arg(long = "health-ca", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Name that the servers' certificates must carry [default: the server's address]
    #[arg(long = "health-server-name", value_name = "NAME")]
    pub(super) server_name: Option<String>,
    /// Do not verify who the servers are
    #[arg(long = "health-insecure-skip-verify", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) insecure_skip_verify: Option<bool>,
}

/// Where in this machine the rules and the daemon are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Which part of the kernel balances: auto, ipvs, nftables
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(super) dataplane: DataplaneKind,
    /// How this machine gets the virtual address
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    pub(super) mode: Mode,
    /// Address that local connections come from, with `--mode route` [default: the one that reaches the servers]
    #[arg(long, value_name = "IP")]
    pub(super) ip: Option<IpAddr>,
    /// Name of the interface, with `--mode link`
    #[arg(short, long, value_name = "NAME", default_value = "lvscare")]
    pub(super) iface: String,
    /// Socket that answers `sealer lvscare status` [default: /run/sealer/lvscare/IP:PORT.sock]
    #[arg(long, value_name = "FILE")]
    pub(super) socket: Option<PathBuf>,
}

/// How this machine gets the virtual address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// A route to this machine itself.
    #[default]
    Route,
    /// A network interface of kind dummy that carries it.
    Link,
}
