//! The real transport against servers on loopback.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use infra_provider::ali_cloud::api::vpc::describe_vpcs;
use infra_provider::ali_cloud::api::{
    AccessKey, Class, Client, Credentials, Endpoints, HttpOptions, HttpTransport, Product, Transport, TransportFailure,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const WAIT: Duration = Duration::from_secs(10);

/// A server that gives each connection `answer` after the head of a request, and closes it.
async fn server(answer: &'static [u8]) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (heads, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heads = heads.clone();
            tokio::spawn(async move { serve(stream, answer, heads).await });
        }
    });
    (address, received)
}

async fn serve(mut stream: TcpStream, answer: &'static [u8], heads: mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    heads.send(String::from_utf8(head).unwrap()).ok();
    if answer == SILENCE {
        tokio::time::sleep(WAIT).await;
    }
    stream.write_all(answer).await.ok();
    if answer.ends_with(SLOWLY) {
        tokio::time::sleep(WAIT).await;
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: Mon, 23 Nov 2026 16:03:25 GMT\r\n\r\n{}";
const SILENCE: &[u8] = b" ";
const SLOWLY: &[u8] = b"slowly";

fn get(address: &str) -> Request<Bytes> {
    let uri = format!("http://{address}/?Password=hush%20now");
    Request::builder().method(Method::POST).uri(uri).header("x-acs-action", "A").body(Bytes::new()).unwrap()
}

fn transport() -> HttpTransport {
    let mut options = HttpOptions::new();
    options.max_answer = 1000;
    HttpTransport::new(&options).unwrap()
}

async fn fail(answer: &'static [u8]) -> TransportFailure {
    let (address, _heads) = server(answer).await;
    transport().send(get(&address), Duration::from_millis(600)).await.unwrap_err()
}

#[tokio::test]
async fn requests_arrive_as_they_were_signed() {
    let (address, mut heads) = server(OK).await;
    let transport = transport();
    let answer = transport.send(get(&address), WAIT).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"{}"[..]));
    assert_eq!(answer.headers()["date"], "Mon, 23 Nov 2026 16:03:25 GMT");
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("POST /?Password=hush%20now HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")) && head.contains("x-acs-action: A\r\n"), "{head}");

    let endpoints = Endpoints::default().with(Product::Vpc, &format!("http://{address}")).unwrap();
    let credentials = Credentials::Key(AccessKey::new("testid", "testsecret"));
    let client = Client::new(credentials, "cn-chengdu", &endpoints, std::sync::Arc::new(transport)).unwrap();
    client.call(describe_vpcs(None, &[]).request()).await.unwrap();
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("POST /?PageNumber=1&PageSize=50&RegionId=cn-chengdu HTTP/1.1\r\n"), "{head}");
    assert_eq!(head.matches(&format!("host: {address}\r\n")).count(), 1, "{head}");
    assert!(head.contains("SignedHeaders=host;x-acs-action;"), "{head}");
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_a_redirection_is_not_followed() {
    let (address, mut heads) =
        server(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let answer = transport().send(get(&address), WAIT).await.unwrap();
    assert_eq!(answer.status().as_u16(), 302);
    heads.recv().await.unwrap();
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn silence_and_half_answers_end_in_time() {
    for answer in [SILENCE, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nslowly"] {
        let failure = fail(answer).await;
        assert!(matches!(failure, TransportFailure::TimedOut { .. }) && failure.may_have_arrived(), "{failure:?}");
    }
    let failure = fail(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}").await;
    assert!(matches!(failure, TransportFailure::Interrupted { .. }) && failure.may_have_arrived(), "{failure:?}");
    let failure = fail(b"").await;
    assert!(matches!(failure, TransportFailure::Interrupted { .. }) && failure.may_have_arrived(), "{failure:?}");
    let failure = fail(b"SSH-2.0-OpenSSH\r\n").await;
    assert!(failure.may_have_arrived() && !format!("{failure:?}").contains("hush"), "{failure:?}");
}

#[tokio::test]
async fn long_answers_are_cut_off() {
    let failure = fail(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\nslowly").await;
    assert!(matches!(failure, TransportFailure::TooLong { limit: 1000, .. }), "{failure:?}");
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..5 {
        chunked.extend_from_slice(b"fa\r\n");
        chunked.extend_from_slice(&[b'x'; 250]);
        chunked.extend_from_slice(b"\r\n");
    }
    let failure = fail(chunked.leak()).await;
    assert!(matches!(failure, TransportFailure::TooLong { limit: 1000, .. }), "{failure:?}");
}

#[tokio::test]
async fn nobody_there_means_nothing_was_done() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = transport().send(get(&free.to_string()), WAIT).await.unwrap_err();
    assert!(matches!(failure, TransportFailure::Unreachable { .. }) && !failure.may_have_arrived(), "{failure:?}");
    assert!(!format!("{failure:?}").contains("hush"));

    let endpoints = Endpoints::default().with(Product::Vpc, &format!("http://{free}")).unwrap();
    let credentials = Credentials::Key(AccessKey::new("testid", "testsecret"));
    let client = Client::new(credentials, "cn-chengdu", &endpoints, std::sync::Arc::new(transport())).unwrap();
    let error = client.call(describe_vpcs(None, &[]).request()).await.unwrap_err();
    assert_eq!((error.class, error.may_have_happened, error.repeatable), (Class::Server, false, true));
    assert!(error.to_string().contains(&format!("{free} cannot be reached")), "{error}");
}

#[tokio::test]
async fn a_proxy_is_used_where_it_should_be() {
    let (proxy, mut seen) = server(OK).await;
    let (direct, mut asked) = server(OK).await;
    let through = |proxy: String| {
        let mut options = HttpOptions::new();
        options.proxy = Some(proxy.into());
        options.no_proxy = Some("127.0.0.1".to_owned());
        options
    };
    let options = through(format!("http://user:hush@{proxy}"));
    assert!(!format!("{options:?}").contains("hush"));
    let transport = HttpTransport::new(&options).unwrap();
    transport.send(get("ecs.cn-chengdu.test"), WAIT).await.unwrap();
    let head = seen.recv().await.unwrap();
    assert!(head.starts_with("POST http://ecs.cn-chengdu.test/?Password=hush%20now HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: Basic ") && head.contains("host: ecs.cn-chengdu.test\r\n"), "{head}");
    transport.send(get(&direct), WAIT).await.unwrap();
    assert!(asked.recv().await.unwrap().starts_with("POST /?") && seen.try_recv().is_err());

    let refusing = server(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n").await.0;
    let options = through(format!("http://{refusing}"));
    let secure = Request::builder().uri("https://ecs.cn-chengdu.test/").body(Bytes::new()).unwrap();
    let failure = HttpTransport::new(&options).unwrap().send(secure, WAIT).await.unwrap_err();
    assert!(!failure.may_have_arrived(), "{failure:?}");

    let options = through("http://".to_owned());
    assert!(matches!(HttpTransport::new(&options), Err(TransportFailure::Setup { .. })));
}
