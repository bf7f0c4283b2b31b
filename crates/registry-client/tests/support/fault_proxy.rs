//! A proxy in front of a real registry that makes the faults of networks and registries, each where a test wants it.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A request as the proxy got it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    /// Bytes of its body that arrived.
    pub bytes: usize,
    /// The length of its body, as far as it says.
    pub length: usize,
    /// How many earlier requests had this method and this kind of path.
    pub nth: usize,
    /// How many of these had more than a million bytes.
    pub nth_large: usize,
}

impl Asked {
    /// What the path is about: `manifest`, `blob`, `uploads` (a new session), `upload` or `other`.
    pub fn kind(&self) -> &'static str {
        kind(&self.path)
    }

    pub fn is_large(&self) -> bool {
        self.length > 1_000_000
    }

    pub fn is(&self, method: &Method, kind: &str) -> bool {
        self.method == *method && self.kind() == kind
    }
}

fn kind(path: &str) -> &'static str {
    match path {
        path if path.contains("/manifests/") => "manifest",
        path if path.ends_with("/blobs/uploads/") => "uploads",
        path if path.contains("/blobs/uploads/") => "upload",
        path if path.contains("/blobs/") => "blob",
        _ => "other",
    }
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    None,
    /// The connection is cut after so many bytes of the request's body, which the registry keeps.
    CutUpload(usize),
    /// The connection is cut after so many bytes, as the registry itself sees it.
    LoseUpload(usize),
    /// So many bytes arrive and are kept; then nothing happens any more.
    Stall(usize),
    /// The registry does what it is asked for, and its answer is lost.
    LoseAnswer,
    /// The answer is cut after so many bytes of its body.
    CutDownload(usize),
    /// After so many bytes of its body, the answer does not go on.
    StallDownload(usize),
    /// The answer is this status, with a header.
    Answer(u16, &'static str, String),
    /// The range of the request is not looked at.
    IgnoreRange,
    /// The answer leads to the same path of another host.
    Redirect(String),
    /// A byte of the answer is another.
    Flip,
    /// The answer claims to be so many bytes longer than it is.
    ClaimLonger(usize),
    /// The answer ends so many bytes early, and claims that this is all.
    ClaimShorter(usize),
}

type Plan = dyn Fn(&Asked) -> Fault + Send + Sync;

struct Shared {
    host: String,
    upstream: String,
    client: reqwest::Client,
    plan: Box<Plan>,
    asked: Mutex<Vec<Asked>>,
    /// Of sessions that kept what a cut request brought, the newest state that the registry gave.
    states: Mutex<HashMap<String, String>>,
}

