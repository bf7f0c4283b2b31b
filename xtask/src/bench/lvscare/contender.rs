//! The load balancers that are compared, and their settings.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::process::Process;
use super::world::{World, within};
use crate::error::{Error, Result};
use crate::program::{program, run_quietly};

/// A load balancer on the clients' host, with settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    /// Ours, as installed: nftables, or IPVS where the kernel has it.
    Sealer,
    /// haproxy with checks and otherwise Debian's file.
    Haproxy,
    /// haproxy with all that makes it fast.
    HaproxyTuned,
    /// nginx as Debian's file has it.
    Nginx,
    /// nginx that waits for a connection no longer than ours.
    NginxTuned,
    /// keepalived as guides have it.
    Keepalived,
    /// keepalived with all that makes it fast.
    KeepalivedTuned,
}

/// What a contender is given.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    /// The static binary of sealer.
    pub(super) sealer: PathBuf,
    /// A directory for files.
    pub(super) directory: PathBuf,
    /// The authority of servers that speak HTTPS; those without speak HTTP.
    pub(super) authority: Option<PathBuf>,
    /// The part of the kernel that sealer uses.
    pub(super) dataplane: &'static str,
}

impl Contender {
    /// What tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Contender::Sealer => "sealer",
            Contender::Haproxy => "haproxy",
            Contender::HaproxyTuned => "haproxy tuned",
            Contender::Nginx => "nginx stream",
            Contender::NginxTuned => "nginx stream tuned",
            Contender::Keepalived => "keepalived",
            Contender::KeepalivedTuned => "keepalived tuned",
        }
    }

    /// Its settings in words.
    pub(super) fn settings(self) -> &'static str {
        match self {
            Contender::Sealer => {
                "defaults: check every 400 ms, 450 ms for an answer, 2 failures, reacts to closed connections"
            }
            Contender::Haproxy => {
                "mode tcp, option httpchk, time-outs of Debian's haproxy.cfg, check defaults (inter 2s, fall 3)"
            }
            Contender::HaproxyTuned => {
                "inter 400ms, fastinter 100ms, timeout check 450ms, timeout connect 450ms, fall 2, redispatch 1, observe layer4, \
                 error-limit 1, on-error mark-down, on-marked-down shutdown-sessions, maxconn 4096"
            }
            Contender::Nginx => "defaults (passive: max_fails 1, fail_timeout 10s, proxy_connect_timeout 60s)",
            Contender::NginxTuned => "proxy_connect_timeout 450ms, zone, worker_connections 4096",
            Contender::Keepalived => "HTTP_GET, delay_loop 1, connect_timeout 1, retry 1, delay_before_retry 1",
            Contender::KeepalivedTuned => {
                "HTTP_GET, delay_loop 0.4, connect_timeout 0.45, retry 1, delay_before_retry 0.1, warmup 0"
            }
        }
    }

    /// Where clients find it; proxies of one host listen on ports of their own.
    pub(super) fn service(self) -> SocketAddr {
        let port = match self {
            Contender::Sealer | Contender::Keepalived | Contender::KeepalivedTuned => {
                return SocketAddr::from(([10, 103, 97, 2], 6443));
            }
            Contender::Haproxy => 6443,
            Contender::HaproxyTuned => 6444,
            Contender::Nginx => 6445,
            Contender::NginxTuned => 6446,
        };
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Starts it on the host of `world`.
    pub(super) fn start(self, world: &World, orders: &Orders) -> Result<Process> {
        let file = |end: &str| orders.directory.join(format!("{}{end}", self.name().replace(' ', "-")));
        let (config, log) = (file(".conf"), file(".log"));
        let text = self.config(world, orders);
        fs::write(&config, text).map_err(Error::file("write", &config))?;
        let shown = config.display().to_string();
        let [pid, checkers] = [".pid", ".checkers"].map(|end| file(end).display().to_string());
        let words = match self {
            Contender::Sealer => return start_sealer(world, orders, &config, &file(".sock"), &log),
            Contender::Haproxy | Contender::HaproxyTuned => vec!["haproxy", "-W", "-q", "-f", &shown],
            Contender::Nginx | Contender::NginxTuned => vec!["nginx", "-e", "stderr", "-c", &shown],
            Contender::Keepalived | Contender::KeepalivedTuned => {
                prepare_ipvs(world, self.service())?;
                vec!["keepalived", "-n", "-l", "-C", "-f", &shown, "-p", &pid, "-c", &checkers]
            }
        };
        Process::start(&world.host(), &words, &log)
    }

    fn config(self, world: &World, orders: &Orders) -> String {
        match self {
            Contender::Sealer => sealer(world, orders, self.service()),
            Contender::Haproxy => haproxy(world, orders, self.service(), &HAPROXY),
            Contender::HaproxyTuned => haproxy(world, orders, self.service(), &HAPROXY_TUNED),
            Contender::Nginx => nginx(world, orders, self, "", 768),
            Contender::NginxTuned => nginx(world, orders, self, "proxy_connect_timeout 450ms;", 4096),
            Contender::Keepalived => keepalived(
                world,
                orders,
                self.service(),
                "delay_loop 1",
                "connect_timeout 1\nretry 1\ndelay_before_retry 1",
            ),
            Contender::KeepalivedTuned => keepalived(
                world,
                orders,
                self.service(),
                "delay_loop 0.4",
                "connect_timeout 0.45\nretry 1\ndelay_before_retry 0.1\nwarmup 0",
            ),
        }
    }
}

