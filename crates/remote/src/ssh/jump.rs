//! Shares the connections to jump hosts among the hosts behind them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use russh::client::Msg;
use russh::{ChannelOpenFailure, ChannelStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connect::Connection;
use super::route::{Server, named};
use crate::Error;

/// Hosts behind one connection. Servers do not count these channels (`MaxSessions` counts commands), but all of them
/// share the speed of one connection and go down with it.
const HOSTS: usize = 32;
/// How often another connection is tried when one turns out to be broken or full.
const ATTEMPTS: usize = 4;

/// The connections to jump hosts, shared by the hosts behind them.
///
/// Clones share, too. A connection is made when the first host needs it, made anew when it broke, and ended when the
/// last clone and the last [`super::Ssh`] that was connected through this are dropped.
#[derive(Debug, Clone, Default)]
pub struct Jumps {
    chains: Arc<Mutex<Vec<Arc<Chain>>>>,
}

impl Jumps {
    /// A byte stream to a server, over one or several jump hosts.
    pub(super) fn forwarded<'a>(
        &'a self,
        hops: &'a [Server],
        to: &'a Server,
    ) -> BoxFuture<'a, Result<ForwardedStream, Error>> {
        async move {
            let chain = self.chain(hops);
            let mut attempt = 0;
            loop {
                let slot = chain.place(self).await;
                let ForwardSlot { jump, place, fresh } =
                    slot.map_err(|source| Error::JumpHost { host: to.host.clone(), source })?;
                attempt += 1;
                let refusal = match forward(&jump.link, to).await {
                    Ok(stream) => {
                        return Ok(ForwardedStream {
                            stream,
                            guard: ForwardGuard {
                                jump: jump.link.clone(),
                                hops: hops.len(),
                                through: named(hops),
                                _place: place,
                            },
                        });
                    }
                    Err(refusal) => refusal,
                };
                let another = matches!(refusal, Refusal::Broken(_) | Refusal::Full);
                if another && !fresh && attempt < ATTEMPTS {
                    jump.retired.store(true, Ordering::Release);
                    continue;
                }
                return Err(refusal.into_error(hops, to));
            }
        }
        .boxed()
    }

    fn chain(&self, hops: &[Server]) -> Arc<Chain> {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = chains.iter().find(|chain| chain.hops == hops) {
            return chain.clone();
        }
        let chain =
            Arc::new(Chain { hops: hops.to_vec(), links: tokio::sync::Mutex::default(), ended: AtomicU64::new(0) });
        chains.push(chain.clone());
        chain
    }
}

/// A way through jump hosts: the byte stream, and what must stay as long as it is used.
pub(super) struct ForwardedStream {
    pub(super) stream: ChannelStream<Msg>,
    pub(super) guard: ForwardGuard,
}

/// Keeps the jump hosts' connections.
pub(super) struct ForwardGuard {
    jump: Arc<Connection>,
    /// How many jump hosts there are.
    pub(super) hops: usize,
    /// Their names.
    pub(super) through: String,
    _place: OwnedSemaphorePermit,
}

impl ForwardGuard {
    /// Why the last jump host's connection ended, when it did.
    pub(super) fn end(&self) -> Option<String> {
        self.jump.end().map(|end| format!("the connection to the jump host {} broke: {end}", self.through))
    }
}

