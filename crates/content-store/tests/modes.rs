//! Nobody else can change what a store holds, or hold its locks; alone in its process, of which it changes the umask.
#![expect(clippy::unwrap_used, reason = "tests")]

use content_store::{Descriptor, MediaType, NameKind, Store};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { [below(&path), vec![path]].concat() } else { vec![path] }).collect()
}

#[test]
fn the_loosest_umask_opens_nothing_to_others() {
    rustix::process::umask(rustix::fs::Mode::empty());
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("content");
    let store = Store::open(&root).unwrap();
    let blob = store.put(b"{}").unwrap();
    let descriptor = Descriptor::new(MediaType::ImageManifest, blob.size, blob.digest);
    store.set_name(NameKind::CarriedImage, "registry.example/a:1", &descriptor).unwrap();
    store.collect_garbage().unwrap();
    let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o777;
    for path in below(directory.path()) {
        assert_eq!(mode(&path) & 0o022, 0, "{} {:o}", path.display(), mode(&path));
    }
    assert_eq!((mode(&root.join("ingest")), mode(&root.join("index.lock"))), (0o700, 0o600));
    assert_eq!(mode(&store.blob_path(&blob.digest)), 0o644);

    let victim = directory.path().join("victim");
    for lock in ["lock", "index.lock"] {
        let _ = std::fs::remove_file(root.join(lock));
        symlink(&victim, root.join(lock)).unwrap();
    }
    assert!(store.set_name(NameKind::CarriedImage, "registry.example/a:2", &descriptor).is_err());
    assert!(store.collect_garbage().is_err() && !victim.exists(), "no symbolic link is followed");
}
