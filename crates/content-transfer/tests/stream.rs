//! A blob is read while it comes into the store: once for everybody, resumed, verified before its end.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use content_store::{Digest, Store};
use content_transfer::{BlobOrigin, Downloads};
use futures_util::TryStreamExt;
use registry_client::Memory;
use registry_client::contract::Fixture;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex};

struct Bench {
    store: Store,
    memory: Arc<Memory>,
    fixture: Fixture,
    downloads: Downloads,
    /// What could not be kept.
    unkept: Arc<Mutex<Vec<Digest>>>,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (memory, fixture) = (Arc::new(Memory::default()), Fixture::new("registry.example"));
        fixture.fill(&memory);
        let unkept = Arc::new(Mutex::new(Vec::new()));
        let told = unkept.clone();
        let downloads = Downloads::new(&store, 4, move |digest, _| told.lock().unwrap().push(*digest));
        Self { unkept, store, memory, fixture, downloads, _directory: directory }
    }

    fn origin(&self) -> BlobOrigin {
        BlobOrigin { registry: self.memory.clone(), image: self.fixture.image.clone() }
    }

    async fn read(&self, digest: Digest, range: Option<Range<u64>>) -> Result<Vec<u8>, String> {
        self.read_from(digest, vec![self.origin()], range).await
    }

    async fn read_from(
        &self,
        digest: Digest,
        origins: Vec<BlobOrigin>,
        range: Option<Range<u64>>,
    ) -> Result<Vec<u8>, String> {
        let opened = self.downloads.open(digest, origins).await;
        let download = opened.map_err(|error| error.to_string())?;
        let range = range.unwrap_or(0..download.size());
        let bytes = download.read(range).try_fold(Vec::new(), |mut all, piece: Bytes| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        });
        bytes.await.map_err(|error| error.to_string())
    }

    fn requests(&self, digest: &Digest) -> usize {
        self.memory.requested().iter().filter(|title| title.contains(&digest.to_string())).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_one_blob_share_its_transfer() {
    let bench = Bench::new();
    for bytes in &bench.fixture.blobs {
        let digest = Digest::of(bytes);
        let size = bytes.len() as u64;
        let whole = (0..8).map(|_| bench.read(digest, None));
        let part = bench.read(digest, Some(size / 2..size));
        let (whole, part) = futures_util::future::join(futures_util::future::join_all(whole), part).await;
        assert!(whole.into_iter().all(|read| read.unwrap() == bytes[..]));
        assert_eq!(part.unwrap(), bytes[bytes.len() / 2..]);
        assert_eq!(bench.requests(&digest), 1);
        assert_eq!(bench.read(digest, None).await.unwrap(), bytes[..], "what is in the store is not asked for");
        assert_eq!(bench.requests(&digest), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_transfer_left_is_read_too() {
    let bench = Bench::new();
    let bytes = &bench.fixture.blobs[2];
    let digest = Digest::of(bytes);
    let mut partial = bench.store.partial(&digest).unwrap();
    partial.write_all(&bytes[..1_000_000]).unwrap();
    drop(partial);
    assert!(bench.read(digest, None).await.unwrap() == bytes[..]);
    let other = Bench::new();
    let mut partial = other.store.partial(&digest).unwrap();
    partial.write_all(&vec![7; 4_000_000]).unwrap();
    drop(partial);
    assert!(other.read(digest, None).await.unwrap() == bytes[..], "what is longer than the blob is thrown away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_reaches_every_reader_and_the_next_one_starts_anew() {
    let bench = Bench::new();
    let bytes = bench.fixture.blobs[2].clone();
    let digest = Digest::of(&bytes);
    bench.memory.add_blob_as(&bench.fixture.image, digest, vec![1; bytes.len()]);
    for read in futures_util::future::join_all((0..4).map(|_| bench.read(digest, None))).await {
        assert!(read.unwrap_err().contains("wrong content"));
    }
    assert!(!bench.store.contains(&digest));
    let absent = bench.read(Digest::of(b"nobody has this"), None).await.unwrap_err();
    assert!(absent.contains("is not on"), "{absent}");
    bench.memory.add_blob_as(&bench.fixture.image, digest, bytes.clone());
    assert!(bench.read(digest, None).await.unwrap() == bytes[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_wrong_bytes_the_next_origin_is_asked() {
    let bench = Bench::new();
    for bytes in &bench.fixture.blobs {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        let liar = Memory::default();
        liar.add_blob_as(&bench.fixture.image, digest, vec![7; bytes.len()]);
        let liar = BlobOrigin { registry: Arc::new(liar), image: bench.fixture.image.clone() };
        let both = vec![liar, bench.origin()];
        // A part is handed out when all is verified, so nothing wrong was.
        let part = bench.read_from(digest, both, Some(size / 2..size)).await.unwrap();
        assert_eq!(part, bytes[bytes.len() / 2..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_and_cannot_be_kept_is_read_and_told() {
    let bench = Bench::new();
    let bytes = &bench.fixture.blobs[2];
    let digest = Digest::of(bytes);
    // A directory where the blob belongs.
    std::fs::create_dir_all(bench.store.blob_path(&digest).join("in-the-way")).unwrap();
    assert!(bench.read(digest, None).await.unwrap() == bytes[..]);
    for _ in 0..1000 {
        if !bench.unkept.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(*bench.unkept.lock().unwrap(), [digest]);
}
