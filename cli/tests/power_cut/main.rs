//! The machine loses its power at each point that a disk may be left in by a command that writes: then the old state is
//! there or the new one, and the same command leads to the new one. Runs in user-mode Linux, on disks in memory.

#![allow(clippy::unwrap_used)]

#[path = "../crash/stage.rs"]
#[expect(dead_code, reason = "the other test uses the rest")]
mod stage;
mod write_log;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

use stage::{Stage, parts, shops};
use write_log::{Entry, WriteLog};

/// The disk that a command writes to, the log of what it writes, and the disk after a power cut.
const DISKS: [&str; 3] = ["/dev/ram0", "/dev/ram1", "/dev/ram2"];
const SECTOR: usize = 512;
/// Sectors of the disk.
const SECTORS: usize = 16 << 11;
/// Where disks are mounted.
const PLACE: &str = "/run/disk";
/// Most points of one command that are tried.
const MOST: usize = 30;

#[track_caller]
fn run(line: &[&str]) {
    let output = Command::new(line[0]).args(&line[1..]).output().unwrap_or_else(|error| panic!("{}: {error}", line[0]));
    assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Loads what disks in memory need. Only in a machine whose disks are nobody's.
fn prepare() {
    let machine = fs::read_to_string("/proc/cpuinfo").unwrap();
    assert!(machine.contains("User Mode Linux"), "this runs in user-mode Linux: `cargo xtask test --tier kernel`");
    if Path::new(PLACE).exists() {
        return;
    }
    fs::create_dir(PLACE).unwrap();
    run(&["modprobe", "brd", "rd_nr=3", "rd_size=131072"]);
    run(&["modprobe", "dm-log-writes"]);
}

/// What a command leaves at each of its points.
fn cut(prepared: &Stage, line: &[&str]) {
    let [disk, log, after] = DISKS;
    let blocks = (SECTORS * SECTOR / 4096).to_string();
    run(&[
        "mkfs.ext4",
        "-q",
        "-F",
        "-b",
        "4096",
        "-J",
        "size=4",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
        disk,
        &blocks,
    ]);
    run(&["mount", disk, PLACE]);
    run(&["cp", "-a", &format!("{}/.", prepared.work().display()), PLACE]);
    let stage = Stage::at(Path::new(PLACE));
    let old = stage.state("before");
    run(&["umount", PLACE]);
    let mut before = vec![0; SECTORS * SECTOR];
    File::open(disk).and_then(|mut disk| disk.read_exact(&mut before)).unwrap();

    run(&["dmsetup", "create", "logged", "--table", &format!("0 {SECTORS} log-writes {disk} {log}")]);
    run(&["mount", "/dev/dm-0", PLACE]);
    run(&["dmsetup", "message", "logged", "0", "mark", "begun"]);
    stage.call(line);
    run(&["dmsetup", "message", "logged", "0", "mark", "done"]);
    let new = stage.state("undisturbed");
    run(&["umount", PLACE]);
    run(&["dmsetup", "remove", "logged"]);

    let entries = WriteLog::read(Path::new(log)).entries;
    let place = |mark: &str| entries.iter().position(|entry| entry.mark.as_deref() == Some(mark)).unwrap();
    let (begun, done) = (place("begun"), place("done"));
    let points = points(&entries, begun, done);
    for point in points {
        let mut bytes = before.clone();
        entries[..point].iter().for_each(|entry| entry.replay(&mut bytes));
        fs::write(after, &bytes).unwrap();
        run(&["mount", after, PLACE]);
        let moment = format!("{line:?}, cut at write {} of {}", point - begun, done - begun);
        let state = stage.state(&moment);
        assert!(state == new || (state == old && point < done), "{moment}: {state:#?}");
        if state != new {
            stage.call(line);
            assert!(stage.state("afterwards") == new, "{moment}: the second run leads elsewhere");
        }
        run(&["umount", PLACE]);
    }
}

/// How many entries reached the disk: numbers that a flush makes certain, up to all of the command, and some between them.
fn points(entries: &[Entry], begun: usize, done: usize) -> Vec<usize> {
    let is_certain = |point: &usize| entries[point - 1].is_flush || *point == done;
    let all: Vec<usize> = (begun + 1..=done).collect();
    let (certain, others): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_certain);
    let some = |points: Vec<usize>| {
        let step = points.len().div_ceil(MOST / 2).max(1);
        points.into_iter().rev().step_by(step)
    };
    let mut points: Vec<usize> = some(certain).chain(some(others)).collect();
    points.sort_unstable();
    points
}

#[test]
fn build() {
    prepare();
    let stage = shops();
    stage.write("context/Kubefile", "FROM shop:2\nCOPY manifests third\n");
    cut(&stage, &["build", "-q", "-t", "other:1", "context"]);
}

#[test]
fn tag() {
    prepare();
    cut(&shops(), &["tag", "shop:2", "shop:1", "new:1"]);
}

#[test]
fn load() {
    prepare();
    let stage = parts();
    cut(&stage, &["load", "-i", "archive.tar.001", "archive.tar.002"]);
}

#[test]
fn prune() {
    prepare();
    let stage = shops();
    stage.call(&["tag", "shop:2", "shop:1", "other:1"]);
    cut(&stage, &["prune", "--all"]);
}

#[test]
fn merge() {
    prepare();
    cut(&shops(), &["merge", "-t", "shop:1", "shop:2", "other:1"]);
}
