//! Does a server answer an HTTP or HTTPS request as it should?

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::check::{AnswerBody, HttpCheck, Scheme};
use super::connection::Connection;
use super::kept::{Kept, Seat};
use super::request::Request;
use super::response::Response;
use super::tls::TlsClient;
use super::{Probe, Unhealthy, failure};
use crate::{Error, Result};

/// After a server proved to be slow and not stuck, no second connection is opened beside its kept one for so long.
const SLOW: Duration = Duration::from_secs(5);

/// Asks servers over HTTP or HTTPS.
///
/// One connection per server is kept from check to check. What a kept connection says is believed when it is good or
/// complete; in all other cases a fresh connection decides within the same check.
#[derive(Debug)]
pub struct HttpProbe {
    exchange: Exchange,
    hedge_after: Duration,
    refresh_after: Duration,
    kept: Kept,
}

/// What is exchanged with a server.
struct Exchange {
    tls: Option<TlsClient>,
    request: Request,
    head_only: bool,
    status: Vec<RangeInclusive<u16>>,
    answer: Option<AnswerBody>,
}

/// A connection after an exchange, and what the answer says about the server.
type Asked = (Connection, std::result::Result<(), Unhealthy>);

impl HttpProbe {
    /// A probe that performs this check.
    ///
    /// # Errors
    /// [`Error::Check`] when the check cannot be performed on any server, such as a CA without a certificate.
    pub fn new(check: HttpCheck) -> Result<Self> {
        let request = Request::new(&check)?;
        let tls = match &check.scheme {
            Scheme::Http => None,
            Scheme::Https(tls) => Some(TlsClient::new(tls)?),
        };
        if !check.status.iter().any(|range| !range.is_empty()) {
            return Err(Error::Check { part: "status", reason: "no status would be accepted".to_owned() });
        }
        let head_only = check.method == "HEAD";
        let exchange = Exchange { tls, request, head_only, status: check.status, answer: check.answer };
        let (hedge_after, refresh_after) = (check.hedge_after, check.refresh_after);
        Ok(Self { exchange, hedge_after, refresh_after, kept: Kept::default() })
    }

    /// Asks over the kept connection, and over a fresh one when that fails or is slow.
    async fn over_kept(
        &self,
        server: SocketAddr,
        seat: &Seat,
        kept: Connection,
    ) -> std::result::Result<Asked, Unhealthy> {
        let afresh = self.afresh(server, seat);
        if !seat.may_hedge() {
            return match self.exchange.ask(server, kept).await {
                Ok(asked) if decides(&asked) => Ok(asked),
                _ => afresh.await,
            };
        }
        let mut kept = pin!(self.exchange.ask(server, kept));
        match timeout(self.hedge_after, &mut kept).await {
            Ok(Ok(asked)) if decides(&asked) => return Ok(asked),
            Ok(_) => return afresh.await,
            Err(_) => {}
        }
        let mut afresh = pin!(afresh);
        tokio::select! {
            answer = &mut afresh => answer,
            answer = &mut kept => match answer {
                Ok(asked) if decides(&asked) => {
                    seat.hedge_not_before(Instant::now() + SLOW);
                    Ok(asked)
                }
                _ => afresh.await,
            },
        }
    }

    async fn afresh(&self, server: SocketAddr, seat: &Seat) -> std::result::Result<Asked, Unhealthy> {
        let connection = Connection::open(server, self.exchange.tls.as_ref()).await?;
        let asked = self.exchange.ask(server, connection).await?;
        seat.alive_afresh();
        Ok(asked)
    }
}

#[async_trait]
impl Probe for HttpProbe {
    async fn check(&self, server: SocketAddr) -> std::result::Result<(), Unhealthy> {
        let seat = self.kept.seat(server);
        let asked = match seat.take(self.refresh_after) {
            Some(kept) => self.over_kept(server, &seat, kept).await,
            None => self.afresh(server, &seat).await,
        };
        match asked {
            Ok((connection, verdict)) => {
                if connection.response().reusable() {
                    seat.keep(connection);
                }
                verdict
            }
            Err(unhealthy) => {
                seat.dead();
                Err(unhealthy)
            }
        }
    }

    async fn alarm(&self, server: SocketAddr) {
        self.kept.seat(server).alarm().await;
    }

    fn forget(&self, server: SocketAddr) {
        self.kept.forget(server);
    }
}

impl Exchange {
    async fn ask(&self, server: SocketAddr, mut connection: Connection) -> std::result::Result<Asked, Unhealthy> {
        let request = self.request.bytes(server);
        connection.exchange(&request, self.head_only, self.answer.is_some()).await?;
        let verdict = self.judge(connection.response());
        Ok((connection, verdict))
    }

    fn judge(&self, response: &Response) -> std::result::Result<(), Unhealthy> {
        let status = response.status();
        if !self.status.iter().any(|range| range.contains(&status)) {
            return Err(failure::answer(format!("answered {status}, wanted {}", codes(&self.status))));
        }
        let Some(wanted) = &self.answer else { return Ok(()) };
        let Some(body) = response.body() else {
            return Err(failure::answer(format!("answered {status} with more than 64 KiB")));
        };
        match wanted {
            AnswerBody::Exact(wanted) if body.trim_ascii() == wanted.trim_ascii() => Ok(()),
            AnswerBody::Contains(wanted) if contains(body, wanted) => Ok(()),
            AnswerBody::Exact(wanted) => {
                Err(failure::answer(format!("answered {}, wanted {}", quoted(body), quoted(wanted))))
            }
            AnswerBody::Contains(wanted) => {
                Err(failure::answer(format!("answered {}, without the wanted {}", quoted(body), quoted(wanted))))
            }
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The request may hold secrets.
        f.debug_struct("Exchange").field("tls", &self.tls).field("status", &self.status).finish_non_exhaustive()
    }
}

/// Whether what a kept connection brought needs no second opinion: good news, or bad news on a connection that goes
/// on. A server that is about to close an idle connection may say something (408) that is no answer.
fn decides((connection, verdict): &Asked) -> bool {
    verdict.is_ok() || connection.response().reusable()
}

/// Status codes as they are written: `200-399, 404`.
fn codes(ranges: &[RangeInclusive<u16>]) -> String {
    let mut text = String::new();
    for range in ranges {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&range.start().to_string());
        if range.start() != range.end() {
            text.push_str(&format!("-{}", range.end()));
        }
    }
    text
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}

/// The beginning of a text from outside, fit for one line.
fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 48;
    let bytes = bytes.trim_ascii();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("{text:?}{more}")
}
