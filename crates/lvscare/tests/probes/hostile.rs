//! Tests that a server can cost no more than others, whatever it sends.

use std::time::Duration;

use lvscare::{HealthConfig, HealthProbe, UnhealthyKind};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::identity::Authority;
use crate::server::{OK, Server, answer_all, request};
use crate::{assert_fails, check, http};

/// What a server begins with and what it sends on and on, and what is said of it.
pub(crate) const FLOODS: [(&str, &str, &str); 6] = [
    ("HTTP/1.1 200 OK\r\n", "X: y\r\n", "too large headers"),
    ("", "HTTP/1.1 103 Early Hints\r\n\r\n", "sent more than an answer may have"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", "sent more than an answer may have"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", ";x=y", "makes no sense"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0", "sent more than an answer may have"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "T: r\r\n", "makes no sense"),
];

/// Answers each request with a beginning and what follows, without end, in pieces of so many bytes.
pub(crate) async fn flooding(begin: &'static str, again: &str, piece: usize) -> Server {
    let bytes = again.repeat(8192);
    Server::raw(move |mut stream, _| {
        let bytes = bytes.clone();
        Box::pin(async move {
            stream.set_nodelay(true).unwrap();
            if request(&mut stream).await && stream.write_all(begin.as_bytes()).await.is_ok() {
                while write_pieces(&mut stream, bytes.as_bytes(), piece).await {}
            }
        })
    })
    .await
}

async fn write_pieces(stream: &mut tokio::net::TcpStream, bytes: &[u8], piece: usize) -> bool {
    for piece in bytes.chunks(piece) {
        if stream.write_all(piece).await.is_err() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

/// Performs the handshake, answers so many requests, and then changes its keys again and again: each change is a record
/// of TLS of which HTTP hears nothing. Tells when nobody listens any more.
pub(crate) async fn changing_keys(acceptor: TlsAcceptor, answers: usize, left: mpsc::Sender<()>) -> Server {
    Server::raw(move |stream, _| {
        let (acceptor, left) = (acceptor.clone(), left.clone());
        Box::pin(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            for _ in 0..answers {
                if !request(&mut stream).await || stream.write_all(OK).await.is_err() {
                    return;
                }
            }
            // The answer is read by then.
            sleep(Duration::from_millis(50)).await;
            while stream.get_mut().1.refresh_traffic_keys().is_ok() && stream.flush().await.is_ok() {
                tokio::task::yield_now().await;
            }
            let _ = left.try_send(());
        })
    })
    .await
}

#[tokio::test]
async fn whatever_has_no_end_is_no_answer_and_is_given_up_long_before_the_time_out() {
    for (begin, again, words) in FLOODS {
        let server = flooding(begin, again, usize::MAX).await;
        let answer = check(&http(), server.address).await;
        assert_fails(answer, UnhealthyKind::Answer, words);
    }
    let (left, mut given_up) = mpsc::channel(1);
    let authority = Authority::new();
    let server = changing_keys(authority.server(&["127.0.0.1"]), 0, left).await;
    let probe = HealthProbe::new(&HealthConfig::default(), &authority.pem()).unwrap();
    assert_fails(check(&probe, server.address).await, UnhealthyKind::Tls, "TooManyKeyUpdateRequests");
    given_up.recv().await.unwrap();
    let server = Server::tls(authority.talkative(&["127.0.0.1"], 2000)).await;
    // Whichever of the limits is met first.
    let unhealthy = check(&probe, server.address).await.unwrap_err();
    assert_ne!(unhealthy.kind, UnhealthyKind::TimedOut, "{unhealthy}");
}

#[tokio::test]
async fn tiny_segments_count_as_much_as_larger_ones() {
    let (told, mut sent) = mpsc::channel(1);
    let server = Server::raw(move |mut stream, _| {
        let told = told.clone();
        Box::pin(async move {
            stream.set_nodelay(true).unwrap();
            request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
            // A byte at a time, each read by itself.
            let mut sent = 0;
            while stream.write_all(b"y").await.is_ok() {
                sent += 1;
                sleep(Duration::from_millis(1)).await;
            }
            let _ = told.try_send(sent);
        })
    })
    .await;
    assert_fails(check(&http(), server.address).await, UnhealthyKind::Answer, "sent more than an answer may have");
    let sent = sent.recv().await.unwrap();
    assert!(sent < 1000, "{sent} bytes of the 16 KiB that a head may have");
}

#[tokio::test]
async fn a_connection_on_which_tls_goes_on_unasked_is_given_up() {
    let (left, mut given_up) = mpsc::channel(1);
    let authority = Authority::new();
    let server = changing_keys(authority.server(&["127.0.0.1"]), 1, left).await;
    let probe = HealthProbe::new(&HealthConfig::default(), &authority.pem()).unwrap();
    assert_eq!(check(&probe, server.address).await, Ok(()));
    tokio::time::timeout(Duration::from_secs(5), given_up.recv()).await.unwrap().unwrap();
    assert_eq!(check(&probe, server.address).await, Ok(()), "a fresh connection decides");
}

#[tokio::test]
async fn what_is_large_but_ends_is_an_answer() {
    // A body of its own right, once within what is read and once beyond.
    for length in [60_000, 10_000_000] {
        let server = Server::raw(move |stream, _| {
            let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
            Box::pin(answer_all(stream, large.into_bytes()))
        })
        .await;
        assert_eq!(check(&http(), server.address).await, Ok(()));
    }
}
