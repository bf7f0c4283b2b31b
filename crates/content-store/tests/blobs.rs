//! Blobs are whole and verified, or not there.
#![allow(clippy::unwrap_used)]

use content_store::{Digest, Error, Store};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("deep/content")).unwrap();
    (directory, store)
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn ingest(store: &Store) -> Vec<String> {
    files(&store.root().join("ingest"))
}

#[test]
fn a_new_store_is_an_oci_image_layout() {
    let (_directory, store) = store();
    assert_eq!(fs::read_to_string(store.root().join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let index: serde_json::Value = serde_json::from_slice(&fs::read(store.root().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["manifests"], serde_json::json!([]));
    assert!(store.root().join("blobs/sha256").is_dir());
}

#[test]
fn blobs_of_all_sizes_come_back_as_they_went_in() {
    let (_directory, store) = store();
    for size in [0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_003] {
        let bytes: Vec<u8> = (0..size).map(|number: u32| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        for step in [bytes.len().max(1), 700_001, 4096] {
            let mut writer = store.writer().unwrap();
            for chunk in bytes.chunks(step) {
                writer.write_all(chunk).unwrap();
            }
            assert_eq!(writer.size(), u64::from(size));
            let blob = writer.commit(Some(&Digest::of(&bytes))).unwrap();
            assert_eq!((blob.digest, blob.size), (Digest::of(&bytes), u64::from(size)));
        }
        let digest = Digest::of(&bytes);
        assert!(store.contains(&digest));
        assert_eq!(store.size(&digest).unwrap(), u64::from(size));
        assert_eq!(store.read_verified(&digest, 10 << 20).unwrap(), bytes);
        let mut read = Vec::new();
        let mut reader = store.verified_reader(&digest).unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes && reader.is_verified());
        store.verify(&digest).unwrap();
        assert_eq!(fs::read(store.blob_path(&digest)).unwrap(), bytes, "plain files, as the layout wants");
    }
    assert_eq!(store.blobs().unwrap().len(), 7);
    assert_eq!(ingest(&store), Vec::<String>::new());
}

#[test]
fn an_unfinished_or_wrong_blob_leaves_nothing() {
    let (_directory, store) = store();
    let mut writer = store.writer().unwrap();
    writer.write_all(b"half").unwrap();
    assert_eq!(ingest(&store).len(), 1);
    drop(writer);
    assert_eq!(ingest(&store), Vec::<String>::new());

    let mut writer = store.writer().unwrap();
    writer.write_all(b"other").unwrap();
    let error = writer.commit(Some(&Digest::of(b"this"))).unwrap_err();
    assert!(
        matches!(error, Error::Mismatch { expected, found, size: 5 } if expected == Digest::of(b"this") && *found == Digest::of(b"other"))
    );
    assert_eq!(ingest(&store), Vec::<String>::new());
    assert!(store.blobs().unwrap().is_empty());
}

#[test]
fn a_writer_takes_no_more_than_its_limit() {
    let (_directory, store) = store();
    let mut writer = store.writer().unwrap().with_limit(5);
    writer.write_all(b"hello").unwrap();
    assert_eq!(writer.write_all(b"!").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    let digest = Digest::of(b"longer than five");
    let mut partial = store.partial(&digest).unwrap().with_limit(5);
    assert_eq!(partial.write_all(b"longer").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn what_is_not_there_is_missing() {
    let (_directory, store) = store();
    let digest = Digest::of(b"absent");
    assert!(!store.contains(&digest));
    for error in [
        store.size(&digest).unwrap_err(),
        store.open_blob(&digest).unwrap_err(),
        store.read_verified(&digest, 10).unwrap_err(),
        store.verified_reader(&digest).unwrap_err(),
        store.verify(&digest).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Missing { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&digest.to_string()) && text.contains(&store.root().display().to_string()), "{text}");
    }
}

#[test]
fn a_corrupt_blob_is_named_and_never_returned() {
    let (_directory, store) = store();
    let blob = store.put(b"precious").unwrap();
    let path = store.blob_path(&blob.digest);
    for damage in [&b"prexious"[..], b"precious and more", b"prec", b""] {
        fs::write(&path, damage).unwrap();
        let mut read = Vec::new();
        let streamed = store.verified_reader(&blob.digest).unwrap().read_to_end(&mut read).unwrap_err();
        assert_eq!(streamed.kind(), io::ErrorKind::InvalidData);
        let inner = streamed.into_inner().unwrap().downcast::<Error>().unwrap();
        for error in
            [store.read_verified(&blob.digest, 100).unwrap_err(), store.verify(&blob.digest).unwrap_err(), *inner]
        {
            assert!(
                matches!(&error, Error::Corrupt { digest, path: at, found } if *digest == blob.digest && *at == path && **found == Digest::of(damage))
            );
            let text = error.to_string();
            assert!(text.contains(&blob.digest.to_string()) && text.contains(&path.display().to_string()), "{text}");
        }
        // Writing it again heals it.
        let mut writer = store.writer().unwrap();
        writer.write_all(b"precious").unwrap();
        writer.commit(None).unwrap();
        store.verify(&blob.digest).unwrap();
        fs::write(&path, damage).unwrap();
        store.put(b"precious").unwrap();
        store.verify(&blob.digest).unwrap();
    }
}

#[test]
fn a_failed_reader_stays_failed() {
    let (_directory, store) = store();
    let blob = store.put(b"precious").unwrap();
    fs::write(store.blob_path(&blob.digest), b"prexious").unwrap();
    let mut reader = store.verified_reader(&blob.digest).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(reader.read(&mut buffer).unwrap(), 8);
    assert!(reader.read(&mut buffer).is_err());
    assert!(reader.read(&mut buffer).is_err());
    assert!(!reader.is_verified());
}

#[test]
fn documents_have_a_limit() {
    let (_directory, store) = store();
    let blob = store.put(b"12345").unwrap();
    assert_eq!(store.read_verified(&blob.digest, 5).unwrap(), b"12345");
    let error = store.read_verified(&blob.digest, 4).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 4, .. }));
    assert!(error.to_string().contains(&blob.digest.to_string()));
}

#[test]
fn a_partial_blob_goes_on_where_it_stopped() {
    let (_directory, store) = store();
    let digest = Digest::of(b"hello world");
    let mut partial = store.partial(&digest).unwrap();
    assert_eq!(partial.offset(), 0);
    partial.write_all(b"hello").unwrap();
    drop(partial);
    assert!(!store.contains(&digest));

    let again = Store::open(store.root()).unwrap();
    let mut partial = again.partial(&digest).unwrap();
    assert_eq!(partial.offset(), 5, "opening the store anew keeps what can be continued");
    partial.write_all(b" world").unwrap();
    let blob = partial.commit().unwrap();
    assert_eq!((blob.digest, blob.size), (digest, 11));
    assert_eq!(store.read_verified(&digest, 100).unwrap(), b"hello world");
    assert_eq!(ingest(&store), Vec::<String>::new());
}

#[test]
fn a_partial_blob_with_wrong_bytes_is_thrown_away() {
    let (_directory, store) = store();
    let digest = Digest::of(b"hello world");
    let mut partial = store.partial(&digest).unwrap();
    partial.write_all(b"hello there").unwrap();
    assert!(matches!(partial.commit(), Err(Error::Mismatch { size: 11, .. })));
    assert!(!store.contains(&digest));
    let mut partial = store.partial(&digest).unwrap();
    assert_eq!(partial.offset(), 0);
    partial.write_all(b"junk").unwrap();
    partial.restart().unwrap();
    partial.write_all(b"hello world").unwrap();
    partial.commit().unwrap();
    store.verify(&digest).unwrap();
}

#[test]
fn two_writers_of_the_same_partial_blob_take_turns() {
    let (_directory, store) = store();
    let bytes = b"written by one of many";
    let digest = Digest::of(bytes);
    let wrote: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                let store = Store::open(store.root()).unwrap();
                scope.spawn(move || {
                    let mut partial = store.partial(&digest).unwrap();
                    if store.contains(&digest) {
                        return 0;
                    }
                    partial.write_all(bytes).unwrap();
                    partial.commit().unwrap();
                    1
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(wrote, 1, "the others found it there");
    store.verify(&digest).unwrap();
}

#[test]
fn many_threads_write_the_same_and_other_blobs() {
    let (_directory, store) = store();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let store = if thread % 2 == 0 { store.clone() } else { Store::open(store.root()).unwrap() };
            scope.spawn(move || {
                for number in 0..40_u32 {
                    let own = format!("{thread} {number}");
                    store.put(own.as_bytes()).unwrap();
                    store.put(&number.to_le_bytes()).unwrap();
                }
            });
        }
    });
    let blobs = store.blobs().unwrap();
    assert_eq!(blobs.len(), 4 * 40 + 40);
    for blob in blobs {
        store.verify(&blob.digest).unwrap();
    }
    assert_eq!(ingest(&store), Vec::<String>::new());
}

#[test]
fn what_a_dead_process_left_is_removed_only_when_nobody_writes() {
    let (_directory, store) = store();
    let leftover = store.root().join("ingest/write-1-2-3");
    fs::write(&leftover, b"half").unwrap();
    let writer = store.writer().unwrap();
    let other = Store::open(store.root()).unwrap();
    assert!(leftover.exists(), "it may belong to somebody who still writes");
    drop(writer);
    drop(other);
    Store::open(store.root()).unwrap();
    assert!(!leftover.exists());
}

#[test]
fn a_directory_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"9.0.0"}"#).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Layout { .. }) && error.to_string().contains("9.0.0"), "{error}");
    fs::write(directory.path().join("oci-layout"), "{}").unwrap();
    assert!(matches!(Store::open(directory.path()), Err(Error::Layout { .. })));
    fs::write(directory.path().join("plain"), "").unwrap();
    let error = Store::open(&directory.path().join("plain/content")).unwrap_err();
    assert!(error.to_string().contains("plain/content"), "{error}");
}
