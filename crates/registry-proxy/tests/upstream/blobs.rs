//! Blobs on their way through: once for everybody, resumed, never wrong.

use super::Bench;
use crate::fault_proxy::Fault;
use content_store::Digest;
use futures_util::StreamExt;
use http::Method;
use registry_proxy::Event;

/// So many bytes of a body, or fewer when it ends.
async fn some(response: reqwest::Response, count: usize) -> (usize, impl futures_util::Stream) {
    let mut stream = Box::pin(response.bytes_stream());
    let mut got = 0;
    while got < count {
        match stream.next().await {
            Some(Ok(bytes)) => got += bytes.len(),
            _ => break,
        }
    }
    (got, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_that_miss_a_blob_cost_one_transfer() {
    let bench = Bench::new().await;
    let (digest, bytes) = bench.large();
    bench.manifest("1.4").await.error_for_status().unwrap();
    // From several addresses: one peer has only so many connections.
    let url = format!("http://{}/v2/contract/shop/blobs/{digest}?ns=registry.example", bench.server.host());
    let peers = [1, 2, 3, 4].map(|number| {
        let address = std::net::IpAddr::from([127, 0, 1, number]);
        reqwest::Client::builder().no_proxy().local_address(address).build().unwrap()
    });
    let clients = peers.iter().cycle().take(32).map(|client| {
        let request = client.get(&url);
        async move { request.send().await.unwrap().bytes().await.unwrap() }
    });
    for got in futures_util::future::join_all(clients).await {
        assert!(got == bytes, "{} bytes", got.len());
    }
    assert_eq!(bench.asked(&Method::GET, "blob"), 1);
    assert_eq!(bench.asked(&Method::HEAD, "blob"), 0, "the manifest said how large it is");
    bench.arrived(&digest).await;
    bench.break_upstream();
    assert!(bench.blob(&digest).await.bytes().await.unwrap() == bytes, "from the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_are_there_long_before_the_last() {
    let bench = Bench::new().await;
    let (digest, bytes) = bench.large();
    // Upstream never sends more than this.
    bench.plan(|asked| if asked.kind() == "blob" { Fault::StallDownload(1_500_000) } else { Fault::None });
    let response = bench.blob(&digest).await;
    assert_eq!(response.content_length(), Some(bytes.len() as u64));
    let (got, _held) = some(response, 1_000_000).await;
    assert!(got >= 1_000_000, "{got}");
    // Who asks later gets what is here, from the same transfer; what is not the whole blob waits until it is verified.
    let (got, _held) = some(bench.blob(&digest).await, 1_000_000).await;
    assert!(got >= 1_000_000, "{got}");
    assert_eq!(bench.asked(&Method::GET, "blob"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_on_without_the_client_that_began_it() {
    let bench = Bench::new().await;
    let (digest, bytes) = bench.large();
    let slow = bench.blob(&digest).await;
    let (got, rest) = some(slow, 1).await;
    assert!(got > 0);
    drop(rest);
    let part = bench.request(&format!("blobs/{digest}")).header("range", "bytes=2999990-").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), bytes[2_999_990..]);
    assert_eq!(bench.asked(&Method::GET, "blob"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_is_resumed_where_it_was() {
    let bench = Bench::new().await;
    let (digest, bytes) = bench.large();
    bench.plan(|asked| match (asked.kind(), asked.nth) {
        ("blob", 0) => Fault::CutDownload(1_000_000),
        ("blob", 1) => Fault::Answer(429, "retry-after", "0".to_owned()),
        ("blob", 2) => Fault::Answer(401, "www-authenticate", "Basic realm=\"x\"".to_owned()),
        ("blob", 3) => Fault::Answer(502, "x-why", String::new()),
        _ => Fault::None,
    });
    assert!(bench.blob(&digest).await.bytes().await.unwrap() == bytes);
    let ranges: Vec<_> = bench.faults.asked().into_iter().filter_map(|asked| asked.range).collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|range| range == "bytes=1000000-"), "{ranges:?}");
    bench.arrived(&digest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_never_completed_nor_kept() {
    let bench = Bench::new().await;
    let (digest, bytes) = bench.large();
    bench.plan(|asked| if asked.kind() == "blob" { Fault::Flip } else { Fault::None });
    let clients = (0..4).map(|_| async { bench.blob(&digest).await.bytes().await });
    for got in futures_util::future::join_all(clients).await {
        assert!(got.is_err(), "a wrong blob came to its end");
    }
    assert!(!bench.store.contains(&digest));
    bench.plan(|_| Fault::None);
    assert!(bench.blob(&digest).await.bytes().await.unwrap() == bytes, "nothing of it is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_corrupt_here_is_fetched_again() {
    let bench = Bench::new().await;
    let (digest, bytes) = bench.large();
    bench.blob(&digest).await.bytes().await.unwrap();
    bench.arrived(&digest).await;
    crate::support::corrupt(&bench.store, &digest);
    assert!(bench.blob(&digest).await.bytes().await.unwrap() == bytes);
    assert!(bench.events.lock().unwrap().iter().any(|event| matches!(event, Event::Corrupt { .. })));
    bench.arrived(&digest).await;
    assert_eq!(bench.asked(&Method::GET, "blob"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_transferred_for_a_head_or_for_what_is_not_there() {
    let bench = Bench::new().await;
    let (digest, bytes) = bench.large();
    let url = format!("http://{}/v2/contract/shop/blobs/{digest}?ns=registry.example", bench.server.host());
    let head = bench.client.head(url).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], bytes.len().to_string());
    assert_eq!(bench.asked(&Method::GET, "blob"), 0);
    let absent = Digest::of(b"nobody has this");
    for _ in 0..3 {
        assert_eq!(bench.blob(&absent).await.status(), 404);
    }
    assert_eq!(bench.asked(&Method::HEAD, "blob"), 2, "one for each blob: what is not there is remembered");
}
