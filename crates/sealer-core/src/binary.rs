//! The programs that are sent to hosts: which one runs on a host's processor, and that it is linked statically.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cloudimage::Platform;
use runtime::Facts;

use crate::{Error, Sealer};

/// `PT_INTERP` of the ELF specification: the program asks for a dynamic linker.
const INTERPRETER: u32 = 3;
/// The program headers of any linker's output lie within the first bytes of the file.
const HEAD: u64 = 64 << 10;

/// The programs that there are, each with the architecture that it is for; a script is for all.
#[derive(Debug)]
pub(crate) struct Binaries(Vec<(PathBuf, Option<String>)>);

impl Binaries {
    /// This program, or the one that takes its place, and those for other processors.
    pub(crate) fn of(sealer: &Sealer) -> Result<Self, Error> {
        let own = sealer.binary()?;
        let paths = std::iter::once(&own).chain(&sealer.settings().foreign_binaries);
        let known = paths.map(|path| Ok((path.clone(), architecture(&head(path)?))));
        Ok(Self(known.collect::<Result<_, Error>>()?))
    }

    /// The program for a host; the first one for a host of whose processor nothing is known.
    pub(crate) fn for_host(&self, facts: &Facts, host: IpAddr) -> Result<&Path, Error> {
        let machine = facts.hosts.get(&host).map_or("", |facts| facts.arch.as_str());
        let wanted = Platform::of_machine(machine).architecture;
        let is_for = |of: &Option<String>| machine.is_empty() || of.as_ref().is_none_or(|of| *of == wanted);
        let found = self.0.iter().find(|(_, architecture)| is_for(architecture));
        found.map(|(path, _)| path.as_path()).ok_or_else(|| Error::NoBinary {
            host,
            architecture: wanted,
            known: self.0.iter().map(known).collect(),
        })
    }
}

fn known((path, architecture): &(PathBuf, Option<String>)) -> String {
    format!("{} for {}", path.display(), architecture.as_deref().unwrap_or("all"))
}

/// The architecture of an ELF file, by its `e_machine`.
fn architecture(head: &[u8]) -> Option<String> {
    let [_, _, _, _, _, order, ..] = head.strip_prefix(b"\x7fELF").map(|_| head)? else { return None };
    let bytes: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let machine = if *order == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    let name = match machine {
        3 => "386",
        21 => "ppc64le",
        22 => "s390x",
        40 => "arm",
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        258 => "loong64",
        _ => return Some(format!("processor {machine}")),
    };
    Some(name.to_owned())
}

fn head(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::State { act: "read", path: path.to_owned(), source };
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).map_err(failed)?;
    Ok(head)
}

/// Refuses a program that is linked dynamically: hosts may lack its libraries, or have others.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    if is_dynamic(&head(path)?) { Err(Error::DynamicBinary { path: path.to_owned() }) } else { Ok(()) }
}

/// Whether the head of a 64-bit little-endian ELF file names a dynamic linker. Other files pass.
fn is_dynamic(head: &[u8]) -> bool {
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = head.get(at..at.checked_add(length)?)?;
        bytes.iter().rev().try_fold(0_usize, |sum, byte| Some(sum.checked_mul(256)? + usize::from(*byte)))
    };
    // e_phoff, e_phentsize, e_phnum.
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else { return false };
    (0..count).any(|index| {
        let at = table.checked_add(index * size);
        at.and_then(|at| number(at, 4)) == Some(INTERPRETER as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_asks_for_a_linker_is_refused() {
        // A header of 64 bytes, and one entry of 56 that names an interpreter.
        let mut program = b"\x7fELF\x02\x01".to_vec();
        program.resize(120, 0);
        (program[32], program[54], program[56], program[64]) = (64, 56, 1, 3);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, program).unwrap();
        assert!(matches!(check(&path), Err(Error::DynamicBinary { .. })));
    }

    #[test]
    fn a_script_and_a_truncated_file_pass() {
        assert!(!is_dynamic(b"#!/bin/sh\n"));
        assert!(!is_dynamic(b"\x7fELF\x02\x01\x01"));
        let mut absurd = b"\x7fELF\x02\x01".to_vec();
        absurd.resize(64, 0xff);
        assert!(!is_dynamic(&absurd));
    }
    #[test]
    fn a_program_says_what_processor_it_is_for() {
        let program = |machine: u16| {
            let mut head = b"\x7fELF\x02\x01\x01".to_vec();
            head.resize(64, 0);
            head[18..20].copy_from_slice(&machine.to_le_bytes());
            head
        };
        assert_eq!(architecture(&program(62)).as_deref(), Some("amd64"));
        assert_eq!(architecture(&program(183)).as_deref(), Some("arm64"));
        assert_eq!(architecture(b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x16").as_deref(), Some("s390x"));
        assert_eq!(architecture(&program(2)).as_deref(), Some("processor 2"));
        assert_eq!((architecture(b"#!/bin/sh\n"), architecture(b"\x7fELF")), (None, None));
    }
}
