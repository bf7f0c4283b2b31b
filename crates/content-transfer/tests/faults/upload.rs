//! Faults of pushes.

use super::{Bench, count, only};
use crate::fault_proxy::{Asked, Fault};
use content_store::Digest;
use content_transfer::{Error, SendOptions};
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pushed_and_pushed_again_with_one_request() {
    let bench = Bench::new(|_| Fault::None).await;
    let sent = bench.send("team/shop:1").await.unwrap();
    assert_eq!(count(&sent), (2, 3, 0, 0));
    assert_eq!(sent.sent_bytes, bench.fixture.blobs.iter().map(|blob| blob.len() as u64).sum::<u64>());
    bench.check("team/shop:1").await;

    // Apart from those that find out how the registry is spoken to, which a process does once.
    let requests = || {
        let asked = bench.proxy.asked().into_iter().filter(|asked| asked.kind() != "other");
        asked.map(|asked| format!("{} {}", asked.method, asked.kind())).collect::<Vec<_>>()
    };
    bench.proxy.forget();
    assert_eq!(count(&bench.send("team/shop:1").await.unwrap()), (0, 0, 0, 3));
    assert_eq!(requests(), ["HEAD manifest"]);
    bench.proxy.forget();
    assert_eq!(count(&bench.send("team/shop:2").await.unwrap()), (1, 0, 0, 3));
    assert_eq!(requests(), ["HEAD manifest", "HEAD manifest", "PUT manifest"], "only the tag is put");
    bench.check("team/shop:2").await;

    bench.proxy.forget();
    let options = SendOptions::default();
    let mounts: Vec<_> = bench.fixture.blobs.iter().map(|blob| (Digest::of(blob), "team/shop")).collect();
    let sent = bench.send_with("other/place:1", options, &mounts[1..]).await.unwrap();
    assert_eq!(count(&sent), (2, 1, 2, 0));
    assert_eq!(bench.proxy.uploaded(), bench.fixture.blobs[0].len(), "mounted blobs are not sent");
    bench.check("other/place:1").await;
    // A hint may be wrong: then the blob is sent.
    let absent = [(bench.large(), "nobody/here")];
    assert_eq!(count(&bench.send_with("third/place:1", SendOptions::default(), &absent).await.unwrap()), (2, 3, 0, 0));
    bench.check("third/place:1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_upload_is_continued_where_the_registry_is() {
    for after in [1, 1_000_000, 9_999_999, 10_000_019] {
        // The large blob goes in one request, which is the largest: the other two are small.
        let bench = Bench::new(move |asked| cut_large(asked, Fault::CutUpload(after))).await;
        let sent = bench.send("team/shop:1").await.unwrap();
        assert_eq!(count(&sent), (2, 3, 0, 0));
        bench.check("team/shop:1").await;
        let small: usize = bench.fixture.blobs[..2].iter().map(bytes::Bytes::len).sum();
        let twice = bench.proxy.uploaded() - small - 10_000_019;
        // Registries write `0-0` for one byte and for none: then the digest shows what is wrong, and the blob starts again.
        let most = if after == 1 { 10_000_020 } else { 0 };
        assert!(twice <= most, "{twice} bytes were sent twice after a cut at {after}");
    }
}

/// The fault for the first request with bytes of the large blob.
fn cut_large(asked: &Asked, fault: Fault) -> Fault {
    let is_first = asked.is(&Method::PUT, "upload") && asked.is_large() && asked.nth_large == 0;
    if is_first { fault } else { Fault::None }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_continues_an_upload() {
    let bench = Bench::new(|asked| {
        // Three parts arrive, the fourth never ends.
        if asked.is(&Method::PATCH, "upload") && asked.nth_large == 3 { Fault::Stall(1_000_000) } else { Fault::None }
    })
    .await;
    let killed = tokio::time::timeout(Duration::from_secs(5), bench.send_in_parts("team/shop:1", 2_000_000)).await;
    assert!(killed.is_err(), "it stalls");
    assert_eq!(bench.proxy.uploaded(), 7_000_000 + bench.fixture.blobs[0].len() + bench.fixture.blobs[1].len());
    bench.proxy.forget();
    // Another sender knows only what is in the directory.
    let sent = bench.send_in_parts("team/shop:1", 2_000_000).await.unwrap();
    assert_eq!(sent.sent_bytes, 3_000_019, "seven million bytes had arrived");
    assert_eq!(bench.proxy.count(&Method::POST, "uploads"), 0);
    bench.check("team/shop:1").await;
    assert_eq!(std::fs::read_dir(bench.sessions()).unwrap().count(), 0, "nothing is left to be continued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_forgot_an_upload_gets_that_blob_again_and_nothing_else() {
    // As docker-registry itself does when a connection breaks in the middle of a request.
    let bench = Bench::new(|asked| cut_large(asked, Fault::LoseUpload(5_000_000))).await;
    let sent = bench.send("team/shop:1").await.unwrap();
    let whole: usize = bench.fixture.blobs.iter().map(bytes::Bytes::len).sum();
    assert_eq!(sent.sent_blobs, 3);
    assert_eq!(bench.proxy.uploaded(), whole + 5_000_000, "the small blobs were sent once");
    bench.check("team/shop:1").await;

    // Or when its sessions are cleaned up between two runs.
    let bench = Bench::new(|asked| {
        if asked.is(&Method::PATCH, "upload") && asked.nth_large == 2 { Fault::Stall(0) } else { Fault::None }
    })
    .await;
    let killed = tokio::time::timeout(Duration::from_secs(5), bench.send_in_parts("team/shop:1", 2_000_000)).await;
    assert!(killed.is_err());
    bench.registry.forget_uploads();
    bench.proxy.forget();
    assert_eq!(bench.send("team/shop:1").await.unwrap().sent_blobs, 1);
    assert_eq!((bench.proxy.uploaded(), bench.proxy.count(&Method::POST, "uploads")), (10_000_019, 1));
    bench.check("team/shop:1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_asked_for_again() {
    for kind in ["uploads", "upload", "manifest"] {
        let method = match kind {
            "uploads" => Method::POST,
            _ => Method::PUT,
        };
        let bench = Bench::new(only(method, kind, 0, Fault::LoseAnswer)).await;
        let sent = bench.send("team/shop:1").await.unwrap();
        assert_eq!(count(&sent), (2, 3, 0, 0), "{kind}");
        bench.check("team/shop:1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_pass_are_waited_for() {
    for (fault, least) in [
        (Fault::Answer(429, "retry-after", "1".to_owned()), Duration::from_secs(1)),
        (Fault::Answer(503, "x-fault", "1".to_owned()), Duration::from_millis(200)),
        (Fault::Answer(500, "x-fault", "1".to_owned()), Duration::from_millis(200)),
        (Fault::Answer(401, "www-authenticate", "Basic realm=\"fake\"".to_owned()), Duration::ZERO),
    ] {
        let first = [
            (Method::HEAD, "manifest"),
            (Method::HEAD, "blob"),
            (Method::POST, "uploads"),
            (Method::PATCH, "upload"),
            (Method::PUT, "upload"),
            (Method::PUT, "manifest"),
        ];
        let refusal = fault.clone();
        // The first request of each kind.
        let is_first = move |asked: &Asked| asked.nth == 0 && first.iter().any(|(method, kind)| asked.is(method, kind));
        let bench = Bench::new(move |asked| if is_first(asked) { refusal.clone() } else { Fault::None }).await;
        let start = Instant::now();
        let sent =
            bench.send_in_parts("team/shop:1", 3_000_000).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(sent.sent_blobs, 3, "{fault:?}");
        assert!(start.elapsed() >= 4 * least, "{fault:?}");
        bench.check("team/shop:1").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_for_good_ends_the_push_and_gets_no_name() {
    let bench = Bench::new(|asked| match asked.kind() {
        "upload" => Fault::Answer(503, "x-fault", "1".to_owned()),
        _ => Fault::None,
    })
    .await;
    let error = bench.send("team/shop:1").await.unwrap_err();
    assert!(error.to_string().contains("503") && error.to_string().contains("team/shop"), "{error}");
    let registry = registry_client::Https::new(registry_client::Options::default()).unwrap();
    let name = format!("{}/team/shop:1", bench.registry.host).parse().unwrap();
    assert_eq!(registry_client::Registry::manifest_digest(&registry, &name).await.unwrap(), None);
    // A registry that takes no parts gets the blob in one piece.
    let bench = Bench::new(|asked| match asked.is(&Method::PATCH, "upload") {
        true => Fault::Answer(405, "x-fault", "1".to_owned()),
        false => Fault::None,
    })
    .await;
    assert_eq!(bench.send_in_parts("team/shop:1", 3_000_000).await.unwrap().sent_blobs, 3);
    bench.check("team/shop:1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_blob_is_named_and_never_sent_whole() {
    let bench = Bench::new(|_| Fault::None).await;
    let path = bench.store.blob_path(&bench.large());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5_000_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = bench.send("team/shop:1").await.unwrap_err();
    assert!(
        matches!(&error, Error::Store(content_store::Error::Corrupt { digest, .. }) if *digest == bench.large()),
        "{error:?}"
    );
    assert!(bench.proxy.uploaded() < 10_000_019 + 200, "its last bytes stay here");
    bytes.truncate(9_000_000);
    std::fs::write(&path, &bytes).unwrap();
    let error = bench.send("team/shop:1").await.unwrap_err();
    assert!(matches!(error, Error::Size { found: 9_000_000, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_push_ends_at_once_and_is_continued() {
    let stalls = Arc::new(AtomicBool::new(true));
    let bench = Bench::new({
        let stalls = stalls.clone();
        move |asked| match asked.is(&Method::PATCH, "upload") && asked.nth_large > 1 && stalls.load(Ordering::SeqCst) {
            true => Fault::Stall(1_000_000),
            false => Fault::None,
        }
    })
    .await;
    let mut options = SendOptions::default();
    options.part = 2_000_000;
    let cancel = options.cancel.clone();
    let cancelling = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        cancel.cancel();
    };
    let (sent, ()) = futures_util::future::join(bench.send_with("team/shop:1", options, &[]), cancelling).await;
    assert!(matches!(sent, Err(Error::Cancelled)), "{sent:?}");
    stalls.store(false, Ordering::SeqCst);
    assert_eq!(bench.send("team/shop:1").await.unwrap().sent_bytes, 5_000_019);
    bench.check("team/shop:1").await;
}
