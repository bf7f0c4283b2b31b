//! Serves the double over HTTP on loopback.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::double::{Double, Lost};
use crate::fault::{Fault, FaultKind};

/// Larger than what the double itself reads, so that it is the one to refuse.
const BODY_LIMIT: usize = 4 << 20;

/// A double that listens. It stops when this is dropped.
#[derive(Debug)]
#[must_use = "it stops when it is dropped"]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until somebody asked it to stop at `/_double/stop`.
    pub async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Serves a double over HTTP/1.1 until the returned server is dropped. A lost call closes the connection.
/// Below `/_double/` are `log`, `comparable`, `leftovers`, `violations`, `stop`, and
/// `fail?action=RunInstances&nth=1&kind=throttled&ms=2000`.
///
/// # Errors
///
/// When the listener has no address.
pub fn serve(double: &Double, listener: TcpListener) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let stop = watch::Sender::new(false);
    let mut stopped = stop.subscribe();
    let (double, sender) = (double.clone(), stop.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        tokio::spawn(connection(double.clone(), stream, sender.clone()));
                    }
                }
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    });
    Ok(Server { address, stop })
}

async fn connection(double: Double, stream: TcpStream, stop: watch::Sender<bool>) {
    let mut stopped = stop.subscribe();
    let service = service_fn(|request: Request<Incoming>| {
        let (double, stop) = (double.clone(), stop.clone());
        async move { answer(&double, request, &stop).await }
    });
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // How a client ends its connection is its own business.
        _ = connection => {}
        _ = async { let _ = stopped.wait_for(|stop| *stop).await; tokio::time::sleep(Duration::from_millis(100)).await } => {}
    }
}

async fn answer(
    double: &Double,
    request: Request<Incoming>,
    stop: &watch::Sender<bool>,
) -> Result<Response<Slow>, Lost> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else { return Err(Lost { effect: false }) };
    let request = Request::from_parts(head, body.to_bytes());
    if let Some(path) = request.uri().path().strip_prefix("/_double/") {
        let query = request.uri().query().unwrap_or_default();
        return Ok(control(double, path, query, stop).map(|body| Slow::new(body, Duration::ZERO)));
    }
    let (response, slow) = double.answer(request).await?;
    Ok(response.map(|body| Slow::new(body, slow)))
}

fn control(double: &Double, path: &str, query: &str, stop: &watch::Sender<bool>) -> Response<Bytes> {
    let lines = |lines: Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let text = match path {
        "log" => Some(lines(double.calls().iter().map(|call| call.to_json().to_string()).collect())),
        "comparable" => Some(lines(double.calls().iter().map(crate::Call::comparable).collect())),
        "forget" => {
            double.forget_calls();
            Some(String::new())
        }
        "leftovers" => Some(json!(double.leftovers()).to_string()),
        "violations" => Some(json!(double.violations()).to_string()),
        "counters" => Some(json!({ "peak": double.peak_concurrency(), "early": double.too_early() }).to_string()),
        "fail" => fault(query).map(|fault| {
            double.fail(fault);
            String::new()
        }),
        "stop" => {
            stop.send_replace(true);
            Some(String::new())
        }
        _ => None,
    };
    let status = if text.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Bytes::from(text.unwrap_or_default()));
    *response.status_mut() = status;
    response
}

/// `action`, `nth` (counted from the making of the double), `kind`, and `ms` or `count` or `status` with `code`.
fn fault(query: &str) -> Option<Fault> {
    let field = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let time = || Some(Duration::from_millis(field("ms")?.parse().ok()?));
    let kind = match field("kind")? {
        "error-after" => FaultKind::ErrorAfter,
        "error" => FaultKind::Error { status: field("status")?.parse().ok()?, code: field("code")?.to_string() },
        "reset" => FaultKind::Reset,
        "lost-reply" => FaultKind::LostReply,
        "slow-body" => FaultKind::SlowBody(time()?),
        "throttled" => FaultKind::Throttled(time()?),
        "partial" => FaultKind::Partial(field("count")?.parse().ok()?),
        "vanish" => FaultKind::Vanish(time()?),
        "bind-fails" => FaultKind::BindFails,
        _ => return None,
    };
    Some(Fault { action: field("action").map(str::to_string), nth: field("nth")?.parse().ok()?, kind })
}

/// A body of which all but the first byte may come late.
struct Slow {
    parts: VecDeque<Bytes>,
    wait: Option<Pin<Box<Sleep>>>,
    started: bool,
}

impl Slow {
    fn new(mut body: Bytes, slow: Duration) -> Slow {
        if slow.is_zero() {
            return Slow { parts: VecDeque::from([body]), wait: None, started: false };
        }
        let first = body.split_to(1.min(body.len()));
        Slow { parts: VecDeque::from([first, body]), wait: Some(Box::pin(tokio::time::sleep(slow))), started: false }
    }
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.started
            && let Some(wait) = &mut self.wait
        {
            ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        self.started = true;
        Poll::Ready(self.parts.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.parts.iter().map(|part| u64::try_from(part.len()).unwrap_or(0)).sum())
    }
}
