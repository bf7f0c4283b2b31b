//! Clients that ask for much and take nothing: what they cost, and what is left for others.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use content_store::Digest;
use registry_client::contract::Fixture;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{Content, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// What four connections may make this process hold, the client that behaves included.
const MEMORY: u64 = 50 << 20;

/// Content with a blob that fits into no buffer.
fn content() -> (Content, Digest) {
    let content = Content::new(&Fixture::new("registry.example"));
    let bytes: Vec<u8> = (0..16_u32 << 20).map(|number| (number >> 4) as u8).collect();
    let digest = content.store.put(&bytes).unwrap().digest;
    (content, digest)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Opens an HTTP/2 connection with the largest windows, asks for the blob on many streams, and reads nothing.
async fn greedy(server: SocketAddr, digest: Digest, streams: u32) -> TcpStream {
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let largest = (i32::MAX as u32).to_be_bytes();
    request.extend(frame(4, 0, 0, &[&[0, 4][..], &largest].concat()));
    request.extend(frame(8, 0, 0, &(i32::MAX as u32 - 65_535).to_be_bytes()));
    let path = format!("/v2/x/blobs/{digest}");
    // GET, http; path and authority as literals.
    let mut head = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    head.extend(path.bytes());
    head.extend([0x01, 1, b'x']);
    for number in 0..streams {
        request.extend(frame(1, 0x5, 2 * number + 1, &head));
    }
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(&request).await.unwrap();
    stream
}

/// Gets the blob over HTTP/2 as a client does that behaves; how long the first bytes and all of them took.
async fn behaving(server: SocketAddr, digest: Digest) -> (Duration, Duration) {
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let began = Instant::now();
    let mut answer = client.get(format!("http://{server}/v2/x/blobs/{digest}")).send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap().len();
    let latency = began.elapsed();
    let mut length = first;
    while let Some(bytes) = answer.chunk().await.unwrap() {
        length += bytes.len();
    }
    assert_eq!(length, 16 << 20);
    (latency, began.elapsed())
}

/// Memory of this process that is no file, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn greedy_connections_neither_stop_the_registry_nor_fill_its_memory() {
    let (content, digest) = content();
    let server = Server::start(&content, None).await;
    let before = memory();
    // With 31, all connections of the address are taken but that of the client that behaves.
    for connections in [4, 16, 31] {
        let mut greed = Vec::new();
        for _ in 0..connections {
            greed.push(greedy(server.address, digest, 100).await);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (latency, whole) = behaving(server.address, digest).await;
        let grown = memory().saturating_sub(before);
        println!(
            "{connections} connections of 100 streams: first byte after {latency:?}, 16 MiB after {whole:?}, \
             {} KiB more memory",
            grown >> 10
        );
        // What is freed and not given back to the system counts, too.
        assert!(grown < if connections == 4 { MEMORY } else { 2 * MEMORY }, "{grown} bytes");
        assert!(latency < Duration::from_secs(1), "{latency:?}");
    }
    server.stop().await;
}

/// A connection from this loopback address that sends `text` and waits.
async fn slow(server: SocketAddr, from: [u8; 4], text: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    // One that is refused may be closed already.
    let _ = stream.write_all(text).await;
    stream
}

/// What the server answers until it closes; none when it keeps the connection.
async fn answer(stream: &mut TcpStream) -> Option<String> {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut answer)).await;
    read.ok().map(|_| String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_odd_clients_are_refused_and_others_served() {
    let (content, digest) = content();
    let server = Server::start(&content, None).await;
    let mut held = Vec::new();
    for host in 1..=5 {
        let mut streams = Vec::new();
        for number in 0..40 {
            // Some send nothing, some a head without an end.
            let text: &[u8] = if number % 2 == 0 { b"" } else { b"GET /v2/ HTTP/1.1\r\nx: " };
            streams.push(slow(server.address, [127, 0, 1, host], text).await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(answer(streams.last_mut().unwrap()).await.is_some(), "an address has 32 connections");
        assert!(answer(&mut streams[0]).await.is_none(), "the first ones are kept");
        held.push(streams);
    }
    let head = [b"GET /v2/ HTTP/1.1\r\nhost: x\r\nx: ".as_slice(), &[b'x'; 100 << 10], b"\r\n\r\n"].concat();
    let huge = answer(&mut slow(server.address, [127, 0, 1, 9], &head).await).await;
    assert!(huge.is_some_and(|answer| !answer.contains(" 200 ")), "a head of 100 KiB is not taken");
    behaving(server.address, digest).await;
    drop(held);
    server.stop().await;
}
