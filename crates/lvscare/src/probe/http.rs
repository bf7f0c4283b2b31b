//! Checks whether a server answers an HTTP or HTTPS request as it should.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::check::{HealthConfig, HealthScheme};
use super::pool::{Connection, ConnectionPool};
use super::request::{request, template};
use super::tls::TlsClient;
use super::{Probe, Unhealthy, failure, port};
use crate::Result;

/// The most that is read of a body: its end shows that the connection can be used again, and nothing else.
const MAX_BODY: usize = 64 * 1024;
/// A kept connection older than this is replaced, so that the listening socket and the server's certificate are tested
/// again.
const REFRESH_AFTER: Duration = Duration::from_secs(30);
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
    template: Request<Full<Bytes>>,
    tls: Option<TlsClient>,
    /// Statuses that count as healthy besides those from 200 to 399.
    status: BTreeSet<u16>,
    pool: ConnectionPool<Sender>,
}

impl HttpProbe {
    /// A probe that performs this check; `authorities` are certificates (PEM) by which servers are verified.
    ///
    /// # Errors
    /// [`crate::Error::Check`] when the check cannot be performed on any server, such as authorities without a certificate.
    pub fn new(check: &HealthConfig, authorities: &[u8]) -> Result<Self> {
        let template = template(check)?;
        let tls = match check.scheme {
            HealthScheme::Https => Some(TlsClient::new(check, authorities)?),
            _ => None,
        };
        Ok(Self { template, tls, status: check.status.clone(), pool: ConnectionPool::default() })
    }

    async fn ask_afresh(&self, server: SocketAddr) -> Checked<Asked> {
        let stream = port::connect(server).await?;
        let connection = match &self.tls {
            None => open(stream).await,
            Some(tls) => open(tls.connect(stream, server.ip()).await?).await,
        };
        self.ask(server, connection?).await
    }

    async fn ask(&self, server: SocketAddr, mut connection: Connection<Sender>) -> Checked<Asked> {
        let answer = connection.sender.send_request(request(&self.template, server)).await;
        let answer = answer.map_err(|error| failure::http(&error))?;
        let verdict = self.verdict(answer.status().as_u16());
        let reusable = read_body(answer).await? && connection.sender.ready().await.is_ok();
        Ok((reusable.then_some(connection), verdict))
    }

    fn verdict(&self, status: u16) -> Checked<()> {
        if (200..400).contains(&status) || self.status.contains(&status) {
            return Ok(());
        }
        let wanted: String = self.status.iter().map(|code| format!(", {code}")).collect();
        Err(failure::answer(&format!("answered {status}, wanted 200-399{wanted}")))
    }
}

#[async_trait]
impl Probe for HttpProbe {
    async fn check(&self, server: SocketAddr) -> Checked<()> {
        let kept = match self.pool.take(server, REFRESH_AFTER) {
            Some(kept) => self.ask(server, kept).await.ok(),
            None => None,
        };
        let (connection, verdict) = match kept {
            // A server that is about to close an idle connection may say something (408) that is no answer.
            Some((connection, verdict)) if verdict.is_ok() || connection.is_some() => (connection, verdict),
            _ => self.ask_afresh(server).await?,
        };
        if let Some(connection) = connection {
            self.pool.keep(server, connection);
        }
        verdict
    }

    async fn alarm(&self, server: SocketAddr) {
        self.pool.closed(server).await;
    }
}

impl std::fmt::Debug for HttpProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The request may hold secrets.
        f.debug_struct("HttpProbe").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Begins HTTP on a connection; its task notices when the server hangs up.
async fn open(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Checked<Connection<Sender>> {
    let begun = Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = begun.map_err(|error| failure::http(&error))?;
    Ok(Connection::open(sender, async {
        // With an error of HTTP the server talks without being asked, which says nothing about its health.
        connection.await.map_or_else(|error| failure::cause(&error).is_some(), |()| true)
    }))
}

/// Reads the body to its end; false when it is so long that its connection had better be closed.
async fn read_body(answer: Response<Incoming>) -> Checked<bool> {
    let chunked = answer.headers().contains_key(http::header::TRANSFER_ENCODING);
    let until_close = !chunked && answer.body().size_hint().exact().is_none();
    match Limited::new(answer.into_body(), MAX_BODY).collect().await {
        Ok(_) => Ok(true),
        // A TLS connection that ends without a word ends a body of unknown length all the same.
        Err(error) if until_close || error.is::<LengthLimitError>() => Ok(false),
        Err(error) if failure::is_malformed(&*error) => {
            Err(failure::answer("answered with a body that makes no sense"))
        }
        Err(_) => Err(failure::closed("closed the connection in the middle of its answer")),
    }
}