/// The connections that end at the last of these jump hosts.
#[derive(Debug)]
struct Chain {
    hops: Vec<Server>,
    links: tokio::sync::Mutex<Links>,
    /// How many attempts to make a connection have come to an end.
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct Links {
    open: Vec<Arc<Jump>>,
    /// How the last attempt failed, if it did.
    failure: Option<Arc<Error>>,
}

/// One connection to a jump host.
#[derive(Debug)]
struct Jump {
    link: Arc<Connection>,
    places: Arc<Semaphore>,
    /// It is of no use for further hosts.
    retired: AtomicBool,
}

/// The right to open one channel.
struct ForwardSlot {
    jump: Arc<Jump>,
    place: OwnedSemaphorePermit,
    /// The connection was made for this one.
    fresh: bool,
}

impl Chain {
    /// A place on a connection that has one, or on a new one.
    ///
    /// They are made one after the other, because servers refuse clients that connect often (`MaxStartups`); and who
    /// waited for an attempt that failed takes part in the failure, so that a wrong password is tried once.
    async fn place(&self, jumps: &Jumps) -> Result<ForwardSlot, Arc<Error>> {
        let seen = self.ended.load(Ordering::Acquire);
        let mut links = self.links.lock().await;
        links.open.retain(|jump| !jump.retired.load(Ordering::Acquire) && !jump.link.handle.is_closed());
        for jump in &links.open {
            if let Ok(place) = jump.places.clone().try_acquire_owned() {
                return Ok(ForwardSlot { jump: jump.clone(), place, fresh: false });
            }
        }
        if let Some(failure) = links.failure.as_ref().filter(|_| self.ended.load(Ordering::Acquire) > seen) {
            return Err(failure.clone());
        }
        let opened = self.open(jumps).await;
        self.ended.fetch_add(1, Ordering::AcqRel);
        match opened {
            Ok(ForwardSlot { jump, place, fresh }) => {
                links.failure = None;
                links.open.push(jump.clone());
                Ok(ForwardSlot { jump, place, fresh })
            }
            Err(failure) => {
                links.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    async fn open(&self, jumps: &Jumps) -> Result<ForwardSlot, Arc<Error>> {
        let opened = match self.hops.as_slice() {
            [] => Err(Error::Task { detail: "a chain of jump hosts without any".to_owned() }),
            [only] => Connection::open(only, None).await,
            [before @ .., last] => match jumps.forwarded(before, last).await {
                Ok(forwarded) => Connection::open(last, Some(forwarded)).await,
                Err(error) => Err(error),
            },
        };
        let link = opened.map_err(|error| match error {
            // What matters is which jump host failed, not which host is behind it.
            Error::JumpHost { source, .. } => source,
            error => Arc::new(error),
        })?;
        let places = Arc::new(Semaphore::new(HOSTS));
        let place = places.clone().try_acquire_owned();
        let place = place.map_err(|error| Arc::new(Error::Task { detail: error.to_string() }))?;
        Ok(ForwardSlot {
            jump: Arc::new(Jump { link: Arc::new(link), places, retired: AtomicBool::new(false) }),
            place,
            fresh: true,
        })
    }
}

/// Why a jump host does not give a way to a server.
enum Refusal {
    /// It cannot connect there.
    NoConnection,
    /// It may not.
    Forbidden,
    /// It has no room for another channel.
    Full,
    /// It says nothing.
    Silent,
    /// Its own connection ended.
    Broken(String),
}

impl Refusal {
    fn into_error(self, hops: &[Server], to: &Server) -> Error {
        let through = named(hops);
        let unreachable = |detail: &str| to.unreachable(Some(&through), detail);
        match (self, hops.last()) {
            (Self::NoConnection, _) => {
                unreachable("the jump host cannot connect there: nothing listens, or it has no route to it")
            }
            (Self::Full, _) => unreachable("the jump host has no room for another connection"),
            (Self::Silent, _) => unreachable(&format!("no answer within {} s", to.timeout.as_secs())),
            (Self::Forbidden, Some(jump)) => {
                Error::ForwardingRefused { host: to.host.clone(), port: to.port, jump: jump.host.clone() }
            }
            (Self::Broken(detail), Some(jump)) => Error::JumpHost {
                host: to.host.clone(),
                source: Arc::new(Error::ConnectionLost { host: jump.host.clone(), detail }),
            },
            (Self::Forbidden | Self::Broken(_), None) => unreachable("there is no jump host"),
        }
    }
}

/// Has a jump host connect to a server.
async fn forward(link: &Arc<Connection>, to: &Server) -> Result<ChannelStream<Msg>, Refusal> {
    let (jump, host, port) = (link.clone(), to.host.to_string(), u32::from(to.port));
    // A task of its own: a channel that opens after we gave up must still be closed, which dropping its stream does.
    let opening = tokio::spawn(async move {
        let channel = jump.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await?;
        Ok::<_, russh::Error>(channel.into_stream())
    });
    match timeout(to.timeout, opening).await {
        Ok(Ok(Ok(stream))) => Ok(stream),
        Ok(Ok(Err(russh::Error::ChannelOpenFailure(reason)))) => Err(match reason {
            ChannelOpenFailure::ConnectFailed => Refusal::NoConnection,
            ChannelOpenFailure::AdministrativelyProhibited | ChannelOpenFailure::UnknownChannelType => {
                Refusal::Forbidden
            }
            ChannelOpenFailure::ResourceShortage | ChannelOpenFailure::Other { .. } => Refusal::Full,
        }),
        Ok(Ok(Err(error))) => Err(Refusal::Broken(link.end().unwrap_or_else(|| error.to_string().to_lowercase()))),
        Ok(Err(error)) => Err(Refusal::Broken(error.to_string())),
        Err(_) => Err(link.end().map_or(Refusal::Silent, Refusal::Broken)),
    }
}
