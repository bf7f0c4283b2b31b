//! Measures the registry beside docker-registry and nginx: blobs, manifests, and misses that come from an upstream.

mod miss;
mod servers;

use std::path::Path;
use std::process::Command;

use crate::cache::Cache;
use crate::dist::dist;
use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{program, read, run_quietly};

use servers::{Kind, Server, Site};

/// How many clients ask at the same time.
const CLIENTS: [u32; 3] = [1, 16, 64];
/// Sizes of blobs, in MB.
const SIZES: [u64; 3] = [1, 16, 256];

/// Prints tables of requests and bytes a second, processor time and memory, and their ratios.
pub(crate) fn registry(cache: &Cache, quick: bool) -> Result<()> {
    machine::require_root()?;
    let needs = [
        ("docker-registry", "docker-registry"),
        ("nginx", "nginx-light"),
        ("wrk", "wrk"),
        ("curl", "curl"),
        ("openssl", "openssl"),
    ];
    machine::ensure_programs(&needs)?;
    let scratch = tempfile::tempdir_in(cache.root()).map_err(Error::file("create a directory in", cache.root()))?;
    let site = Site::make(scratch.path(), dist(scratch.path())?, &SIZES)?;
    output::line(&format!("docker-registry 2.8.2 and {}, of this distribution", nginx()?));
    let seconds = if quick { 2 } else { 8 };
    for tls in [false, true] {
        output::line(&format!("\n{}, {seconds} s each", if tls { "TLS" } else { "plain HTTP" }));
        compare(&site, tls, seconds)?;
    }
    miss::measure(&site)
}

/// One row for each thing that is asked for and number of clients; every server alone on the machine.
fn compare(site: &Site, tls: bool, seconds: u32) -> Result<()> {
    let servers = [Kind::Sealer, Kind::DockerRegistry, Kind::Nginx];
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    let mut costs = Vec::new();
    for kind in servers {
        let server = Server::start(site, kind, tls)?;
        let mut row = 0;
        for (what, path, is_bytes) in asked(site) {
            for clients in CLIENTS {
                let rate = wrk(&server, &path, clients, seconds, is_bytes)?;
                let name = format!("{what}, {clients} clients");
                if rows.len() <= row {
                    rows.push((name, Vec::new()));
                }
                rows[row].1.push(rate);
                row += 1;
            }
        }
        costs.push(server.cost()?);
    }
    output::line(&format!(
        "{:28} {:>10} {:>10} {:>10} {:>9} {:>9}",
        "", "sealer", "docker-r.", "nginx", "/docker-r.", "/nginx"
    ));
    for (name, rates) in &rows {
        let [ours, docker, nginx] = rates[..] else { continue };
        output::line(&format!(
            "{name:28} {ours:>10.0} {docker:>10.0} {nginx:>10.0} {:>9.2} {:>9.2}",
            ours / docker,
            ours / nginx
        ));
    }
    let memory: Vec<String> = costs.iter().map(|cost| format!("{:.0}", cost.megabytes)).collect();
    let time: Vec<String> = costs.iter().map(|cost| format!("{:.0}", cost.seconds)).collect();
    output::line(&format!("most memory, MB   {}", memory.join("  ")));
    output::line(&format!("processor time, s {}", time.join("  ")));
    Ok(())
}

/// What is asked for: its name, its path, and whether bytes (MB/s) are counted instead of requests (1/s).
fn asked(site: &Site) -> Vec<(String, String, bool)> {
    let blobs = site.blobs.iter().map(|(megabytes, digest)| {
        (format!("blob of {megabytes} MB, MB/s"), format!("/v2/bench/image/blobs/{digest}"), true)
    });
    let manifest = ("manifest, 1/s".to_owned(), format!("/v2/bench/image/manifests/{}", site.manifest), false);
    blobs.chain([manifest]).collect()
}

fn wrk(server: &Server, path: &str, clients: u32, seconds: u32, is_bytes: bool) -> Result<f64> {
    let threads = clients.min(2);
    let mut command = program("wrk");
    command.arg(format!("-t{threads}")).arg(format!("-c{clients}")).arg(format!("-d{seconds}s"));
    command.args(["--timeout", "60s", "-H", "Accept: application/vnd.oci.image.manifest.v1+json"]);
    let text = read(command.arg(format!("{}{path}", server.url())))?;
    if text.contains("Non-2xx") {
        return Err(shape("wrk", &text));
    }
    let (label, line) = (if is_bytes { "Transfer/sec:" } else { "Requests/sec:" }, text.lines());
    let found = line.filter_map(|line| line.trim().strip_prefix(label)).next().map(str::trim);
    found.and_then(number).map(|rate| if is_bytes { rate / 1e6 } else { rate }).ok_or_else(|| shape("wrk", &text))
}

/// A number of wrk, which counts bytes by powers of 1,024.
fn number(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    Some(digits.parse::<f64>().ok()? * unit)
}

fn nginx() -> Result<String> {
    // It tells its version on standard error.
    let told = read(Command::new("sh").args(["-c", "nginx -v 2>&1"]))?;
    Ok(told.trim().trim_start_matches("nginx version: ").to_owned())
}

fn shape(what: &str, found: &str) -> Error {
    Error::Shape { what: format!("output of {what}"), found: found.to_owned() }
}

/// Random bytes, so that nothing can be compressed or guessed; gives their digest.
fn random(path: &Path, megabytes: u64) -> Result<String> {
    run_quietly(
        program("dd")
            .args(["if=/dev/urandom", "bs=1000000"])
            .arg(format!("count={megabytes}"))
            .arg(format!("of={}", path.display())),
    )?;
    let told = read(program("sha256sum").arg(path))?;
    Ok(format!("sha256:{}", told.split_whitespace().next().unwrap_or_default()))
}
