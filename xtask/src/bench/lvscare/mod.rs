//! Compares lvscare with haproxy, nginx and keepalived as a load balancer on the clients' own host.
//!
//! Everything happens in namespaces of its own, for networks, mounts and processes: nothing outlives the measurement,
//! however it ends. IPVS is not in every kernel, so that part runs in a user-mode Linux and tells about failures only.

mod backend;
mod client;
mod contender;
mod cost;
mod gap;
mod process;
mod report;
mod speed;
mod table;
mod world;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use clap::Args;

use self::contender::{Contender, Orders};
use self::gap::Figure;
use crate::cache::Cache;
use crate::dist::dist;
use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{program, recipe, run};
use crate::tidy::repository;

const PROGRAMS: &[(&str, &str)] = &[
    ("haproxy", "haproxy"),
    ("ip", "iproute2"),
    ("ipvsadm", "ipvsadm"),
    ("keepalived", "keepalived"),
    ("linux.uml", "user-mode-linux"),
    ("modprobe", "kmod"),
    ("nginx", "nginx"),
    ("openssl", "openssl"),
    ("unshare", "util-linux"),
    ("wrk", "wrk"),
];
/// Runs what follows apart from everything else; its namespaces end with it.
const APART: [&str; 7] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"];
const BEFORE: &str = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec \"$0\" \"$@\"";
/// Contenders that meet their faults one after the other; each line of them beside the others.
const LANES: [&[Contender]; 3] =
    [&[Contender::Sealer, Contender::HaproxyTuned], &[Contender::Haproxy], &[Contender::Nginx, Contender::NginxTuned]];
const BOOTED: &[Contender] = &[Contender::Sealer, Contender::Keepalived, Contender::KeepalivedTuned];
const WEIGHED: &[Contender] = &[Contender::Sealer, Contender::Haproxy, Contender::HaproxyTuned, Contender::Nginx];
/// From one request to the next.
const RHYTHM: Duration = Duration::from_millis(5);
/// The same where the kernel is a process, and slow.
const SLOW_RHYTHM: Duration = Duration::from_millis(10);
const REPETITIONS: u32 = 5;
/// One boot, in seconds.
const BOOT_LIMIT: &str = "400";

/// The part of the measurement that runs apart.
#[derive(Debug, Args)]
pub(crate) struct Apart {
    /// The static binary
    #[arg(long)]
    sealer: PathBuf,
    /// A directory for files
    #[arg(long)]
    directory: PathBuf,
    /// How often each fault happens
    #[arg(long)]
    repetitions: u32,
    /// Whether this is the user-mode Linux
    #[arg(long)]
    booted: bool,
}

/// Measures and prints tables; `quick` does everything once.
pub(crate) fn lvscare(cache: &Cache, quick: bool) -> Result<()> {
    machine::require_root()?;
    let _alone = cache.lock("bench-lvscare")?;
    install()?;
    let scratch = tempfile::tempdir_in(cache.root()).map_err(Error::file("create a directory in", cache.root()))?;
    let sealer = dist(scratch.path())?;
    let itself = std::env::current_exe().map_err(Error::file("find", Path::new("this program")))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let repetitions = if quick { 1 } else { REPETITIONS };
    let mut command = program("unshare");
    command.args(APART).args(["-c", BEFORE]).arg(itself).arg("bench-lvscare-apart");
    command.arg("--sealer").arg(sealer).arg("--directory").arg(scratch.path());
    command.args(["--repetitions", &repetitions.to_string()]);
    // The other end of its input closes when this program ends, whatever ends it.
    let mut child = command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Start { program: "unshare".into(), source })?;
    // Waiting would close it.
    let _open_until_this_ends = child.stdin.take();
    let status = child.wait().map_err(|source| Error::Start { program: "unshare".into(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Program { line: "the measurement".into(), status: status.to_string(), output: String::new() })
}

/// Installs what is missing, without starting it as a service.
fn install() -> Result<()> {
    let missing = PROGRAMS.iter().any(|(name, _)| crate::program::find(name).is_none());
    if missing {
        let running = |name: &str| crate::program::succeeds(program("pidof").arg(name));
        let services = ["haproxy", "keepalived", "nginx"];
        let before = services.map(running);
        machine::ensure_programs(PROGRAMS)?;
        for (service, ran) in services.iter().zip(before) {
            if !ran && running(service) {
                run(program("service").args([service, "stop"]))?;
            }
        }
    }
    machine::ensure_packages(&["libnginx-mod-stream"])
}

/// The part that runs in namespaces of its own, or in the user-mode Linux.
pub(crate) fn apart(apart: &Apart) -> Result<()> {
    if apart.booted {
        return booted(apart);
    }
    std::thread::spawn(end_with_the_caller);
    let orders = orders(apart, "nftables");
    output::line(&report::machine()?);
    for line in report::versions()? {
        output::line(&line);
    }
    let (figures, booted) = failures(apart, &orders)?;
    report::print_failures(&figures, &booted.figures, apart.repetitions);
    let (passes, seconds) = if apart.repetitions == 1 { (1, 10) } else { (3, 20) };
    report::print_speed(&speed::speed(&orders, passes)?);
    let cost = cost::weigh(WEIGHED, &orders, Duration::from_secs(seconds))?;
    report::print_cost(&cost::lines(&cost), &booted.cost);
    Ok(())
}

/// All contenders meet all faults; on this kernel and, at the same time, in the user-mode Linux.
fn failures(apart: &Apart, orders: &Orders) -> Result<(Vec<Figure>, report::Booted)> {
    let figures = Mutex::new(Vec::new());
    let booted = std::thread::scope(|scope| {
        let booted = scope.spawn(|| boot(apart));
        let lanes: Vec<_> = LANES
            .iter()
            .enumerate()
            .map(|(number, contenders)| {
                let figures = &figures;
                scope.spawn(move || {
                    let orders = Orders { directory: subdirectory(&orders.directory, number)?, ..orders.clone() };
                    gap::suffer(contenders, &orders, RHYTHM, apart.repetitions, |figure| {
                        figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(figure);
                    })
                })
            })
            .collect();
        for lane in lanes {
            lane.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))?;
        }
        booted.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    })?;
    Ok((figures.into_inner().unwrap_or_default(), booted))
}

