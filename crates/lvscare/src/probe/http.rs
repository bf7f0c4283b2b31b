//! Checks whether a server accepts connections, and answers an HTTP or HTTPS request as it should.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::check::{HealthConfig, HealthScheme};
use super::metered::{Allowance, metered};
use super::pool::{Connection, ConnectionPool};
use super::request::{request, template};
use super::tls::TlsClient;
use super::{Checked, Probe, failure, port};
use crate::Result;

/// The most that is read of a body: its end shows that the connection can be used again, and nothing else.
const MAX_BODY: usize = 64 * 1024;
/// A kept connection older than this is replaced, so that the listening socket and the server's certificate are tested
/// again.
const REFRESH_AFTER: Duration = Duration::from_secs(30);
/// The largest head of an answer.
const MAX_HEAD: usize = 16 * 1024;
/// All bytes of an answer: what begins TLS and what frames it, heads that only announce the next, the body.
const MAX_ANSWER: usize = 128 * 1024;
/// The most that is read from a server that was not asked, until it is.
const MAX_UNREQUESTED: usize = 16 * 1024;

/// What a request brought: the connection, if it can be used again, and what the answer says about the server.
type Asked = (Option<Connection>, Checked<()>);

/// Asks servers over HTTP or HTTPS, or only connects to them, as a [`HealthConfig`] says.
///
/// One connection per server is kept from check to check. Good news on it is believed; after bad news on a connection
/// that ended, a fresh connection decides within the same check. Where nothing is asked each check makes a connection of
/// its own, and the kept one shows when the server dies.
pub struct HealthProbe {
    scheme: HealthScheme,
    template: Request<Full<Bytes>>,
    tls: Option<TlsClient>,
    /// Statuses that count as healthy besides those from 200 to 399.
    status: BTreeSet<u16>,
    pool: ConnectionPool,
}

impl HealthProbe {
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
        Ok(Self { scheme: check.scheme, template, tls, status: check.status.clone(), pool: ConnectionPool::default() })
    }

    async fn ask_afresh(&self, server: SocketAddr) -> Checked<Asked> {
        let allowance = Allowance::new(MAX_ANSWER.into());
        let mut stream = metered(port::connect(server).await?, &allowance);
        let request = request(&self.template, server);
        let connection = match &self.tls {
            None if self.scheme == HealthScheme::Tcp => Connection::open(None, allowance, async move {
                let said_too_much = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                said_too_much.map_or_else(|error| error.kind() != ErrorKind::FileTooLarge, |_| true)
            }),
            None => begin(stream, request, allowance).await?,
            Some(tls) => begin(tls.connect(stream, server.ip()).await?, request, allowance).await?,
        };
        self.ask(connection).await
    }

    async fn ask(&self, mut connection: Connection) -> Checked<Asked> {
        connection.allowance.store(MAX_ANSWER, Relaxed);
        let (mut reusable, mut verdict) = (true, Ok(()));
        if let Some((sender, request)) = &mut connection.asker {
            let answer = sender.send_request(request.clone()).await.map_err(|error| failure::http(&error))?;
            verdict = self.verdict(answer.status().as_u16());
            reusable = read_body(answer).await? && sender.ready().await.is_ok();
        }
        connection.allowance.store(MAX_UNREQUESTED, Relaxed);
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
impl Probe for HealthProbe {
    async fn check(&self, server: SocketAddr) -> Checked<()> {
        let asked = match self.pool.take(server, REFRESH_AFTER) {
            Some(kept) if kept.asker.is_some() => self.ask(kept).await.ok(),
            _ => None,
        };
        let (connection, verdict) = match asked {
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

impl std::fmt::Debug for HealthProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The request may hold secrets.
        f.debug_struct("HealthProbe").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Begins HTTP on a connection; its task notices when the server hangs up.
async fn begin(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
    allowance: Allowance,
) -> Checked<Connection> {
    let begun = Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = begun.map_err(|error| failure::http(&error))?;
    // A server that talks without being asked says nothing about its health.
    let hung_up = |error| failure::kind(&error).is_some_and(|kind| kind != ErrorKind::FileTooLarge);
    let running = async move { connection.await.map_or_else(hung_up, |()| true) };
    Ok(Connection::open(Some((sender, request)), allowance, running))
}

/// Reads the body to its end; false when it is so long that its connection had better be closed.
async fn read_body(answer: Response<Incoming>) -> Checked<bool> {
    let chunked = answer.headers().contains_key(http::header::TRANSFER_ENCODING);
    let until_close = !chunked && answer.body().size_hint().exact().is_none();
    let (mut body, mut length) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        length += match frame {
            Ok(frame) => frame.data_ref().map_or(0, Bytes::len),
            Err(error) => match failure::kind(&error) {
                Some(ErrorKind::FileTooLarge) => return Err(failure::http(&error)),
                // A TLS connection that ends without a word ends a body of unknown length all the same.
                _ if until_close => return Ok(false),
                Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
                    return Err(failure::answer("answered with a body that makes no sense"));
                }
                _ => return Err(failure::closed("closed the connection in the middle of its answer")),
            },
        };
        if length > MAX_BODY {
            return Ok(false);
        }
    }
    Ok(true)
}
