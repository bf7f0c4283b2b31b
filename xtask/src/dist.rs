//! Makes the one static file that people install and hosts receive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::output;
use crate::program::{program, read, run, run_quietly};
use crate::tidy::repository;

/// Nothing on a host has to fit: no C library, no loader.
const STATIC: &str = "-C target-feature=+crt-static";
/// Without the tables for unwinding: the program aborts on panic, so nothing reads them.
const NO_TABLES: &str = "-C force-unwind-tables=no";
/// Thousands of addresses are put right when the program starts; packed, they are read from a twentieth of the pages.
const PACKED: &str = "link-arg=-Wl,-z,pack-relative-relocs";
/// Largest size that the file may have before somebody has to think about it.
const SIZE_GOAL: u64 = 25_000_000;

/// Builds the binary as it is shipped and puts it at `directory/sealer`.
pub(crate) fn dist(directory: &Path) -> Result<PathBuf> {
    let target = host_target()?;
    output::step("building the static binary, optimised (about 10 minutes on 2 cores)");
    let flags = format!("{STATIC} {NO_TABLES}");
    let build = ["rustc", "--quiet", "--release", "--target", &target, "--package", "sealer", "--bin", "sealer"];
    let link = ["--", "-C", PACKED];
    run(program("cargo").current_dir(repository()).env("RUSTFLAGS", flags).args(build).args(link))?;
    let place = place(&repository().join("target").join(&target).join("release/sealer"), directory)?;
    let size = fs::metadata(&place).map_err(Error::file("read", &place))?.len();
    let remark = if size > SIZE_GOAL { "; more than the goal of 25 MB" } else { "" };
    output::step(&format!("{} is static, {:.1} MB{remark}", place.display(), size as f64 / 1e6));
    Ok(place)
}

/// Builds the binary without optimisation, in a third of the time, and puts it at `directory/sealer`.
pub(crate) fn unoptimised(directory: &Path) -> Result<PathBuf> {
    let target = host_target()?;
    output::step("building sealer, not optimised (`cargo xtask dist` builds what is shipped)");
    let mut command = program("cargo");
    command.current_dir(repository());
    command.args(["build", "--quiet", "--target", &target, "--package", "sealer", "--bin", "sealer"]);
    settings(&mut command);
    run(&mut command)?;
    place(&repository().join("target").join(&target).join("debug/sealer"), directory)
}

/// What every build without optimisation has in common, so that they share what is compiled: static, and nothing
/// written down for the next change of a source file.
pub(crate) fn settings(command: &mut Command) {
    command.env("RUSTFLAGS", STATIC).env("CARGO_INCREMENTAL", "0");
}

/// Strips and checks a binary, and puts it at `directory/sealer`.
pub(crate) fn place(built: &Path, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    let place = directory.join("sealer");
    let new = directory.join(".sealer.new");
    run_quietly(program("strip").arg("-o").arg(&new).arg(built))?;
    check(&fs::read(&new).map_err(Error::file("read", &new))?)?;
    // Renamed into place: the old file may be running.
    fs::rename(&new, &place).map_err(Error::file("move into place", &place))?;
    read(program(&place).arg("version"))?;
    Ok(place)
}

/// The target triple of this machine's compiler.
pub(crate) fn host_target() -> Result<String> {
    let version = read(program("rustc").current_dir(repository()).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).ok_or(Error::Shape { what: "output of `rustc -vV`".into(), found: version.clone() })
}

/// Fails unless the bytes are an ELF executable that asks for no loader and carries no symbol table.
fn check(bytes: &[u8]) -> Result<()> {
    let refuse = |found: &str| Err(Error::Shape { what: "the built binary".into(), found: found.into() });
    let Some(kinds) = segments(bytes) else { return refuse("not a 64-bit ELF file") };
    if kinds.contains(&SEGMENT_LOADER) {
        return refuse("dynamically linked");
    }
    if bytes.windows(8).any(|window| window == b".symtab\0") {
        return refuse("not stripped");
    }
    Ok(())
}

/// Kind of the segment that names the dynamic loader.
const SEGMENT_LOADER: u32 = 3;

/// The kinds of all program headers of a little-endian 64-bit ELF file.
fn segments(bytes: &[u8]) -> Option<Vec<u32>> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let offset = u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?) as usize;
    let size = u16::from_le_bytes(bytes.get(54..56)?.try_into().ok()?) as usize;
    let count = u16::from_le_bytes(bytes.get(56..58)?.try_into().ok()?) as usize;
    (0..count)
        .map(|index| {
            let start = offset.checked_add(index * size)?;
            Some(u32::from_le_bytes(bytes.get(start..start.checked_add(4)?)?.try_into().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_dynamic_program_is_refused() {
        let shell = fs::read("/proc/self/exe").unwrap();
        let error = check(&shell).unwrap_err().to_string();
        assert!(error.contains("dynamically linked") || error.contains("not stripped"), "{error}");
        assert!(check(b"#!/bin/sh\n").unwrap_err().to_string().contains("not a 64-bit ELF"));
    }

    #[test]
    fn cut_headers_are_no_panic() {
        let whole = fs::read("/proc/self/exe").unwrap();
        for length in 0..200 {
            let _ = segments(&whole[..length]);
        }
    }
}
