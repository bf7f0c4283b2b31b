//! The store stays whole when several processes use it and some are killed.
#![allow(clippy::unwrap_used)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of processes talks to them by the environment and waits for them"
)]

use content_store::{Descriptor, Digest, MediaType, NameKind, Store};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROOT: &str = "CONTENT_STORE_TEST_ROOT";
const WORK: &str = "CONTENT_STORE_TEST_WORK";

/// Not a test of its own: what the other tests run as a process.
#[test]
#[ignore = "run as a process by the other tests of this file"]
fn child() {
    let store = Store::open(Path::new(&std::env::var(ROOT).unwrap())).unwrap();
    let work = std::env::var(WORK).unwrap();
    let (kind, mark) = work.split_once(' ').unwrap();
    match kind {
        "names" => (0..20).for_each(|number| set(&store, &format!("{mark}/{number}"), mark)),
        "endless" => (0..1_000_000).for_each(|number| {
            let mut writer = store.writer().unwrap();
            for part in 0..300_u32 {
                writer.write_all(&[u8::try_from(part % 251).unwrap(); 7000]).unwrap();
            }
            writer.write_all(format!("{mark} {number}").as_bytes()).unwrap();
            writer.commit(None).unwrap();
            set(&store, &format!("{mark}/{}", number % 7), &number.to_string());
            let digest = Digest::of(format!("partial {mark} {number}").as_bytes());
            let mut partial = store.partial(&digest).unwrap();
            partial.write_all(format!("partial {mark} {number}").as_bytes()).unwrap();
            partial.commit().unwrap();
        }),
        "guard" => {
            let _guard = store.gc_guard().unwrap();
            store.put(mark.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_secs(60));
        }
        other => panic!("no work is called {other}"),
    }
}

fn set(store: &Store, name: &str, content: &str) {
    let _guard = store.gc_guard().unwrap();
    let blob = store.put(format!("{{\"content\":\"{name} {content}\"}}").as_bytes()).unwrap();
    store
        .set_name(NameKind::CarriedImage, name, &Descriptor::new(MediaType::ImageIndex, blob.size, blob.digest))
        .unwrap();
}

fn spawn(root: &Path, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child"])
        .env(ROOT, root)
        .env(WORK, work)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Every blob has its digest's bytes, every name its blob.
fn check(store: &Store) {
    for blob in store.blobs().unwrap() {
        store.verify(&blob.digest).unwrap();
    }
    for named in store.names().unwrap() {
        let digest = Digest::try_from(named.descriptor.digest()).unwrap();
        let bytes = store.read_verified(&digest, 1 << 20).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains(&named.name));
    }
}

#[test]
fn processes_that_name_at_once_lose_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let children: Vec<Child> = (0..4).map(|number| spawn(directory.path(), &format!("names p{number}"))).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.names().unwrap().len(), 4 * 20);
    check(&store);
}

#[test]
fn killed_processes_leave_nothing_half() {
    let directory = tempfile::tempdir().unwrap();
    Store::open(directory.path()).unwrap();
    let mut names = 0;
    for round in 0..6_u64 {
        let mut children: Vec<Child> =
            (0..2).map(|number| spawn(directory.path(), &format!("endless r{round}p{number}"))).collect();
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let store = Store::open(directory.path()).unwrap();
        check(&store);
        names = store.names().unwrap().len();
        let left = std::fs::read_dir(directory.path().join("ingest")).unwrap();
        let half = left.filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("partial-"));
        assert_eq!(half.count(), 0, "unfinished writes of the dead are removed");
        let mut beside = std::fs::read_dir(directory.path()).unwrap();
        assert!(beside.all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.')));
    }
    assert!(names > 0, "the processes were killed while they worked, not before");
    let store = Store::open(directory.path()).unwrap();
    store.collect_garbage().unwrap();
    check(&store);
    assert_eq!(store.names().unwrap().len(), names);
}

#[test]
fn a_hold_of_another_process_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut child = spawn(directory.path(), "guard fresh");
    let fresh = Digest::of(b"fresh");
    for _ in 0..500 {
        if store.contains(&fresh) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(store.contains(&fresh));
    assert!(store.collect_garbage().is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.collect_garbage().unwrap().blobs, 1);
}
