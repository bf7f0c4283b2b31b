//! A full disk is an error that names the file and leaves nothing behind.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a process is told its directory by the environment")]

use content_store::{Descriptor, Digest, Error, MediaType, NameKind, Store};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

const ROOT: &str = "CONTENT_STORE_TEST_ROOT";

/// Runs [`on_a_small_disk`] in a mount namespace of its own, on a file system of two megabytes.
#[test]
fn a_full_disk_is_reported_and_nothing_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=2m none "$0" && exec "$1" --ignored --exact on_a_small_disk"#;
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .env(ROOT, directory.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "run on a small disk by the other test of this file"]
fn on_a_small_disk() {
    let root = std::env::var(ROOT).unwrap();
    let store = Store::open(Path::new(&root)).unwrap();
    let kept = store.put(b"{}").unwrap();
    let descriptor = Descriptor::new(MediaType::ImageIndex, kept.size, kept.digest);
    store.set_name(NameKind::ClusterImage, "kept", &descriptor).unwrap();

    let mut writer = store.writer().unwrap();
    check(writer.write_all(&vec![7; 4 << 20]).unwrap_err(), &root);
    drop(writer);
    let mut upload = store.start_upload("a1").unwrap();
    check(upload.write_all(&vec![7; 4 << 20]).unwrap_err(), &root);
    assert!(matches!(store.upload("a1").unwrap_err(), Error::Busy { .. }));
    upload.cancel().unwrap();
    assert!(store.upload("a1").unwrap().is_none());
    let digest = Digest::of(b"whatever");
    let mut partial = store.partial(&digest).unwrap();
    check(partial.write_all(&vec![7; 4 << 20]).unwrap_err(), &root);
    let arrived = partial.offset();
    drop(partial);
    assert!(arrived > 0 && store.partial(&digest).unwrap().offset() == arrived, "what arrived is kept");

    // The partial blob fills the disk, so that not even the small files of a name can be written.
    let error = (0..10_000)
        .find_map(|number| store.set_name(NameKind::ClusterImage, &format!("n{number}"), &descriptor).err())
        .unwrap();
    assert!(matches!(&error, Error::NoSpace { .. }) && error.to_string().contains(&root), "{error}");
    assert!(matches!(store.put(&[1; 100_000]).unwrap_err(), Error::NoSpace { .. }));

    // What frees space works nevertheless.
    assert!(store.remove_name(NameKind::ClusterImage, "kept").unwrap());
    let names = store.names().unwrap().len();
    let again = Store::open(Path::new(&root)).unwrap();
    assert_eq!(again.names().unwrap().len(), names, "the former index is whole");
    assert_eq!(again.blobs().unwrap(), [kept]);
    again.verify(&kept.digest).unwrap();
    again.partial(&digest).unwrap().restart().unwrap();
    again.put(&[1; 100_000]).unwrap();
}

fn check(error: io::Error, root: &str) {
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().contains(root), "{error}");
    assert!(matches!(error.downcast::<Error>().unwrap(), Error::NoSpace { .. }));
}