fn sealer(world: &World, orders: &Orders, service: SocketAddr) -> String {
    let servers: Vec<String> = world.places().map(|place| world.address(place).to_string()).collect();
    let health = match &orders.authority {
        None => serde_json::json!({ "scheme": "http" }),
        Some(authority) => serde_json::json!({ "ca": authority }),
    };
    serde_json::json!({ "vs": service.to_string(), "rs": servers, "health": health }).to_string()
}

fn start_sealer(world: &World, orders: &Orders, config: &Path, socket: &Path, log: &Path) -> Result<Process> {
    let [sealer, config, socket] = [&orders.sealer, config, socket].map(|path: &Path| path.display().to_string());
    let words = [&sealer, "lvscare", "care", "--config", &config, "--socket", &socket, "--dataplane", orders.dataplane];
    Process::start(&world.host(), &words, log)
}

struct Haproxy {
    global: &'static str,
    defaults: &'static str,
    check: &'static str,
}

const HAPROXY: Haproxy = Haproxy {
    global: "",
    defaults: "timeout connect 5000\ntimeout client 50000\ntimeout server 50000",
    check: "check",
};
const HAPROXY_TUNED: Haproxy = Haproxy {
    global: "maxconn 4096",
    defaults: "timeout connect 450ms\ntimeout check 450ms\ntimeout client 50000\ntimeout server 50000\noption redispatch 1",
    check: "check inter 400ms fastinter 100ms fall 2 rise 2 observe layer4 error-limit 1 on-error mark-down on-marked-down shutdown-sessions",
};

fn haproxy(world: &World, orders: &Orders, service: SocketAddr, settings: &Haproxy) -> String {
    let Haproxy { global, defaults, check } = settings;
    let tls = orders
        .authority
        .as_ref()
        .map_or(String::new(), |authority| format!(" check-ssl verify required ca-file {}", authority.display()));
    let mut text = format!(
        "global\nuser haproxy\ngroup haproxy\n{global}\ndefaults\nmode tcp\n{defaults}\n\
         listen service\nbind {service}\nbalance roundrobin\noption httpchk GET /healthz\n"
    );
    for place in world.places() {
        let _ = writeln!(text, "server s{place} {} {check}{tls}", world.address(place));
    }
    text
}

fn nginx(world: &World, orders: &Orders, contender: Contender, settings: &str, connections: u32) -> String {
    let (directory, service) = (orders.directory.display(), contender.service());
    let servers: String = world.places().map(|place| format!("server {};\n", world.address(place))).collect();
    let zone = if settings.is_empty() { "" } else { "zone servers 64k;\n" };
    format!(
        "daemon off;\nuser www-data;\nworker_processes auto;\npid {directory}/nginx-{port}.pid;\nerror_log stderr crit;\n\
         load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nevents {{ worker_connections {connections}; }}\n\
         stream {{\nupstream servers {{\n{zone}{servers}}}\nserver {{ listen {service}; proxy_pass servers; {settings} }}\n}}\n",
        port = service.port()
    )
}

fn keepalived(world: &World, orders: &Orders, service: SocketAddr, loops: &str, checks: &str) -> String {
    let mut text = format!(
        "virtual_server {} {} {{\n{loops}\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n",
        service.ip(),
        service.port()
    );
    let get = if orders.authority.is_some() { "SSL_GET" } else { "HTTP_GET" };
    for place in world.places() {
        let server = world.address(place);
        let _ = writeln!(
            text,
            "real_server {} {} {{\nweight 1\n{get} {{\nurl {{\npath /healthz\nstatus_code 200\n}}\n{checks}\n}}\n}}",
            server.ip(),
            server.port()
        );
    }
    text + "}\n"
}

/// What sealer does by itself: the route to the virtual address, and settings that let connections to dead servers end.
fn prepare_ipvs(world: &World, service: SocketAddr) -> Result<()> {
    let (address, source) = (service.ip().to_string(), world.host_address().to_string());
    run_quietly(
        program("ip")
            .args(["-n", &world.host()])
            .args(["route", "replace", "local", &address, "dev", "lo", "src", &source]),
    )?;
    within(&world.host(), || {
        for setting in ["expire_nodest_conn", "conntrack"] {
            let path = PathBuf::from(format!("/proc/sys/net/ipv4/vs/{setting}"));
            fs::write(&path, "1").map_err(Error::file("write", &path))?;
        }
        Ok(())
    })?
}
