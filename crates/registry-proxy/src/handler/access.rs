//! Counts and tells each request when its answer has ended.

use crate::event::{Access, Event, Reporter};
use crate::metrics::Metrics;
use axum::body::Body;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{Method, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// The address of the client, an extension of requests that came over the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// A request under way. Dropping it ends it.
pub(super) struct Running {
    metrics: Arc<Metrics>,
    reporter: Option<Reporter>,
    method: Method,
    access: Access,
    began: Instant,
}

impl Running {
    /// `reporter` is told at the end, if there is one.
    pub(super) fn new(head: &Parts, metrics: Arc<Metrics>, reporter: Option<Reporter>) -> Self {
        metrics.begin();
        let agent = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let access = Access {
            peer: head.extensions.get::<PeerAddress>().map(|peer| peer.0),
            user: None,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            status: 0,
            sent: 0,
            duration: std::time::Duration::ZERO,
            agent: agent.map(str::to_owned),
        };
        Self { metrics, reporter, method: head.method.clone(), access, began: Instant::now() }
    }

    pub(super) fn set_user(&mut self, user: Option<String>) {
        self.access.user = user;
    }

    /// The answer, whose end is the end of the request.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        self.access.status = response.status().as_u16();
        response.map(|body| Body::new(Counted { body, running: self }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.end(&self.method, self.access.status, self.access.sent);
        if let Some(reporter) = &self.reporter {
            let access = Access { duration: self.began.elapsed(), ..self.access.clone() };
            reporter.tell(Event::Request(access));
        }
    }
}

struct Counted {
    body: Body,
    running: Running,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.running.access.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
