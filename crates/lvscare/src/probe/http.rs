//! Checks whether a server answers an HTTP or HTTPS request as it should.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::check::{HttpCheck, Scheme};
use super::pool::{Connection, ConnectionPool, Slot};
use super::request::Template;
use super::tls::TlsClient;
use super::{Probe, Unhealthy, failure, port};
use crate::{Error, Result};

/// The most that is read of a body: its end shows that the connection can be used again, and nothing else.
const MAX_BODY: usize = 64 * 1024;
/// The largest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

type Sender = SendRequest<Full<Bytes>>;
type Checked<T> = std::result::Result<T, Unhealthy>;
/// What a request brought: the connection, if it can be used again, and what the answer says about the server.
type Asked = (Option<Connection<Sender>>, Checked<()>);

/// Asks servers over HTTP or HTTPS.
///
/// One connection per server is kept from check to check. Good news on it is believed; after bad news on a connection
/// that ended, a fresh connection decides within the same check.
pub struct HttpProbe {
    template: Template,
    tls: Option<TlsClient>,
    status: Vec<RangeInclusive<u16>>,
    refresh_after: Duration,
    pool: ConnectionPool<Sender>,
}

impl HttpProbe {
    /// A probe that performs this check.
    ///
    /// # Errors
    /// [`Error::Check`] when the check cannot be performed on any server, such as a CA without a certificate.
    pub fn new(check: HttpCheck) -> Result<Self> {
        let template = Template::new(&check)?;
        let tls = match &check.scheme {
            Scheme::Http => None,
            Scheme::Https(tls) => Some(TlsClient::new(tls)?),
        };
        if !check.status.iter().any(|range| !range.is_empty()) {
            return Err(Error::Check { part: "status", reason: "no status would be accepted".to_owned() });
        }
        let refresh_after = check.refresh_after;
        Ok(Self { template, tls, status: check.status, refresh_after, pool: ConnectionPool::default() })
    }

    async fn ask_afresh(&self, server: SocketAddr, slot: &Arc<Slot<Sender>>) -> Checked<Asked> {
        let stream = port::connect(server).await?;
        let connection = match &self.tls {
            None => open(slot, stream).await,
            Some(tls) => open(slot, tls.connect(stream, server.ip()).await?).await,
        };
        self.ask(server, connection?).await
    }

    async fn ask(&self, server: SocketAddr, mut connection: Connection<Sender>) -> Checked<Asked> {
        let answer = connection.sender.send_request(self.template.request(server)).await;
        let answer = answer.map_err(|error| failure::http(&error))?;
        let verdict = self.judge(answer.status().as_u16());
        let reusable = drained(answer).await? && connection.sender.ready().await.is_ok();
        Ok((reusable.then_some(connection), verdict))
    }

    fn judge(&self, status: u16) -> Checked<()> {
        if self.status.iter().any(|range| range.contains(&status)) {
            return Ok(());
        }
        Err(failure::answer(format!("answered {status}, wanted {}", codes(&self.status))))
    }
}

#[async_trait]
impl Probe for HttpProbe {
    async fn check(&self, server: SocketAddr) -> Checked<()> {
        let slot = self.pool.slot(server);
        let kept = match slot.take(self.refresh_after) {
            Some(kept) => self.ask(server, kept).await.ok(),
            None => None,
        };
        let asked = match kept {
            // A server that is about to close an idle connection may say something (408) that is no answer.
            Some((connection, verdict)) if verdict.is_ok() || connection.is_some() => Ok((connection, verdict)),
            _ => self.ask_afresh(server, &slot).await,
        };
        let (connection, verdict) = asked.inspect_err(|_| slot.failed())?;
        slot.answered();
        if let Some(connection) = connection {
            slot.keep(connection);
        }
        verdict
    }

    async fn alarm(&self, server: SocketAddr) {
        self.pool.slot(server).closed().await;
    }

    fn forget(&self, server: SocketAddr) {
        self.pool.forget(server);
    }
}

impl std::fmt::Debug for HttpProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The request may hold secrets.
        f.debug_struct("HttpProbe").field("tls", &self.tls).field("status", &self.status).finish_non_exhaustive()
    }
}

/// Begins HTTP on a connection; its task notices when the server hangs up.
async fn open<S>(slot: &Arc<Slot<Sender>>, stream: S) -> Checked<Connection<Sender>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let begun = Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = begun.map_err(|error| failure::http(&error))?;
    Ok(slot.open(sender, async {
        match connection.await {
            Ok(()) => true,
            // Otherwise the server talks without being asked, which says nothing about its health.
            Err(error) => failure::cause(&error).is_some(),
        }
    }))
}

/// Reads the body to its end; false when it is so long that its connection had better be closed.
async fn drained(answer: Response<Incoming>) -> Checked<bool> {
    let until_close =
        !answer.headers().contains_key(http::header::TRANSFER_ENCODING) && answer.body().size_hint().exact().is_none();
    let (mut body, mut length) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
            // A TLS connection that ends without a word ends such a body all the same.
            Err(_) if until_close => return Ok(false),
            Err(error) if failure::is_malformed(&error) => {
                return Err(failure::answer("answered with a body that makes no sense"));
            }
            Err(_) => return Err(failure::closed("closed the connection in the middle of its answer")),
        }
        if length > MAX_BODY {
            return Ok(false);
        }
    }
    Ok(!until_close)
}

/// Status codes as they are written: `200-399, 404`.
fn codes(ranges: &[RangeInclusive<u16>]) -> String {
    let one = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}