/// Boots a user-mode Linux in which this program is the only one, and hears what it tells.
fn boot(apart: &Apart) -> Result<report::Booted> {
    let itself = std::env::current_exe().map_err(Error::file("find", Path::new("this program")))?;
    let mut command = recipe(&repository().join("xtask/kernel/boot.sh"));
    command.arg(apart.directory.join("boot")).arg(BOOT_LIMIT).arg(itself);
    command.arg("bench-lvscare-apart").arg("--booted").arg("--sealer").arg(&apart.sealer);
    command.args(["--directory", "/tmp", "--repetitions", &apart.repetitions.to_string()]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|source| Error::Start { program: "boot.sh".into(), source })?;
    let lines = BufReader::new(child.stdout.take().into_iter().next().ok_or_else(no_output)?).lines();
    let (mut booted, mut rest) = (report::Booted::default(), Vec::new());
    for line in lines.map_while(Result::ok) {
        match (line.parse::<Figure>(), line.strip_prefix("cost\t")) {
            (Ok(figure), _) => booted.figures.push(figure),
            (_, Some(cost)) => booted.cost.push(cost.trim_end().to_owned()),
            _ => rest.push(line),
        }
    }
    let status = child.wait().map_err(|source| Error::Start { program: "boot.sh".into(), source })?;
    if status.success() {
        return Ok(booted);
    }
    Err(Error::Program { line: "user-mode Linux".into(), status: status.to_string(), output: rest.join("\n") })
}

fn booted(apart: &Apart) -> Result<()> {
    for module in ["ip_vs", "ip_vs_rr", "veth", "bridge"] {
        crate::program::run_quietly(program("modprobe").arg(module))?;
    }
    let orders = orders(apart, "ipvs");
    gap::suffer(BOOTED, &orders, SLOW_RHYTHM, apart.repetitions, |figure| output::line(&figure.to_string()))?;
    let mut rows = Vec::new();
    for contender in [Contender::Sealer, Contender::Keepalived] {
        // Both have the same virtual address.
        rows.extend(cost::weigh(&[contender], &orders, Duration::from_secs(4))?);
    }
    for line in cost::lines(&rows) {
        output::line(&format!("cost\t{line}"));
    }
    Ok(())
}

fn orders(apart: &Apart, dataplane: &'static str) -> Orders {
    Orders { sealer: apart.sealer.clone(), directory: apart.directory.clone(), authority: None, dataplane }
}

fn subdirectory(directory: &Path, number: usize) -> Result<PathBuf> {
    let path = directory.join(format!("lane-{number}"));
    std::fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
    Ok(path)
}

fn no_output() -> Error {
    Error::Shape { what: "a started program".into(), found: "no output".into() }
}

/// Waits until the caller is gone; with this process all others in its namespace end.
#[expect(clippy::exit, reason = "nothing else ends the threads that wait for programs")]
fn end_with_the_caller() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(1);
}
