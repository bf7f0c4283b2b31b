//! Small hostile archives and documents cost neither memory nor hours.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::fs;
use std::io::Write;
use std::path::Path;

use bench::Bench;
use cloudimage::{Error, Images};
use content_store::Digest;
use serde_json::{Value, json};

/// No attack may make this process larger than this; each of them took gigabytes.
const MOST: u64 = 900 << 20;

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// A tar whose members are written by `members`, compressed.
fn packed(members: impl FnOnce(&mut dyn FnMut(tar::EntryType, &str, &[u8]))) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    members(&mut |kind, path, data| {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        header.set_cksum();
        encoder.write_all(header.as_bytes()).unwrap();
        encoder.write_all(data).unwrap();
        encoder.write_all(&vec![0; data.len().next_multiple_of(512) - data.len()]).unwrap();
    });
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap()
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// 2,000 files, each below 1,000 directories of its own.
fn deep_names() -> Vec<u8> {
    packed(|add| {
        for index in 0..2_000 {
            let path = format!("{index:08}/{}x", "ab/".repeat(1_000));
            add(tar::EntryType::GNULongName, "longname", path.as_bytes());
            add(tar::EntryType::Regular, "short", b"");
        }
    })
}

/// One file with 400 attributes of 1 MB.
fn large_attributes() -> Vec<u8> {
    packed(|add| {
        for index in 0..400 {
            let record = record(&format!("SCHILY.xattr.user.{index}"), &vec![b'a'; 1_000_000]);
            add(tar::EntryType::XHeader, "pax", &record);
        }
        add(tar::EntryType::Regular, "file", b"");
    })
}

#[tokio::test]
async fn names_and_attributes_of_an_archive_have_a_budget() {
    for (what, archive) in [("names", deep_names()), ("attributes", large_attributes())] {
        assert!(archive.len() < 400_000, "{what}: a small archive, {} bytes", archive.len());
        let bench = Bench::new();
        bench.write("Kubefile", "");
        fs::write(bench.context().join("a.tar.zst"), &archive).unwrap();
        let error = bench.build("FROM scratch\nADD a.tar.zst .\n").await.unwrap_err();
        assert!(error.to_string().contains("its names and attributes take more than 256 MiB"), "{what}: {error}");
        assert!(peak() < MOST, "{what}: {} MiB", peak() >> 20);
    }
}

/// Writes an OCI archive of these blobs, compressed; returns its path.
fn archive(directory: &Path, index: &Value, blobs: &[Vec<u8>]) -> std::path::PathBuf {
    let bytes = packed(|add| {
        for blob in blobs {
            add(tar::EntryType::Regular, &format!("blobs/sha256/{}", Digest::of(blob).hex()), blob);
        }
        add(tar::EntryType::Regular, "index.json", &serde_json::to_vec(index).unwrap());
    });
    let path = directory.join("bad.tar.zst");
    fs::write(&path, bytes).unwrap();
    path
}

fn entry(digest: Digest, size: usize, name: &str) -> Value {
    json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest.to_string(), "size": size,
        "annotations": { "org.opencontainers.image.ref.name": name }
    })
}

