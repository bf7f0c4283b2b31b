//! Saved images come back the same, and hostile archives are refused.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::fs;
use std::path::Path;

use bench::Bench;
use cloudimage::{Error, Images, Layer, format, unpack};
use content_store::{Digest, Store};
use serde_json::json;

async fn saved(bench: &Bench) -> std::path::PathBuf {
    bench.write("a/file", &"text ".repeat(10_000));
    bench.build("FROM scratch\nCOPY a a\nCMD echo\n").await.unwrap();
    let path = bench.path("shop.tar");
    let size = bench.images().save(&["shop:1.4"], &path).unwrap();
    assert_eq!(path.metadata().unwrap().len(), size);
    path
}

fn empty_images() -> (tempfile::TempDir, Images) {
    let directory = tempfile::tempdir().unwrap();
    let images = Images::open(directory.path()).unwrap();
    (directory, images)
}

#[tokio::test]
async fn a_saved_image_is_loaded_with_its_name_and_digest() {
    let bench = Bench::new();
    let path = saved(&bench).await;
    let (directory, images) = empty_images();
    assert_eq!(images.load(&path).unwrap(), ["docker.io/library/shop:1.4"]);
    let (ours, theirs) = (bench.images().get("shop:1.4").unwrap(), images.get("shop:1.4").unwrap());
    assert_eq!(ours.index_digest(), theirs.index_digest());
    assert_eq!(theirs.list_files().unwrap(), ["a/file"]);
    assert_eq!(images.load(&path).unwrap().len(), 1, "loading twice is fine");
    let packed = directory.path().join("packed.tar.zst");
    fs::write(&packed, zstd::encode_all(&fs::read(&path).unwrap()[..], 1).unwrap()).unwrap();
    assert_eq!(images.load(&packed).unwrap().len(), 1);
}

#[tokio::test]
async fn a_directory_that_is_an_oci_layout_is_loaded_as_its_archive_is() {
    let bench = Bench::new();
    let path = saved(&bench).await;
    let (directory, images) = empty_images();
    let layout = directory.path().join("layout");
    tar::Archive::new(fs::File::open(&path).unwrap()).unpack(&layout).unwrap();
    assert_eq!(images.load(&layout).unwrap(), ["docker.io/library/shop:1.4"]);
    let (ours, theirs) = (bench.images().get("shop:1.4").unwrap(), images.get("shop:1.4").unwrap());
    assert_eq!(ours.index_digest(), theirs.index_digest());

    // A blob that is only a link, even to the right bytes, is no part of it; nor is one with other bytes.
    let layer = layout.join("blobs/sha256").join(ours.layers()[0].digest.hex());
    let refused = || empty_images().1.load(&layout).unwrap_err().to_string();
    fs::rename(&layer, directory.path().join("outside")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("outside"), &layer).unwrap();
    assert!(refused().contains(&format!("it lacks {}", ours.layers()[0].digest)), "{}", refused());
    fs::remove_file(&layer).unwrap();
    fs::write(&layer, "other bytes").unwrap();
    assert!(refused().contains(&ours.layers()[0].digest.to_string()), "{}", refused());
    fs::remove_file(layout.join("index.json")).unwrap();
    assert!(refused().contains("it has no index.json"), "{}", refused());
}

#[tokio::test]
async fn archives_packed_with_what_is_not_read_say_so() {
    let (directory, images) = empty_images();
    for (start, kind) in [(&b"\xfd7zXZ\0\0\x04"[..], "xz"), (b"BZh91AY&SY", "bzip2")] {
        let path = directory.path().join("packed.tar");
        fs::write(&path, start).unwrap();
        let said = images.load(&path).unwrap_err().to_string();
        assert!(said.contains(&format!("it is packed with {kind}: unpack it, or pack it with gzip or zstd")), "{said}");
    }
}

#[tokio::test]
async fn an_archive_with_changed_or_missing_bytes_is_refused() {
    let bench = Bench::new();
    let path = saved(&bench).await;
    let whole = fs::read(&path).unwrap();
    let layer = bench.images().get("shop:1.4").unwrap().layers()[0].clone();
    let marker = format!("blobs/sha256/{}", layer.digest.hex());
    let at = whole.windows(marker.len()).position(|window| window == marker.as_bytes()).unwrap();
    let mut changed = whole.clone();
    changed[at + 512 + 20] ^= 1;
    let mut renamed = whole.clone();
    renamed[at..at + 5].copy_from_slice(b"blobz");
    let sum = |header: &[u8]| {
        header
            .iter()
            .enumerate()
            .map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte }))
            .sum::<u32>()
    };
    let checksum = format!("{:06o}\0 ", sum(&renamed[at..at + 512]));
    renamed[at + 148..at + 156].copy_from_slice(checksum.as_bytes());
    let cases = [
        (changed, layer.digest.to_string()),
        (renamed, format!("it lacks {}", layer.digest)),
        (whole[..whole.len() / 2].to_vec(), "it ends in the middle".to_owned()),
        (b"no tar at all, but long enough to fill a block ".repeat(20), "it is not a tar archive".to_owned()),
        (vec![0; 1024], "it has no index.json".to_owned()),
    ];
    for (bytes, expected) in cases {
        let (directory, images) = empty_images();
        let path = directory.path().join("bad.tar");
        fs::write(&path, bytes).unwrap();
        let message = images.load(&path).unwrap_err().to_string();
        assert!(message.contains(&expected), "{message}");
        assert!(images.list().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_corrupt_blob_is_named_and_never_returned() {
    let bench = Bench::new();
    let _archive = saved(&bench).await;
    let image = bench.images().get("shop:1.4").unwrap();
    let layer = image.layers()[0].clone();
    let blob = bench.images().content().blob_path(&layer.digest);
    let mut bytes = fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    make_writable(&blob);
    fs::write(&blob, bytes).unwrap();
    let target = bench.path("rootfs");
    let outcomes = [
        bench.images().save(&["shop:1.4"], &bench.path("again.tar")).map(drop),
        unpack(bench.images().content(), std::slice::from_ref(&layer), &target, &mut |_| {}),
    ];
    for outcome in outcomes {
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains(&layer.digest.to_string()) && message.contains("corrupt"), "{message}");
    }
    assert!(!bench.path("again.tar").exists() && !target.exists());
    // A corrupt document is named in the list, which still has the other images.
    bench.write("b/file", "other");
    let options = cloudimage::BuildOptions::named("other:1");
    bench.build_with("FROM scratch\nCOPY b b\n", &options).await.unwrap();
    let document = bench.images().content().blob_path(image.manifest_digest());
    make_writable(&document);
    fs::write(&document, "{}").unwrap();
    let list = bench.images().list().unwrap();
    assert_eq!(list.iter().map(|summary| summary.problem.is_some()).collect::<Vec<_>>(), [false, true]);
    assert!(list[1].problem.as_ref().unwrap().contains(&image.manifest_digest().to_string()));
    assert_eq!(bench.images().inspect("other:1").unwrap().sizes.shared_with, 0);
}

fn make_writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// A member of a hostile layer: raw path, type, link target, data, and the size its header claims.
struct Hostile<'a>(&'a str, tar::EntryType, &'a str, &'a [u8], Option<u64>);

