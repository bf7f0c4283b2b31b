//! Tests that the death of a server is noticed at once, and only then.

use std::time::{Duration, Instant};

use lvscare::{HealthConfig, HealthProbe, Probe, UnhealthyKind};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::identity::Authority;
use crate::server::{OK, Server, answer_all, request, until_closed};
use crate::{alarmed, assert_fails, check, http};

const CONCURRENCY: Duration = Duration::from_millis(20);
const A_WHILE: Duration = Duration::from_millis(150);

/// Kills servers until the alarm came fast enough once: other work on the machine delays it now and then.
async fn notices_death(probe: &dyn Probe, server: impl AsyncFn() -> Server) {
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let server = server().await;
        let address = server.address;
        assert_eq!(check(probe, address).await, Ok(()));
        assert!(!alarmed(Duration::from_millis(30), probe, address).await, "it lives");
        let alarm = async {
            probe.alarm(address).await;
            Instant::now()
        };
        let kill = async {
            sleep(Duration::from_millis(10)).await;
            let start = Instant::now();
            server.kill().await;
            start
        };
        let (noticed, killed) = tokio::join!(alarm, kill);
        fastest = fastest.min(noticed.saturating_duration_since(killed));
        assert!(!alarmed(Duration::from_millis(30), probe, address).await, "once is enough");
        assert_fails(check(probe, address).await, UnhealthyKind::Refused, "refuses");
        if fastest < CONCURRENCY {
            return;
        }
    }
    panic!("took {fastest:?} at best");
}

#[tokio::test]
async fn the_death_of_an_http_server_is_noticed() {
    notices_death(&http(), async || Server::answering(OK).await).await;
}

#[tokio::test]
async fn the_death_of_an_https_server_is_noticed() {
    let authority = Authority::new();
    let probe = HealthProbe::new(&HealthConfig::default(), &authority.pem()).unwrap();
    let acceptor = authority.server(&["127.0.0.1"]);
    notices_death(&probe, async || Server::tls(acceptor.clone()).await).await;
}

#[tokio::test]
async fn the_death_of_a_tcp_server_is_noticed() {
    let quiet = async || Server::raw(|mut stream, _| Box::pin(async move { until_closed(&mut stream).await })).await;
    notices_death(&crate::tcp(), quiet).await;
}

#[tokio::test]
async fn a_death_between_checks_is_told_to_who_asks_later() {
    let server = Server::answering(OK).await;
    let address = server.address;
    let probe = http();
    assert_eq!(check(&probe, address).await, Ok(()));
    server.kill().await;
    sleep(Duration::from_millis(20)).await;
    assert!(alarmed(A_WHILE, &probe, address).await);
    assert!(!alarmed(A_WHILE, &probe, address).await);
}

#[tokio::test]
async fn a_banner_is_no_alarm() {
    let server = Server::raw(|mut stream, _| {
        Box::pin(async move {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
            until_closed(&mut stream).await;
        })
    })
    .await;
    let probe = crate::tcp();
    assert_eq!(check(&probe, server.address).await, Ok(()));
    assert!(!alarmed(A_WHILE, &probe, server.address).await);
    let address = server.address;
    server.kill().await;
    assert!(alarmed(A_WHILE, &probe, address).await);
}

#[tokio::test]
async fn a_server_that_talks_without_end_is_left_without_an_alarm() {
    let (told, mut left) = mpsc::channel(1);
    let server = Server::raw(move |mut stream, _| {
        let told = told.clone();
        Box::pin(async move {
            if request(&mut stream).await {
                let _ = stream.write_all(OK).await;
                sleep(Duration::from_millis(20)).await;
            }
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            let _ = told.try_send(());
        })
    })
    .await;
    let probe = http();
    assert_eq!(check(&probe, server.address).await, Ok(()));
    assert!(!alarmed(Duration::from_millis(300), &probe, server.address).await);
    assert_eq!(left.try_recv(), Ok(()), "it is not listened to any more");
    assert_eq!(check(&probe, server.address).await, Ok(()));
}

#[tokio::test]
async fn a_server_is_let_go_with_its_probe() {
    let (told, mut left) = mpsc::channel(1);
    let server = Server::raw(move |stream, _| {
        let told = told.clone();
        Box::pin(async move {
            answer_all(stream, OK.to_vec()).await;
            let _ = told.try_send(());
        })
    })
    .await;
    let (probe, address) = (http(), server.address);
    assert_eq!(check(&probe, address).await, Ok(()));
    let watching = tokio::spawn(async move { probe.alarm(address).await });
    sleep(Duration::from_millis(20)).await;
    watching.abort();
    assert_eq!(tokio::time::timeout(Duration::from_secs(2), left.recv()).await, Ok(Some(())));
}
