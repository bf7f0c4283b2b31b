//! Blobs that the kernel sends come out byte for byte, whatever else is asked on the connection.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::{Blob, Digest};
use registry_client::contract::Fixture;
use support::{Content, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Larger than what is sent at once, and no multiple of it.
const SIZE: usize = (3 << 20) + 12_345;

struct Bench {
    content: Content,
    server: Server,
    blob: Blob,
    bytes: Vec<u8>,
}

impl Bench {
    /// A server whose blob was verified, so that it is sent as a file.
    async fn new() -> Self {
        let content = Content::new(&Fixture::new("registry.example"));
        let bytes: Vec<u8> = (0..SIZE as u32 / 4 + 1).flat_map(u32::to_le_bytes).take(SIZE).collect();
        let blob = content.store.put(&bytes).unwrap();
        let server = Server::start(&content, None).await;
        let bench = Self { content, server, blob, bytes };
        let (head, body) = bench.connect().await.get("GET", &bench.blob.digest, "").await;
        assert!(head.contains(" 200 ") && body == bench.bytes);
        bench
    }

    async fn connect(&self) -> Connection {
        Connection(BufReader::new(TcpStream::connect(self.server.address).await.unwrap()))
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn ask(&mut self, method: &str, digest: &Digest, headers: &str) {
        let request =
            format!("{method} /v2/team/app/blobs/{digest} HTTP/1.1\r\nhost: registry.example\r\n{headers}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).await.unwrap();
    }

    /// Head and body of the next answer.
    async fn answer(&mut self, has_body: bool) -> (String, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; if has_body { length } else { 0 }];
        self.0.read_exact(&mut body).await.unwrap();
        (head, body)
    }

    async fn get(&mut self, method: &str, digest: &Digest, headers: &str) -> (String, Vec<u8>) {
        self.ask(method, digest, headers).await;
        self.answer(method == "GET").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_on_one_connection_keep_their_bytes() {
    let bench = Bench::new().await;
    let (digest, bytes) = (&bench.blob.digest, &bench.bytes);
    let mut connection = bench.connect().await;
    assert!(connection.get("GET", digest, "").await.1 == *bytes);
    let (head, _) = connection.get("HEAD", digest, "").await;
    assert!(head.contains(&format!("content-length: {SIZE}")));
    for (first, last) in [(0, 0), (1, 600_000), (SIZE - 1, SIZE - 1), (524_288, 1_048_575), (7, SIZE - 1)] {
        let (head, body) = connection.get("GET", digest, &format!("range: bytes={first}-{last}\r\n")).await;
        assert!(head.contains(" 206 ") && body == bytes[first..=last], "{first}-{last}");
    }
    let absent = Digest::of(b"absent");
    assert!(connection.get("GET", &absent, "").await.0.contains(" 404 "));
    assert!(connection.get("GET", digest, "").await.1 == *bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    let bench = Bench::new().await;
    let mut connection = bench.connect().await;
    for number in 0..6 {
        connection.ask("GET", &bench.blob.digest, &format!("range: bytes={}-{}\r\n", number * 1000, 2_000_000)).await;
    }
    for number in 0..6 {
        assert!(connection.answer(true).await.1 == bench.bytes[number * 1000..=2_000_000], "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_harms_nobody() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        let mut connection = bench.connect().await;
        connection.ask("GET", &bench.blob.digest, "").await;
        let mut some = [0; 5000];
        connection.0.read_exact(&mut some).await.unwrap();
    }
    assert!(bench.connect().await.get("GET", &bench.blob.digest, "").await.1 == bench.bytes);
}

/// A file that was changed is read again, and the change is found; nothing of it is sent as if it were right.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_not_sent() {
    let bench = Bench::new().await;
    bench.content.corrupt(&bench.blob.digest);
    assert!(!bench.connect().await.get("GET", &bench.blob.digest, "range: bytes=5-10\r\n").await.0.contains(" 206 "));
    assert!(bench.connect().await.get("GET", &bench.blob.digest, "").await.0.contains(" 404 "));
}