fn hostile_layer(store: &Store, members: &[Hostile<'_>]) -> Layer {
    let mut bytes = Vec::new();
    for Hostile(path, kind, link, data, size) in members {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(size.unwrap_or(data.len() as u64));
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    let blob = store.put(&bytes).unwrap();
    Layer {
        digest: blob.digest,
        size: blob.size,
        media_type: format::LAYER_TAR.to_owned(),
        diff_id: None,
        created_by: String::new(),
    }
}

#[test]
fn hostile_layers_write_nothing_outside_their_root() {
    use tar::EntryType as Type;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("content")).unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let outside_text = outside.to_str().unwrap().to_owned();
    let up = "../".repeat(15) + outside_text.trim_start_matches('/');
    let refused = [
        vec![Hostile("../escape", Type::Regular, "", b"x", None)],
        vec![Hostile("a/../../escape", Type::Regular, "", b"x", None)],
        vec![Hostile("hard", Type::Link, "../../outside", b"", None)],
        vec![Hostile("big", Type::Regular, "", b"x", Some(1 << 32))],
        vec![Hostile("x", Type::XHeader, "", b"", Some(8_000_000_000))],
        vec![Hostile("x", Type::XHeader, "", b"garbage", None), Hostile("y", Type::Regular, "", b"", None)],
        vec![Hostile("sparse", Type::GNUSparse, "", b"", None)],
        vec![Hostile("loop", Type::Symlink, "loop", b"", None), Hostile("loop/x", Type::Regular, "", b"", None)],
        vec![Hostile("file", Type::Regular, "", b"", None), Hostile("file/x", Type::Regular, "", b"", None)],
    ];
    for members in refused {
        let layer = hostile_layer(&store, &members);
        let target = directory.path().join("rootfs");
        let error = unpack(&store, &[layer], &target, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Archive { .. } | Error::File { .. }), "{error}");
        assert!(!target.exists());
    }
    let kept_inside = [
        vec![
            Hostile("link", Type::Symlink, &outside_text, b"", None),
            Hostile("link/x", Type::Regular, "", b"x", None),
        ],
        vec![Hostile("link", Type::Symlink, &up, b"", None), Hostile("link/x", Type::Regular, "", b"x", None)],
        vec![Hostile("/absolute/x", Type::Regular, "", b"x", None)],
        vec![
            Hostile("d", Type::Directory, "", b"", None),
            Hostile("d/one", Type::Regular, "", b"x", None),
            Hostile("d", Type::Symlink, &outside_text, b"", None),
            Hostile("d/two", Type::Regular, "", b"x", None),
            Hostile("d/.wh.two", Type::Regular, "", b"", None),
            Hostile("d/.wh..wh..opq", Type::Regular, "", b"", None),
        ],
        vec![Hostile("out", Type::Symlink, &outside_text, b"", None), Hostile("out", Type::Regular, "", b"x", None)],
    ];
    fs::write(outside.join("precious"), "x").unwrap();
    for members in kept_inside {
        let layer = hostile_layer(&store, &members);
        let target = directory.path().join("rootfs");
        unpack(&store, &[layer], &target, &mut |_| {}).unwrap();
        let left: Vec<_> = fs::read_dir(&outside).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["precious"]);
    }
}

#[test]
fn an_archive_of_another_kind_is_explained() {
    let (directory, images) = empty_images();
    let index = json!({ "schemaVersion": 2, "manifests": [] });
    let mut tar = tar::Builder::new(Vec::new());
    let bytes = serde_json::to_vec(&index).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, "index.json", &bytes[..]).unwrap();
    let path = directory.path().join("empty.tar");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    assert!(images.load(&path).unwrap_err().to_string().contains("there is no image in it"));
    assert!(images.load(&directory.path().join("missing.tar")).unwrap_err().to_string().contains("missing.tar"));
    let _ = Digest::of(b"");
}
