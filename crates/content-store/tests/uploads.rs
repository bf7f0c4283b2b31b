//! Uploads over several attempts become blobs once, and are nobody's garbage meanwhile.
#![allow(clippy::unwrap_used)]

use content_store::{Algorithm, Digest, Error, Store};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_upload_is_continued_and_committed_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut upload = store.start_upload("a1").unwrap();
    upload.write_all(b"first ").unwrap();
    assert!(matches!(store.upload("a1").unwrap_err(), Error::Busy { .. }), "one at a time writes");
    drop(upload);
    // Neither another process that opens the store nor a collection takes it.
    let store = Store::open(directory.path()).unwrap();
    store.collect_garbage().unwrap();
    let mut upload = store.upload("a1").unwrap().unwrap();
    assert_eq!(upload.offset(), 6);
    upload.write_all(b"second").unwrap();
    let digest = Algorithm::Sha512.digest(b"first second");
    assert_eq!(upload.commit(&digest).unwrap().size, 12);
    assert!(store.upload("a1").unwrap().is_none(), "it is a blob now");
    store.verify(&digest).unwrap();
    let mode = std::fs::metadata(store.blob_path(&digest)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    // Fresh, although no name reaches it; deleted nevertheless by whoever asks for that.
    store.collect_garbage().unwrap();
    assert!(store.contains(&digest));
    assert!(store.alone().unwrap().remove_unnamed(&digest).unwrap());
    assert!(!store.contains(&digest));
}

#[test]
fn wrong_bytes_and_names_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut upload = store.start_upload("a1").unwrap();
    upload.write_all(b"x").unwrap();
    assert!(matches!(upload.commit(&Digest::of(b"y")).unwrap_err(), Error::Mismatch { size: 1, .. }));
    assert!(store.upload("a1").unwrap().is_none() && store.blobs().unwrap().is_empty());
    for id in ["", "../lock", "a.b", &"a".repeat(65)] {
        assert!(store.start_upload(id).is_err() && store.upload(id).unwrap().is_none(), "{id}");
    }
    store.start_upload("a2").unwrap().cancel().unwrap();
    assert!(store.upload("a2").unwrap().is_none());
}

#[test]
fn a_check_finds_what_is_corrupt_and_what_is_missing() {
    use content_store::{Descriptor, MediaType, NameKind};
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let [config, layer] = [b"{}".as_slice(), b"layer"].map(|bytes| store.put(bytes).unwrap().digest);
    let document = serde_json::json!({ "config": { "digest": config }, "layers": [{ "digest": layer }] });
    let manifest = store.put(document.to_string().as_bytes()).unwrap();
    let descriptor = Descriptor::new(MediaType::ImageManifest, manifest.size, manifest.digest);
    store.set_name(NameKind::PushedImage, "a:1", &descriptor).unwrap();
    let check = store.check().unwrap();
    assert_eq!((check.blobs, check.problems.len()), (3, 0));
    std::fs::write(store.blob_path(&config), b"[]").unwrap();
    std::fs::remove_file(store.blob_path(&layer)).unwrap();
    let problems = store.check().unwrap().problems;
    assert!(problems[&config].contains("corrupt") && problems[&layer].contains("a:1 needs it"), "{problems:?}");
}
