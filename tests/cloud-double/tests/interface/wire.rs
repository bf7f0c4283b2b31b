//! The fake as a server: what arrives is what was sent, and its control interface works.

use std::time::Duration;

use bytes::Bytes;
use cloud_double::{Double, Options, Server, Timing, serve};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::caller::{Caller, read};

async fn server() -> (Double, Server) {
    let double = Double::new(Options { timing: Timing::A.scaled(0.001), ..Options::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = serve(&double, listener).unwrap();
    (double, server)
}

async fn send(server: &Server, mut request: Request<Bytes>) -> Result<Response<Bytes>, hyper::Error> {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let target = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
    *request.uri_mut() = target;
    request.headers_mut().entry("host").or_insert("127.0.0.1".parse().unwrap());
    let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

async fn control(server: &Server, path: &str) -> String {
    let request = Request::get(format!("http://127.0.0.1/_double/{path}")).body(Bytes::new()).unwrap();
    String::from_utf8(send(server, request).await.unwrap().body().to_vec()).unwrap()
}

#[tokio::test]
async fn signed_requests_travel_and_are_logged_alike() {
    let (double, server) = server().await;
    let mut caller = Caller::new(double.clone());
    for first_scheme in [true, false] {
        caller.first_scheme = first_scheme;
        let answer = send(&server, caller.request("CreateVpc", &[("VpcName", "中文 ~*+")])).await.unwrap();
        assert!(read(&answer).unwrap()["VpcId"].as_str().unwrap().starts_with("vpc-"));
    }
    let comparable = control(&server, "comparable").await;
    let lines: Vec<&str> = comparable.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, lines[1]), "both schemes say the same");
    assert!(control(&server, "leftovers").await.contains("vpc vpc-"));
    assert!(control(&server, "log").await.contains("\"scheme\":\"V1\""));
    control(&server, "stop").await;
    timeout(Duration::from_secs(5), server.stopped()).await.unwrap();
}

#[tokio::test]
async fn connections_break_and_bodies_are_slow_when_told() {
    let (double, server) = server().await;
    let caller = Caller::new(double.clone());
    control(&server, "fail?action=CreateVpc&nth=1&kind=lost-reply").await;
    control(&server, "fail?action=CreateVpc&nth=2&kind=slow-body&ms=200").await;
    assert!(send(&server, caller.request("CreateVpc", &[])).await.is_err());
    assert_eq!(double.counts()["vpcs"], 1);
    let start = Instant::now();
    let answer = send(&server, caller.request("CreateVpc", &[])).await.unwrap();
    assert!(read(&answer).is_ok() && start.elapsed() >= Duration::from_millis(200));
}
