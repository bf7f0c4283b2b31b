//! Tags hold for a while, are compared then, and are answered stale when nobody can be asked.

use super::{Bench, REGISTRY};
use crate::fault_proxy::Fault;
use content_store::{Digest, MediaType};
use http::{Method, StatusCode};
use registry_proxy::Event;

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_holds_for_its_time() {
    let bench = Bench::new().await;
    let clients = (0..16).map(|_| async { bench.manifest("1.4").await.bytes().await.unwrap() });
    for got in futures_util::future::join_all(clients).await {
        assert_eq!(got, bench.fixture.manifest);
    }
    assert_eq!((bench.asked(&Method::GET, "manifest"), bench.asked(&Method::HEAD, "manifest")), (1, 0));
    assert_eq!(bench.cached(), ["registry.example/contract/shop:1.4"]);
    let digest = Digest::of(&bench.fixture.manifest).to_string();
    assert_eq!(bench.manifest(&digest).await.bytes().await.unwrap(), bench.fixture.manifest);
    assert_eq!(bench.asked(&Method::GET, "manifest"), 1, "by its digest it holds for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_tag_is_compared_and_a_moved_one_noticed() {
    let bench = Bench::with(|mut config| {
        config.tag_ttl_seconds = 0;
        config
    })
    .await;
    bench.manifest("1.4").await;
    bench.manifest("1.4").await;
    assert_eq!((bench.asked(&Method::GET, "manifest"), bench.asked(&Method::HEAD, "manifest")), (1, 1));
    let other = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    bench.upstream.name(&bench.fixture.image, other, MediaType::ImageManifest);
    assert_eq!(bench.manifest("1.4").await.bytes().await.unwrap(), other[..]);
    let moved = |event: &Event| matches!(event, Event::Moved { from, to, .. } if *from == Digest::of(&bench.fixture.manifest) && *to == Digest::of(other));
    assert!(bench.events.lock().unwrap().iter().any(moved), "{:?}", bench.events.lock().unwrap());
    bench.break_upstream();
    let stale = bench.manifest("1.4").await;
    assert_eq!(stale.headers()["warning"], "110 - \"Response is Stale\"");
    assert_eq!(stale.bytes().await.unwrap(), other[..]);
    assert!(bench.events.lock().unwrap().iter().any(|event| matches!(event, Event::Stale { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_survives_every_kind_of_failure() {
    let faults = [
        Fault::Answer(429, "retry-after", "600".to_owned()),
        Fault::Answer(500, "x-why", String::new()),
        Fault::Answer(401, "www-authenticate", "Basic realm=\"x\"".to_owned()),
        Fault::LoseAnswer,
    ];
    let survived = faults.map(|fault| async move {
        let bench = Bench::with(|mut config| {
            (config.tag_ttl_seconds, config.timeout_seconds) = (0, 1);
            config
        })
        .await;
        assert_eq!(bench.manifest("1.4").await.status(), StatusCode::OK);
        let failure = fault.clone();
        bench.plan(move |_| failure.clone());
        for _ in 0..2 {
            let stale = bench.manifest("1.4").await;
            assert!(stale.headers().contains_key("warning"), "{fault:?}");
            assert_eq!(stale.bytes().await.unwrap(), bench.fixture.manifest, "{fault:?}");
        }
        if matches!(fault, Fault::Answer(429, ..)) {
            return; // What follows waits longer for an answer.
        }
        let tags = bench.request("tags/list").send().await.unwrap().text().await.unwrap();
        assert_eq!(tags, r#"{"name":"contract/shop","tags":["1.4"]}"#);
        // Nothing is known of it, and nobody can be asked.
        assert_eq!(bench.manifest("2").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    });
    futures_util::future::join_all(survived).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_wants_to_be_left_alone_is_and_nobody_waits_for_it() {
    let bench = Bench::new().await;
    bench.plan(|_| Fault::Answer(429, "retry-after", "3600".to_owned()));
    for tag in ["1", "2", "3"] {
        assert_eq!(bench.manifest(tag).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(bench.faults.asked().iter().filter(|asked| asked.kind() == "manifest").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_asked_for_again_for_a_while() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        assert_eq!(bench.manifest("none").await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(bench.asked(&Method::GET, "manifest"), 1);
    let hasty = Bench::with(|mut config| {
        config.negative_ttl_seconds = 0;
        config
    })
    .await;
    assert_eq!(hasty.manifest("later").await.status(), StatusCode::NOT_FOUND);
    let later = hasty.fixture.image.with_tag("later").unwrap();
    hasty.upstream.name(&later, &hasty.fixture.manifest, MediaType::ImageManifest);
    assert_eq!(hasty.manifest("later").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_allowed_is_asked_for() {
    let bench = Bench::with(|mut config| {
        config.deny = vec!["contract/*".to_owned()];
        config
    })
    .await;
    assert_eq!(bench.manifest("1.4").await.status(), StatusCode::NOT_FOUND);
    let other =
        bench.client.get(format!("http://{}/v2/contract/shop/manifests/1.4?ns=other.example", bench.server.host()));
    assert_eq!(other.send().await.unwrap().status(), StatusCode::NOT_FOUND, "no upstream is for that registry");
    assert!(bench.faults.asked().is_empty());
    let any = Bench::with(|mut config| {
        config.registry = "*".to_owned();
        config
    })
    .await;
    assert_eq!(any.manifest("1.4").await.status(), StatusCode::OK);
    assert!(
        any.faults
            .asked()
            .iter()
            .filter(|asked| asked.kind() == "manifest")
            .all(|asked| asked.query.contains(&format!("ns={REGISTRY}")))
    );
}
