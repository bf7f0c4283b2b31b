//! Images are mounted read-only and stay whole while they are. Needs root and overlayfs.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::fs;
use std::path::Path;

use bench::Bench;
use cloudimage::{BuildOptions, PruneOptions};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_mounted_listed_kept_and_unmounted() {
    let bench = Bench::below(Path::new("/var/tmp"));
    bench.write("a/file", "1");
    bench.write("b/file", "2");
    let images = bench.images();
    for (name, kubefile) in [("one:1", "FROM scratch\nCOPY a a\n"), ("two:1", "FROM scratch\nCOPY a a\nCOPY b b\n")] {
        bench.build_with(kubefile, &BuildOptions::named(name)).await.unwrap();
    }
    bench.build_with("FROM scratch\n", &BuildOptions::named("empty:1")).await.unwrap();
    assert_eq!(images.mounted().unwrap(), []);
    let place = bench.path("a place with spaces");
    fs::create_dir(&place).unwrap();
    let one = images.mount("one:1", None, None).unwrap();
    let two = images.mount("two:1", None, Some(&place)).unwrap();
    let empty = images.mount("empty:1", None, None).unwrap();
    assert_eq!(fs::read_to_string(one.path.join("a/file")).unwrap(), "1");
    assert_eq!(fs::read_to_string(place.join("b/file")).unwrap(), "2");
    assert_eq!(fs::read_dir(&empty.path).unwrap().count(), 0);
    let error = fs::write(place.join("b/file"), "x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let paths: Vec<_> = images.mounted().unwrap().into_iter().map(|mounted| mounted.path).collect();
    let mut expected = vec![one.path.clone(), two.path.clone(), empty.path.clone()];
    expected.sort();
    assert_eq!(paths, expected);
    // After another boot, what is mounted on the path of a record is somebody else's.
    let record = one.path.with_file_name("mount.json");
    let kept = fs::read_to_string(&record).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&record, kept.replace(boot.trim(), "another boot")).unwrap();
    assert_eq!(images.mounted().unwrap().len(), 2);
    fs::write(&record, kept).unwrap();

    // What a mount shows is not taken away under it.
    images.remove(&["one:1", "two:1"], false).unwrap();
    images.prune(PruneOptions::new(true, false)).unwrap();
    assert_eq!(fs::read_to_string(place.join("a/file")).unwrap(), "1");

    assert_eq!(images.unmount(Some(&place.display().to_string())).unwrap(), [two]);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    let said = images.unmount(Some(&place.display().to_string())).unwrap_err().to_string();
    assert!(said.contains("is no mounted image and no place of one"), "{said}");
    let held = fs::File::open(one.path.join("a/file")).unwrap();
    assert!(images.unmount(None).is_err(), "it is in use");
    drop(held);
    images.unmount(None).unwrap();
    assert_eq!(images.mounted().unwrap(), []);
    assert_eq!(fs::read_dir(images.root().join("mounts")).unwrap().count(), 0, "nothing is left");
    images.prune(PruneOptions::new(true, false)).unwrap();
    assert_eq!(fs::read_dir(images.root().join("layers")).unwrap().count(), 0);
    assert!(images.mount("empty:1", None, Some(&bench.path("nowhere"))).is_err());
    assert_eq!(fs::read_dir(images.root().join("mounts")).unwrap().count(), 0);
}
