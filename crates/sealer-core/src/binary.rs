//! Checks that a program can be sent to hosts: it must be linked statically.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;

/// `PT_INTERP` of the ELF specification: the program asks for a dynamic linker.
const INTERPRETER: u32 = 3;
/// The program headers of any linker's output lie within the first bytes of the file.
const HEAD: u64 = 64 << 10;

/// Refuses a program that is linked dynamically: hosts may lack its libraries, or have others.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::State { act: "read", path: path.to_owned(), source };
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).map_err(failed)?;
    if is_dynamic(&head) { Err(Error::DynamicBinary { path: path.to_owned() }) } else { Ok(()) }
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
}
