//! Tests of answers and silences that make a server unhealthy.

use std::time::{Duration, Instant};

use lvscare::{HealthConfig, HealthProbe, UnhealthyKind};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::server::{OK, Server, request, until_closed};
use crate::{assert_fails, check, http, within};

#[tokio::test]
async fn a_port_without_listener_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    drop(listener);
    assert_fails(check(&crate::tcp(), server).await, UnhealthyKind::Refused, "refuses connections");
    assert_fails(check(&http(), server).await, UnhealthyKind::Refused, "refuses connections");
}

#[tokio::test]
async fn tcp_needs_no_answer() {
    let server = Server::raw(|mut stream, _| Box::pin(async move { until_closed(&mut stream).await })).await;
    assert_eq!(check(&crate::tcp(), server.address).await, Ok(()));
}

#[tokio::test]
async fn ipv6_servers_are_asked_too() {
    let server =
        Server::at("[::1]:0".parse().unwrap(), |stream, _| Box::pin(crate::server::answer_all(stream, OK.to_vec())))
            .await;
    assert_eq!(check(&http(), server.address).await, Ok(()));
    assert_eq!(check(&crate::tcp(), server.address).await, Ok(()));
}

#[tokio::test]
async fn closing_early_is_told_from_refusing() {
    let silent = Server::closing("").await;
    assert_fails(check(&http(), silent.address).await, UnhealthyKind::Closed, "without an answer");

    let half = Server::closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal").await;
    assert_fails(check(&http(), half.address).await, UnhealthyKind::Closed, "in the middle");

    let resetting = Server::raw(|mut stream, _| {
        Box::pin(async move {
            request(&mut stream).await;
            stream.set_zero_linger().unwrap();
        })
    })
    .await;
    assert_fails(check(&http(), resetting.address).await, UnhealthyKind::Closed, "reset");
}

#[tokio::test]
async fn wrong_answers_are_said() {
    for (bytes, words) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answered 500, wanted 200-399"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "not HTTP/1"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", "not HTTP/1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "makes no sense"),
    ] {
        let server = Server::answering(bytes).await;
        assert_fails(check(&http(), server.address).await, UnhealthyKind::Answer, words);
        // Nor does it become healthy by being asked again over the same connection.
        assert_fails(check(&http(), server.address).await, UnhealthyKind::Answer, words);
    }
    let endless = Server::answering(format!("HTTP/1.1 200 OK\r\n{}", "X: yyyyyyyyyyyy\r\n".repeat(700))).await;
    assert_fails(check(&http(), endless.address).await, UnhealthyKind::Answer, "too large headers");
}

#[tokio::test]
async fn accepted_codes_are_the_given_ones() {
    let probe = HealthProbe::new(&HealthConfig { status: [401].into(), ..crate::plain() }, &[]).unwrap();
    for (status, good) in [(200, true), (302, true), (401, true), (400, false), (500, false)] {
        let server = Server::answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(check(&probe, server.address).await.is_ok(), good, "{status}");
    }
}

#[tokio::test]
async fn a_large_body_does_not_matter() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let server = Server::answering(large).await;
    let probe = http();
    for _ in 0..3 {
        assert_eq!(check(&probe, server.address).await, Ok(()));
    }
}

#[tokio::test]
async fn chunks_and_answers_that_end_with_the_connection_are_understood() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nT: r\r\n\r\n";
    let server = Server::answering(chunked).await;
    let probe = http();
    for _ in 0..3 {
        assert_eq!(check(&probe, server.address).await, Ok(()));
    }
    assert_eq!(server.connections(), 1);
    let until_close = Server::closing("HTTP/1.0 200 OK\r\n\r\nok").await;
    assert_eq!(check(&http(), until_close.address).await, Ok(()));
}

#[tokio::test]
async fn head_and_interim_answers_are_understood() {
    let probe = HealthProbe::new(&HealthConfig { method: "HEAD".to_owned(), ..crate::plain() }, &[]).unwrap();
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    for _ in 0..3 {
        assert_eq!(check(&probe, server.address).await, Ok(()));
    }
    assert_eq!(server.connections(), 1);

    let hinting = [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", OK].concat();
    let server = Server::answering(hinting).await;
    let probe = http();
    for _ in 0..3 {
        assert_eq!(check(&probe, server.address).await, Ok(()));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_slow_answer_lasts_as_long_as_the_caller_bears_it() {
    let server = Server::raw(|mut stream, _| {
        Box::pin(async move {
            request(&mut stream).await;
            for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'y')) {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    })
    .await;
    let start = Instant::now();
    let answer = within(Duration::from_millis(300), &http(), server.address).await;
    assert_fails(answer, UnhealthyKind::TimedOut, "in time");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))), ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_no_answer_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::closing(bytes).await;
            let answer = check(&http(), server.address).await;
            assert!(answer.is_err());
        });
    }
}