/// The proxy; it ends with the value.
pub struct FaultProxy {
    pub host: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl FaultProxy {
    /// Stands in front of the registry on `upstream`; `plan` is asked about every request.
    pub async fn start(upstream: &str, plan: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let shared = Arc::new(Shared {
            host: host.clone(),
            upstream: upstream.to_owned(),
            client,
            plan: Box::new(plan),
            asked: Mutex::default(),
            states: Mutex::default(),
        });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = accepting.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| shared.clone().answer(request));
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { host, shared, task: task.abort_handle() }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub fn forget(&self) {
        self.shared.asked.lock().unwrap().clear();
    }

    pub fn count(&self, method: &Method, kind: &str) -> usize {
        self.asked().iter().filter(|asked| asked.is(method, kind)).count()
    }

    /// Bytes of blobs that arrived.
    pub fn uploaded(&self) -> usize {
        self.asked().iter().filter(|asked| asked.kind() == "upload").map(|asked| asked.bytes).sum()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn cut() -> io::Error {
    io::Error::other("cut on purpose")
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let path = parts.uri.path().to_owned();
        let (asked, at) = {
            let mut all = self.asked.lock().unwrap();
            let same = || all.iter().filter(|asked| asked.is(&parts.method, kind(&path)));
            let (nth, nth_large) = (same().count(), same().filter(|asked| asked.is_large()).count());
            let length = header("content-length").map_or(0, |length| length.parse().unwrap());
            let query = parts.uri.query().unwrap_or_default().to_owned();
            let (authorization, range) = (header("authorization"), header("range"));
            all.push(Asked {
                method: parts.method.clone(),
                path,
                query,
                authorization,
                range,
                bytes: 0,
                length,
                nth,
                nth_large,
            });
            (all[all.len() - 1].clone(), all.len() - 1)
        };
        let fault = (self.plan)(&asked);
        let limit = match &fault {
            Fault::CutUpload(after) | Fault::LoseUpload(after) | Fault::Stall(after) => *after,
            _ => usize::MAX,
        };
        let body = take(body, limit).await?;
        if let Some(asked) = self.asked.lock().unwrap().get_mut(at) {
            asked.bytes = body.len();
        }
        match &fault {
            Fault::Answer(status, name, value) => {
                let empty = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
                return Ok(Response::builder().status(*status).header(*name, value).body(empty).unwrap());
            }
            Fault::Redirect(host) => {
                let location = format!("http://{host}{}?signature=s3cret", asked.path);
                let empty = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
                return Ok(Response::builder().status(307).header("location", location).body(empty).unwrap());
            }
            Fault::LoseUpload(_) => {
                self.send_cut(&asked, &parts.headers, &body).await;
                return Err(cut());
            }
            Fault::CutUpload(_) | Fault::Stall(_) => {
                self.keep(&asked, &body).await;
                if matches!(fault, Fault::Stall(_)) {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                }
                return Err(cut());
            }
            _ => {}
        }
        let response = self.forward(&asked, parts.headers, body, &fault).await?;
        if matches!(fault, Fault::LoseAnswer) { Err(cut()) } else { Ok(response) }
    }

    /// Path and query, with the newest state of the session.
    fn target(&self, asked: &Asked) -> String {
        let mut query = asked.query.clone();
        if let Some(state) = self.states.lock().unwrap().get(&asked.path) {
            let digest = query.split('&').find(|part| part.starts_with("digest=")).map(|part| format!("&{part}"));
            query = format!("{state}{}", digest.unwrap_or_default());
        }
        format!("{}?{query}", asked.path)
    }

    fn url(&self, asked: &Asked) -> String {
        format!("http://{}{}", self.upstream, self.target(asked))
    }

    async fn forward(
        &self,
        asked: &Asked,
        mut headers: HeaderMap,
        body: Bytes,
        fault: &Fault,
    ) -> io::Result<Response<Body>> {
        if matches!(fault, Fault::IgnoreRange) {
            headers.remove("range");
        }
        for name in ["content-length", "transfer-encoding", "connection", "expect"] {
            headers.remove(name);
        }
        let request = self.client.request(asked.method.clone(), self.url(asked)).headers(headers).body(body);
        let answer = request.send().await.map_err(io::Error::other)?;
        let mut response = Response::builder().status(answer.status());
        self.states.lock().unwrap().remove(&asked.path);
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        let headers = response.headers_mut().unwrap();
        headers.remove("transfer-encoding");
        let length: Option<usize> = headers.get("content-length").map(|value| value.to_str().unwrap().parse().unwrap());
        let length = match (fault, length) {
            (Fault::ClaimLonger(by), Some(length)) => Some(length + by),
            (Fault::ClaimShorter(by), Some(length)) => Some(length - by),
            (_, length) => length,
        };
        if let Some(length) = length {
            headers.insert("content-length", length.into());
        }
        Ok(response.body(with_fault(answer, fault, length)).unwrap())
    }

    /// Gives the registry what arrived as a whole part, so that the session goes on after it.
    async fn keep(&self, asked: &Asked, body: &Bytes) {
        let request = self.client.patch(self.url(asked)).header("host", &self.host);
        let request = request.header("content-type", "application/octet-stream").body(body.clone());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let (_, state) = location.split_once('?').unwrap();
        self.states.lock().unwrap().insert(asked.path.clone(), state.to_owned());
    }

    /// Sends the registry a request that breaks off, as it would see it without the proxy.
    async fn send_cut(&self, asked: &Asked, headers: &HeaderMap, body: &Bytes) {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(&self.upstream).await.unwrap();
        let length = headers.get("content-length").map_or("1000000000", |value| value.to_str().unwrap());
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n",
            asked.method,
            self.target(asked),
            self.host
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        // So that the registry has read them before the end.
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The body of the registry's answer, with what the fault does to it; `length` is what the answer claims.
fn with_fault(answer: reqwest::Response, fault: &Fault, length: Option<usize>) -> Body {
    let (after, is_flipped) = match fault {
        Fault::CutDownload(after) | Fault::StallDownload(after) => (*after, false),
        Fault::ClaimShorter(_) => (length.unwrap_or(usize::MAX), false),
        Fault::Flip => (usize::MAX, true),
        _ => (usize::MAX, false),
    };
    let pause = match fault {
        // Lets the bytes go out before the end does.
        Fault::CutDownload(_) => Some(Duration::from_millis(50)),
        Fault::StallDownload(_) => Some(Duration::from_secs(600)),
        _ => None,
    };
    let mut left = after;
    let mut is_first = true;
    let frames = answer.bytes_stream().map(move |bytes| {
        let mut bytes = BytesMut::from(bytes.map_err(io::Error::other)?.as_ref());
        bytes.truncate(left);
        left -= bytes.len();
        if is_flipped && std::mem::take(&mut is_first) {
            bytes[0] ^= 1;
        }
        Ok(Frame::data(bytes.freeze()))
    });
    let frames = frames.take_while({
        let mut seen = 0;
        move |frame: &io::Result<Frame<Bytes>>| {
            let go_on = seen < after;
            seen += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            std::future::ready(go_on)
        }
    });
    let end = stream::iter(pause).then(|pause| async move {
        tokio::time::sleep(pause).await;
        Err(cut())
    });
    Body::new(StreamBody::new(frames.chain(end)))
}

/// The body, at most the first `limit` bytes of it.
async fn take(mut body: Incoming, limit: usize) -> io::Result<Bytes> {
    let mut all = BytesMut::new();
    while all.len() < limit {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            all.extend_from_slice(&data);
        }
    }
    all.truncate(limit);
    Ok(all.freeze())
}
