//! Measures misses: what a cache adds to an upstream of 100 MB/s, and what many clients at once cost it.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::servers::{Server, Site};
use super::shape;
use crate::error::{Error, Result};
use crate::output;
use crate::program::{program, read};

/// What the upstream sends, in MB/s.
const UPSTREAM: u32 = 100;
/// How many clients miss the same blob.
const CLIENTS: usize = 32;

/// Prints first byte and total of a miss beside a direct download, and the bytes that simultaneous misses take from the upstream.
pub(super) fn measure(site: &Site) -> Result<()> {
    let upstream = Server::slow(site, UPSTREAM)?;
    let (megabytes, digest) = site.blobs.last().cloned().unwrap_or_default();
    let path = format!("/v2/bench/image/blobs/{digest}");
    output::line(&format!("\na blob of {megabytes} MB that only an upstream of {UPSTREAM} MB/s has, seconds"));
    let direct = download(&format!("{}{path}", upstream.url()))?;
    let cache = Server::cache(site, &upstream)?;
    let missed = download(&format!("{}{path}?ns=bench.example", cache.url()))?;
    drop(cache);
    for (name, [first, total]) in [("direct", direct), ("through sealer, cold", missed)] {
        output::line(&format!("{name:22} first byte {first:.4}  total {total:.2}"));
    }
    output::line(&format!(
        "ratio                  first byte {:.2}  total {:.2}",
        missed[0] / direct[0],
        missed[1] / direct[1]
    ));

    let log = site.path("sent.log");
    fs::write(&log, "").map_err(Error::file("write", &log))?;
    let cache = Server::cache(site, &upstream)?;
    let url = format!("{}{path}?ns=bench.example", cache.url());
    let clients: Vec<Child> = (0..CLIENTS).map(|_| client(&url)).collect::<Result<_>>()?;
    for mut client in clients {
        let ended = client.wait().map_err(Error::file("wait for", &site.directory))?;
        if !ended.success() {
            return Err(shape("curl", "a client failed"));
        }
    }
    let cost = cache.cost()?;
    drop(cache);
    // nginx writes its log once a request has ended.
    std::thread::sleep(Duration::from_millis(300));
    let text = fs::read_to_string(&log).map_err(Error::file("read", &log))?;
    let sent: f64 = text.lines().filter_map(|line| line.strip_prefix("GET ")?.parse::<f64>().ok()).sum();
    let size = f64::from(u32::try_from(megabytes).unwrap_or(u32::MAX)) * 1e6;
    output::line(&format!(
        "{CLIENTS} clients that miss it at once: upstream sends {:.2} times the blob; {:.0} MB of memory",
        sent / size,
        cost.megabytes
    ));
    Ok(())
}

/// Seconds until the first byte and until the end.
fn download(url: &str) -> Result<[f64; 2]> {
    let told =
        read(program("curl").args(["-fsS", "-o", "/dev/null", "-w", "%{time_starttransfer} %{time_total}"]).arg(url))?;
    let times: Vec<f64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    <[f64; 2]>::try_from(times).map_err(|_| shape("curl", &told))
}

fn client(url: &str) -> Result<Child> {
    let mut command = program("curl");
    let child = command.args(["-fsS", "-o", "/dev/null"]).arg(url).stdout(Stdio::null()).spawn();
    child.map_err(|source| Error::Start { program: "curl".into(), source })
}