#[test]
fn documents_are_read_into_their_types() {
    let directory = tempfile::tempdir().unwrap();
    let images = Images::open(directory.path()).unwrap();
    for count in [1_000_000, 20_000_000] {
        let document = format!(r#"{{"schemaVersion":2,"manifests":[],"x":[{}[]]}}"#, "[],".repeat(count)).into_bytes();
        let index = json!({ "schemaVersion": 2, "manifests": [entry(Digest::of(&document), document.len(), "a:1")] });
        let path = archive(directory.path(), &index, &[document]);
        assert!(path.metadata().unwrap().len() < 12_000);
        let error = images.load(&path).unwrap_err();
        assert!(matches!(error, Error::NoPlatform { .. } | Error::Store(_) | Error::NotAnImage { .. }), "{error}");
        assert!(peak() < MOST, "{} MiB", peak() >> 20);
    }
}

#[tokio::test]
async fn an_image_with_twelve_thousand_names_is_read_once() {
    let bench = Bench::new();
    // A megabyte in one document: to read it for each name would take minutes.
    bench.write("a/file", "x");
    let label = "x".repeat(60_000);
    let labels: String = (0..15).map(|index| format!("LABEL l{index}={label}\n")).collect();
    bench.build(&format!("FROM scratch\nCOPY a a\n{labels}")).await.unwrap();
    let path = bench.path("shop.tar");
    bench.images().save(&["shop:1.4"], &path).unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    let size = bench.images().content().size(image.index_digest()).unwrap();
    let name = |index| entry(*image.index_digest(), usize::try_from(size).unwrap(), &format!("shop:{}", index % 9));
    let index = json!({ "schemaVersion": 2, "manifests": (0..12_000).map(name).collect::<Vec<_>>() });
    let blobs: Vec<Vec<u8>> = bench
        .images()
        .content()
        .blobs()
        .unwrap()
        .iter()
        .map(|blob| fs::read(bench.images().content().blob_path(&blob.digest)).unwrap())
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let images = Images::open(&directory.path().join("root")).unwrap();
    images.load(&archive(directory.path(), &index, &blobs)).unwrap();
    assert_eq!(images.list().unwrap().len(), 9);
}

#[tokio::test]
async fn a_name_with_another_digest_is_refused_and_a_corrupt_blob_is_repaired() {
    let bench = Bench::new();
    bench.write("a/file", "x");
    bench.build("FROM scratch\nCOPY a a\n").await.unwrap();
    let path = bench.path("shop.tar");
    bench.images().save(&["shop:1.4"], &path).unwrap();
    let content = bench.images().content();
    let layer = bench.images().get("shop:1.4").unwrap().layers()[0].digest;
    fs::remove_file(content.blob_path(&layer)).unwrap();
    fs::write(content.blob_path(&layer), "something else").unwrap();
    bench.images().load(&path).unwrap();
    content.verify(&layer).unwrap();

    let digest = *bench.images().get("shop:1.4").unwrap().index_digest();
    let document = fs::read(content.blob_path(&digest)).unwrap();
    let name = format!("shop@{}", Digest::of(b"another"));
    let index = json!({ "schemaVersion": 2, "manifests": [entry(digest, document.len(), &name)] });
    let error = bench.images().load(&archive(&bench.path(""), &index, &[document])).unwrap_err();
    assert!(error.to_string().contains(&format!("is the name of {digest}")), "{error}");
}

mod documents {
    use content_store::Store;
    use proptest::prelude::*;
    use proptest::test_runner::FileFailurePersistence;

    use cloudimage::Image;

    /// A document of an image with some bytes changed, cut off or put in.
    fn changed(document: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec!["null", "{}", "[]", "-1", "\"\"", "1e999", "\"\\u0000\"", "[[[[", "}"]);
        (0..document.len(), 0..document.len(), pieces, any::<bool>()).prop_map(move |(from, length, piece, cut)| {
            let bytes = document.as_bytes();
            let end = if cut { bytes.len() } else { (from + length % 40).min(bytes.len()) };
            [&bytes[..from], piece.as_bytes(), &bytes[end..]].concat()
        })
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))), ..ProptestConfig::default() })]

        #[test]
        fn no_document_makes_the_reader_panic(
            index in changed(concat!(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":"#,
                r#"[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","#,
                r#""size":0,"platform":{"os":"linux","architecture":"amd64"},"annotations":{"io.sealer.manifest.kind":"x"}}]}"#)),
            manifest in changed(concat!(r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"#,
                r#""sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[{"mediaType":"a/b","digest":"#,
                r#""sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}],"annotations":{"sealer.image.extension":"{}"}}"#)),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path()).unwrap();
            store.put(b"").unwrap();
            for document in [&index, &manifest] {
                let blob = store.put(document).unwrap();
                // Also as what an index points at.
                let text = String::from_utf8_lossy(&index).replace(DIGEST, &blob.digest.to_string());
                let pointing = store.put(text.as_bytes()).unwrap();
                for digest in [blob.digest, pointing.digest] {
                    let _ = Image::from_content(&store, &digest).map(|image| image.list_files().map(drop));
                }
            }
        }
    }
}
