//! Do the backends keep their contract?
#![allow(clippy::unwrap_used)]

use content_store::Backend;
use content_store::backend::{Disk, Memory, contract};

#[test]
fn disk_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    contract(&Disk::open(&directory.path().join("objects")).unwrap());
}

#[test]
fn memory_keeps_the_contract() {
    contract(&Memory::default());
}

#[test]
fn files_that_are_no_objects_are_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    disk.put("a/b", &mut &b"x"[..]).unwrap();
    std::fs::write(directory.path().join("a/.new-left"), b"").unwrap();
    std::os::unix::fs::symlink("/etc", directory.path().join("link")).unwrap();
    assert_eq!(disk.list("").unwrap(), ["a/b"]);
}
