//! Faults of fetches.

use super::{Bench, large};
use crate::fault_proxy::{Asked, Fault, FaultProxy};
use content_store::{Digest, Store};
use content_transfer::{Error, Fetcher, Options, Origin};
use http::Method;
use registry_client::{Https, LoginFiles, Registry};
use std::time::{Duration, Instant};

/// A registry that has the image, and a proxy that makes faults when its large blob is read.
async fn bench(plan: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> (Bench, Store) {
    let digest = Digest::of(&large()).to_string();
    let bench = Bench::new(move |asked| {
        let is_large = asked.is(&Method::GET, "blob") && asked.path.contains(&digest);
        if is_large { plan(asked) } else { Fault::None }
    })
    .await;
    bench.send("team/shop:1").await.unwrap();
    bench.proxy.forget();
    let store = bench.other_store();
    (bench, store)
}

/// Where requests for the large blob began.
fn starts(bench: &Bench) -> Vec<usize> {
    let digest = bench.large().to_string();
    let asked = bench.proxy.asked().into_iter().filter(|asked| asked.path.contains(&digest));
    let number = |range: String| range.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap();
    asked.map(|asked| asked.range.map_or(0, number)).collect()
}

fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_is_continued_where_it_stopped() {
    for after in [1, 4_000_000, 10_000_018] {
        let (bench, store) =
            bench(move |asked| if asked.range.is_none() { Fault::CutDownload(after) } else { Fault::None }).await;
        bench.fetch("team/shop:1", &store).await.unwrap();
        store.verify(&bench.large()).unwrap();
        let starts = starts(&bench);
        assert!(starts.len() == 2 && starts[1] > 0 && starts[1] <= after, "{starts:?} after a cut at {after}");
    }
    // Cut each time, but with some bytes each time: it comes to its end.
    let (bench, store) = bench(|_| Fault::CutDownload(1_500_000)).await;
    bench.fetch("team/shop:1", &store).await.unwrap();
    let starts = starts(&bench);
    assert!(starts.len() >= 7 && starts.is_sorted(), "{starts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_continues_a_download() {
    let (bench, store) =
        bench(|asked| if asked.range.is_none() { Fault::StallDownload(6_000_000) } else { Fault::None }).await;
    let killed = tokio::time::timeout(Duration::from_secs(4), bench.fetch("team/shop:1", &store)).await;
    assert!(killed.is_err(), "it stalls");
    // Another fetcher knows only what is in the store.
    bench.fetch("team/shop:1", &store).await.unwrap();
    store.verify(&bench.large()).unwrap();
    let starts = starts(&bench);
    assert!(starts.len() == 2 && starts[1] > 5_000_000, "{starts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_ranges_still_finishes_what_was_begun() {
    let (bench, store) = bench(|asked| match asked.range {
        None => Fault::CutDownload(6_000_000),
        Some(_) => Fault::IgnoreRange,
    })
    .await;
    bench.fetch("team/shop:1", &store).await.unwrap();
    store.verify(&bench.large()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_pass_are_waited_for() {
    for (fault, least) in [
        (Fault::Answer(429, "retry-after", "1".to_owned()), Duration::from_secs(1)),
        (Fault::Answer(503, "x-fault", "1".to_owned()), Duration::from_millis(200)),
        (Fault::Answer(401, "www-authenticate", "Basic realm=\"fake\"".to_owned()), Duration::ZERO),
    ] {
        // In the middle: the first request is cut, the second refused.
        let refusal = fault.clone();
        let (bench, store) = bench(move |asked| match (&asked.range, asked.nth) {
            (None, _) => Fault::CutDownload(3_000_000),
            (Some(_), nth) if nth < 4 => refusal.clone(),
            _ => Fault::None,
        })
        .await;
        let start = Instant::now();
        bench.fetch("team/shop:1", &store).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        store.verify(&bench.large()).unwrap();
        assert!(start.elapsed() >= least, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_on_another_host_is_fetched_without_the_login() {
    let (bench, store) = bench(|_| Fault::None).await;
    // Storage that would notice a login, behind a registry that leads there.
    let storage = FaultProxy::start(&bench.registry.host, |_| Fault::None).await;
    let host = storage.host.replace("127.0.0.1", "localhost");
    let front = FaultProxy::start(&bench.registry.host, move |asked| match asked.path.as_str() {
        "/v2/" => Fault::Answer(401, "www-authenticate", "Basic realm=\"fake\"".to_owned()),
        _ if asked.is(&Method::GET, "blob") => Fault::Redirect(host.clone()),
        _ => Fault::None,
    })
    .await;
    let mut options = registry_client::Options::default();
    let config = bench.directory.path().join("config.json");
    // me:hunter2
    std::fs::write(&config, format!(r#"{{"auths":{{"{}":{{"auth":"bWU6aHVudGVyMg=="}}}}}}"#, front.host)).unwrap();
    options.logins = LoginFiles::new(vec![config], false);
    let registry = Https::new(options).unwrap();
    let origin = [Origin::new(&registry, format!("{}/team/shop:1", front.host).parse().unwrap())];
    let wanted = bench.manifests()[0].blobs.clone();
    Fetcher::new(&store, Options::default()).blobs(&origin, wanted, &|_| {}).await.unwrap();
    store.verify(&bench.large()).unwrap();
    assert!(front.asked().iter().any(|asked| asked.authorization.is_some()), "the registry gets the login");
    assert_eq!(storage.count(&Method::GET, "blob"), 3);
    assert!(storage.asked().iter().all(|asked| asked.authorization.is_none()), "the storage does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_and_lies_about_the_length_never_become_a_blob() {
    for (fault, part) in [
        (Fault::Flip, "wrong content"),
        (Fault::ClaimShorter(4), "wrong content"),
        (Fault::ClaimLonger(4), "broke off"),
    ] {
        let lie = fault.clone();
        let (bench, store) = bench(move |_| lie.clone()).await;
        let error = bench.fetch("team/shop:1", &store).await.unwrap_err();
        let text = whole(&error);
        assert!(text.contains(&bench.large().to_string()) && text.contains(part), "{fault:?}: {text}");
        assert!(!store.contains(&bench.large()), "{fault:?}");
        // What is left of it is no obstacle once the registry is honest.
        let honest = Https::new(registry_client::Options::default()).unwrap();
        let origin =
            [Origin::new(&honest as &dyn Registry, format!("{}/team/shop:1", bench.registry.host).parse().unwrap())];
        let wanted = bench.manifests()[0].blobs.clone();
        let fetcher = Fetcher::new(&store, Options::default());
        fetcher.blobs(&origin, wanted, &|_| {}).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        store.verify(&bench.large()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_bytes_than_announced_are_refused() {
    let (bench, store) = bench(|_| Fault::None).await;
    let registry = Https::new(registry_client::Options::default()).unwrap();
    let origin = [Origin::new(&registry, bench.image("team/shop:1"))];
    let mut wanted = bench.manifests()[0].blobs.clone();
    wanted[2].size = Some(1_000_000);
    let error = Fetcher::new(&store, Options::default()).blobs(&origin, wanted, &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Store(content_store::Error::TooLarge { limit: 1_000_000, .. })), "{error:?}");
    let held: u64 = std::fs::read_dir(store.root().join("ingest"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(held <= 1_000_000, "{held} bytes on the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_is_refused() {
    let bench = Bench::new(|asked| if asked.is(&Method::GET, "manifest") { Fault::Flip } else { Fault::None }).await;
    bench.send("team/shop:1").await.unwrap();
    let (store, registry) = (bench.other_store(), Https::new(registry_client::Options::default()).unwrap());
    let pinned = bench.image("team/shop:1").with_digest(Digest::of(&bench.fixture.manifest));
    for name in [bench.image("team/shop:1"), pinned] {
        let error =
            Fetcher::new(&store, Options::default()).document(&[Origin::new(&registry, name)]).await.unwrap_err();
        assert!(matches!(error, Error::Registry(registry_client::Error::WrongContent { .. })), "{error:?}");
    }
    assert!(store.blobs().unwrap().is_empty());
}
