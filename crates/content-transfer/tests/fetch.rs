//! Fetching brings only what is missing, verified, resumed, once, and can be cancelled.
#![allow(clippy::unwrap_used)]

use content_store::{Digest, Reference, Store};
use content_transfer::{Error, Event, Fetcher, Options, Origin, Wanted};
use registry_client::contract::Fixture;
use registry_client::{ACCEPT, Memory, Registry};
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

struct Bench {
    store: Store,
    memory: Memory,
    fixture: Fixture,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (memory, fixture) = (Memory::default(), Fixture::new("registry.example"));
        fixture.fill(&memory);
        Self { store, memory, fixture, _directory: directory }
    }

    fn origin(&self) -> [Origin<'_>; 1] {
        [Origin::new(&self.memory, self.fixture.image.clone())]
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(&self.store, Options::default())
    }

    fn wanted(&self) -> Vec<Wanted> {
        self.fixture.blobs.iter().map(|blob| Wanted::new(Digest::of(blob), Some(blob.len() as u64))).collect()
    }

    fn large(&self) -> Wanted {
        self.wanted()[2]
    }

    /// How often the blob was asked for.
    fn requests(&self, digest: &Digest) -> usize {
        self.memory.requested().iter().filter(|title| title.contains(&digest.to_string())).count()
    }
}

#[tokio::test]
async fn only_what_is_missing_is_fetched() {
    let bench = Bench::new();
    bench.store.put(&bench.fixture.blobs[0]).unwrap();
    let document = bench.fetcher().document(&bench.origin()).await.unwrap();
    assert_eq!((&document.bytes, document.media_type.as_str()), (&bench.fixture.manifest, ACCEPT[1]));
    bench.fetcher().blobs(&bench.origin(), bench.wanted(), &|_| {}).await.unwrap();
    let requests: Vec<usize> = bench.wanted().iter().map(|blob| bench.requests(&blob.digest)).collect();
    assert_eq!(requests, [0, 1, 1]);
    for blob in bench.wanted() {
        bench.store.verify(&blob.digest).unwrap();
    }
    let before = bench.memory.requested().len();
    let pinned = [Origin::new(&bench.memory, bench.fixture.image.with_digest(document.digest))];
    assert_eq!(bench.fetcher().document(&pinned).await.unwrap(), document);
    bench.fetcher().blobs(&pinned, bench.wanted(), &|_| {}).await.unwrap();
    assert_eq!(bench.memory.requested().len(), before, "everything is here, nothing is asked");
}

#[tokio::test]
async fn wrong_bytes_never_count_as_the_blob_and_another_origin_helps() {
    let bench = Bench::new();
    let blob = bench.large();
    let liar = Memory::default();
    let elsewhere: Reference = "liar.example/contract/shop:1.4".parse().unwrap();
    liar.add_blob_as(&elsewhere, blob.digest, vec![7; bench.fixture.blobs[2].len()]);
    let lies = [Origin::new(&liar, elsewhere)];
    let error = bench.fetcher().blobs(&lies, [blob], &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Store(content_store::Error::Mismatch { .. })), "{error:?}");
    assert!(!bench.store.contains(&blob.digest));
    let both = [lies[0].clone(), bench.origin()[0].clone()];
    bench.fetcher().blobs(&both, [blob], &|_| {}).await.unwrap();
    bench.store.verify(&blob.digest).unwrap();
    let longer = Wanted::new(Digest::of(&bench.fixture.blobs[1]), Some(3));
    assert!(bench.fetcher().blobs(&bench.origin(), [longer], &|_| {}).await.is_err(), "more bytes than announced");
    assert!(matches!(
        bench.fetcher().blobs(&[], [longer], &|_| {}).await,
        Err(Error::NoOrigin { digest }) if digest == longer.digest
    ));
}

#[tokio::test]
async fn a_cut_transfer_is_continued_where_it_stopped() {
    let bench = Bench::new();
    let blob = bench.large();
    let half = blob.size.unwrap() / 2;
    bench.memory.break_blob(&blob.digest);
    let cut = bench.fetcher().blobs(&bench.origin(), [blob], &|_| {}).await;
    assert!(matches!(cut, Err(Error::Registry(_))), "{cut:?}");
    assert!(!bench.store.contains(&blob.digest));
    let events = Mutex::new(Vec::new());
    let tell = |event| events.lock().unwrap().push(event);
    bench.fetcher().blobs(&bench.origin(), [blob], &tell).await.unwrap();
    bench.store.verify(&blob.digest).unwrap();
    let events = events.into_inner().unwrap();
    let Event::Blob { bytes, fetched, done, .. } = events[0] else { panic!("{events:?}") };
    assert_eq!((bytes, fetched, done), (half, 0, false), "the first half is here");
    let Some(Event::Blob { bytes, fetched, done, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!((*bytes, *fetched, *done), (blob.size.unwrap(), blob.size.unwrap() - half, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fetches_of_one_blob_at_once_transfer_it_once() {
    let bench = Bench::new();
    let blob = bench.large();
    let (one, other) = (bench.fetcher(), bench.fetcher());
    let (origin, tell) = (bench.origin(), |_| {});
    let same = futures_util::future::join(one.blobs(&origin, [blob], &tell), one.blobs(&origin, [blob], &tell));
    let results = futures_util::future::join(same, other.blobs(&origin, [blob], &tell)).await;
    let ((first, second), third) = results;
    first.and(second).and(third).unwrap();
    assert_eq!(bench.requests(&blob.digest), 1, "also between fetchers that know nothing of each other");
}

#[tokio::test]
async fn a_cancelled_fetch_leaves_nothing_that_counts_as_whole() {
    let bench = Bench::new();
    let blob = bench.large();
    let cancel = CancellationToken::new();
    let mut options = Options::default();
    options.cancel = cancel.clone();
    let tell = |event| {
        if matches!(event, Event::Blob { fetched, .. } if fetched > 1_000_000) {
            cancel.cancel();
        }
    };
    let fetcher = Fetcher::new(&bench.store, options);
    let cancelled = fetcher.blobs(&bench.origin(), [blob], &tell).await;
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    assert!(!bench.store.contains(&blob.digest));
    assert!(matches!(fetcher.document(&bench.origin()).await, Err(Error::Cancelled)));
    bench.fetcher().blobs(&bench.origin(), [blob], &|_| {}).await.unwrap();
    bench.store.verify(&blob.digest).unwrap();
}

#[test]
fn fetches_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let bench = Bench::new();
    let registry: &dyn Registry = &bench.memory;
    let origin = [Origin::new(registry, bench.fixture.image.clone())];
    let fetcher = bench.fetcher();
    is_send(fetcher.document(&origin));
    is_send(fetcher.blobs(&origin, bench.wanted(), &|_| {}));
}
