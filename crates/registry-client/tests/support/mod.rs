//! A registry on loopback that answers what a test tells it to.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
}

/// What the answer may depend on.
#[derive(Clone, Debug)]
pub struct Log {
    pub host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Log {
    /// How many requests have had this in their path, the present one included.
    pub fn count(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path.contains(part)).count()
    }
}

/// The server; it ends with the value.
pub struct Fake {
    pub host: String,
    log: Log,
    task: AbortHandle,
}

impl Fake {
    pub async fn start(answer: impl Fn(Request<Incoming>, &Log) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let log = Log { host: host.clone(), asked: Arc::default() };
        let (answer, shared) = (Arc::new(answer), log.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, log) = (answer.clone(), shared.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let header = |name| {
                            request
                                .headers()
                                .get(name)
                                .map(|value: &http::HeaderValue| value.to_str().unwrap().to_owned())
                        };
                        let path = request.uri().path_and_query().unwrap().to_string();
                        log.asked.lock().unwrap().push(Asked {
                            path,
                            authorization: header("authorization"),
                            range: header("range"),
                        });
                        let response = answer(request, &log);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { host, log, task: task.abort_handle() }
    }

    pub fn count(&self, part: &str) -> usize {
        self.log.count(part)
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.log.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A host and port where nobody listens.
pub async fn dead_host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn json(text: &str) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(full(text.to_owned())).unwrap()
}

/// Sends the first bytes, then breaks the connection.
pub fn broken_after(bytes: &Bytes, count: usize) -> Body {
    let some = bytes.slice(..count.min(bytes.len()));
    let pause = stream::once(async {
        // Lets the bytes go out before the end does.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        Err(io::Error::other("broken on purpose"))
    });
    Body::new(StreamBody::new(stream::once(async { Ok(Frame::data(some)) }).chain(pause)))
}

/// Never ends.
pub fn endless() -> Body {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    Body::new(StreamBody::new(stream::repeat_with(move || Ok(Frame::data(chunk.clone())))))
}

/// Says nothing.
pub fn silent() -> Body {
    Body::new(StreamBody::new(stream::pending()))
}
