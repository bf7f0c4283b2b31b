//! Prints the results of the measurement.

use std::fs;

use super::contender::Contender;
use super::gap::{Fault, Figure, Suffering, WINDOW};
use super::table::{Table, median, ratio};
use super::{BOOTED, LANES, RHYTHM, SLOW_RHYTHM};
use crate::error::{Error, Result};
use crate::output;
use crate::program::{program, read};

/// What the user-mode Linux told.
#[derive(Debug, Default)]
pub(super) struct Booted {
    /// What clients noticed there.
    pub(super) figures: Vec<Figure>,
    /// Memory of processes there.
    pub(super) cost: Vec<String>,
}

/// The machine in a line.
pub(super) fn machine() -> Result<String> {
    let file = |path: &str| fs::read_to_string(path).map_err(Error::file("read", path.as_ref()));
    let (processors, memory, load) = (file("/proc/cpuinfo")?, file("/proc/meminfo")?, file("/proc/loadavg")?);
    let model = processors.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let memory = memory.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
    let kernel = read(program("uname").arg("-r"))?;
    let number: String = kernel.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    Ok(format!(
        "machine   {} x {cores}, {} GiB, Linux {number}; load before the start {}",
        model.unwrap_or("processor"),
        memory >> 20,
        load.split(' ').next().unwrap_or_default()
    ))
}

/// The rivals and their settings.
pub(super) fn versions() -> Result<Vec<String>> {
    let mut lines = vec![format!("rivals    Debian's, older than upstream: {}", packages()?)];
    let all = LANES.iter().flat_map(|lane| lane.iter()).chain(&BOOTED[1..]);
    for contender in all {
        lines.push(format!("          {:20}{}", contender.name(), contender.settings()));
    }
    Ok(lines)
}

fn packages() -> Result<String> {
    let names = ["haproxy", "libnginx-mod-stream", "keepalived", "wrk"];
    let listed = read(program("dpkg-query").args(["-W", "-f", "${Package} ${Version}, "]).args(names))?;
    Ok(listed.trim_end_matches([',', ' ']).replace("libnginx-mod-stream", "nginx stream"))
}

/// Prints what failing servers did to clients.
pub(super) fn print_failures(figures: &[Figure], booted: &[Figure], repetitions: u32) {
    output::line(&format!(
        "\n(a) One of three HTTP servers fails, {repetitions} times each: median (worst), in ms.\n    \
         failed: of the requests that begin every {} ms on new connections, those without an answer within 1 s;\n    \
         until: from the fault to the last of them; gap: longest time without an answer for one who asks one after the\n    \
         other; kept: the same on kept connections. Looked at for {} s.\n",
        RHYTHM.as_millis(),
        WINDOW.as_secs()
    ));
    let contenders: Vec<Contender> = LANES.iter().flat_map(|lane| lane.iter().copied()).collect();
    show(&failures(figures, &contenders));
    output::line(&format!(
        "\n    The same with IPVS in user-mode Linux, a request every {} ms: a slow kernel.\n",
        SLOW_RHYTHM.as_millis()
    ));
    show(&failures(booted, BOOTED));
}

/// Prints how fast they are.
pub(super) fn print_speed(lines: &[String]) {
    output::line(
        "\n(b) One HTTP server. Load by wrk (16 connections), latency of one client alone; the best of all passes.\n",
    );
    show(lines);
}

/// Prints what they cost.
pub(super) fn print_cost(lines: &[String], booted: &[String]) {
    output::line(
        "(c) Nothing happens, five HTTPS servers are checked (nginx checks nothing). RSS: all processes, the pages of their\n    \
         programs included; own: not backed by a file; CPU: of one core.\n",
    );
    show(lines);
    if !booted.is_empty() {
        output::line("\n    In user-mode Linux, with IPVS: memory only, its times tell nothing.\n");
        show(booted);
    }
}

fn show(lines: &[String]) {
    for line in lines {
        output::line(line);
    }
}

fn failures(figures: &[Figure], contenders: &[Contender]) -> Vec<String> {
    let mut lines = Vec::new();
    for fault in Fault::ALL {
        let of = |contender: Contender| -> Vec<Suffering> {
            let these = figures.iter().filter(|figure| figure.contender == contender.name());
            these.filter(|figure| figure.fault == fault.name()).map(|figure| figure.suffering).collect()
        };
        let mut table = Table::new(&[fault.name(), "failed", "until", "gap", "to ours", "kept", "to ours"]);
        let ours = of(Contender::Sealer);
        let middle = |all: &[Suffering], part: fn(&Suffering) -> u64| {
            median(&all.iter().map(|one| part(one) as f64).collect::<Vec<_>>())
        };
        for contender in contenders {
            let all = of(*contender);
            let cell = |part: fn(&Suffering) -> u64, most: u64| {
                let worst = all.iter().map(part).max().unwrap_or_default();
                format!("{} ({})", capped(middle(&all, part), most), capped(worst as f64, most))
            };
            let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
            let compared = |part| ratio(middle(&all, part), middle(&ours, part));
            table.row(vec![
                contender.name().to_owned(),
                cell(|one| one.failed, u64::MAX),
                // The last request that can have failed began a second before the end.
                cell(|one| one.until, window - 1100),
                cell(|one| one.gap, window - 100),
                compared(|one| one.gap),
                cell(|one| one.kept, window - 100),
                compared(|one| one.kept),
            ]);
        }
        lines.extend(table.lines());
        lines.push(String::new());
    }
    lines.pop();
    lines
}

/// What did not end while it was looked at.
fn capped(value: f64, most: u64) -> String {
    if value >= most as f64 { format!(">{most}") } else { format!("{value:.0}") }
}
