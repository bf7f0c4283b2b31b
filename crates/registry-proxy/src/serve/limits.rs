//! Limits what one connection, one peer and all peers together hold at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Connections of all peers.
pub(super) const CONNECTIONS: usize = 1024;
/// Connections of one peer; more are closed at once.
pub(super) const PEER_CONNECTIONS: usize = 32;
/// Requests of all peers that are answered at the same time; each holds up to three chunks of a blob in memory.
pub(super) const REQUESTS: usize = 128;
/// Those of one peer, besides one of each of its connections: none waits until others of the peer take their answers.
pub(super) const PEER_REQUESTS: usize = 16;
/// Those of one connection.
pub(super) const CONNECTION_REQUESTS: usize = 6;
/// A connection without any request is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// How long a new connection waits for the place of one that is to be closed.
const EVICTION: Duration = Duration::from_millis(100);

/// The limits of one server.
#[derive(Debug)]
pub(super) struct Limits {
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    peers: Mutex<HashMap<IpAddr, Weak<Peer>>>,
    /// Every connection, and some that have ended.
    clients: Mutex<Vec<Weak<Client>>>,
}

/// What one peer holds.
#[derive(Debug)]
struct Peer {
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

/// One connection, and what it may still ask for.
#[derive(Debug)]
pub(crate) struct Client {
    limits: Arc<Limits>,
    peer: Arc<Peer>,
    address: IpAddr,
    requests: Arc<Semaphore>,
    /// The place that other connections of the peer do not take.
    first: Arc<Semaphore>,
    /// When the last request began or ended; none before the first.
    active: Mutex<Option<Instant>>,
    opened: Instant,
    /// Another connection needs its place.
    unwanted: Notify,
    _place: [OwnedSemaphorePermit; 2],
}

/// The right to answer one request.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) client: Arc<Client>,
    _permits: [OwnedSemaphorePermit; 3],
}

impl Limits {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            requests: Arc::new(Semaphore::new(REQUESTS)),
            peers: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// A connection of this peer. When all are taken, the one that has been without a request for longest is closed for it; none when there is no
    /// such one, or the peer has as many as it may have.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Client>> {
        let peer = self.peer(network(address));
        let place = peer.connections.clone().try_acquire_owned().ok()?;
        let room = match self.connections.clone().try_acquire_owned() {
            Ok(room) => room,
            Err(_) => {
                self.longest_idle()?.unwanted.notify_one();
                tokio::time::timeout(EVICTION, self.connections.clone().acquire_owned()).await.ok()?.ok()?
            }
        };
        let client = Arc::new(Client {
            limits: self.clone(),
            peer,
            address: address.to_canonical(),
            requests: Arc::new(Semaphore::new(CONNECTION_REQUESTS)),
            first: Arc::new(Semaphore::new(1)),
            opened: Instant::now(),
            active: Mutex::default(),
            unwanted: Notify::new(),
            _place: [room, place],
        });
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= 2 * CONNECTIONS {
            clients.retain(|client| client.strong_count() > 0);
        }
        clients.push(Arc::downgrade(&client));
        Some(client)
    }

    fn longest_idle(&self) -> Option<Arc<Client>> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = clients.iter().filter_map(Weak::upgrade).filter(|client| !client.is_running());
        idle.min_by_key(|client| client.last_use())
    }

    fn peer(&self, address: IpAddr) -> Arc<Peer> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(&address).and_then(Weak::upgrade) {
            return peer;
        }
        peers.retain(|_, peer| peer.strong_count() > 0);
        let peer = Arc::new(Peer {
            connections: Arc::new(Semaphore::new(PEER_CONNECTIONS)),
            requests: Arc::new(Semaphore::new(PEER_REQUESTS)),
        });
        peers.insert(address, Arc::downgrade(&peer));
        peer
    }
}

impl Client {
    /// The only connection of a server of its own.
    pub(super) async fn alone() -> std::io::Result<Arc<Self>> {
        Limits::new()
            .admit(Ipv4Addr::LOCALHOST.into())
            .await
            .ok_or_else(|| std::io::Error::other("no connection is free"))
    }

    /// The address of the peer.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Waits for the turn of one more request of this connection.
    pub(super) async fn place(self: &Arc<Self>) -> std::io::Result<Place> {
        self.touch();
        // Who waits holds nothing of what is shared with more others.
        let acquire = async |places: &Arc<Semaphore>| places.clone().acquire_owned().await;
        let own = acquire(&self.requests).await.map_err(std::io::Error::other)?;
        let peer = tokio::select! {
            biased;
            first = acquire(&self.first) => first,
            shared = acquire(&self.peer.requests) => shared,
        };
        let peer = peer.map_err(std::io::Error::other)?;
        let all = acquire(&self.limits.requests).await.map_err(std::io::Error::other)?;
        Ok(Place { client: self.clone(), _permits: [own, peer, all] })
    }

    /// Whether others have to wait because of what this peer holds.
    pub(super) fn is_crowded(&self) -> bool {
        self.peer.requests.available_permits() == 0 || self.limits.requests.available_permits() == 0
    }

    /// Ready when the connection is of no use: no request came within `first`, none has been running for a while, or another
    /// connection needs its place while it has none.
    pub(super) async fn idle(&self, first: Duration) {
        loop {
            let active = *self.active.lock().unwrap_or_else(PoisonError::into_inner);
            let end = active.map_or(self.opened + first, |last| last + IDLE);
            let now = Instant::now();
            if now >= end && !self.is_running() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(end.max(now + Duration::from_secs(1))) => {}
                () = self.unwanted.notified() => {
                    if !self.is_running() {
                        return;
                    }
                }
            }
        }
    }

    fn is_running(&self) -> bool {
        self.requests.available_permits() < CONNECTION_REQUESTS
    }

    fn last_use(&self) -> Instant {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(self.opened)
    }

    fn touch(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.client.touch();
    }
}

/// Who counts as one peer: an address, of IPv6 the network, in which a host has as many addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    async fn client(limits: &Arc<Limits>, address: &str) -> Option<Arc<Client>> {
        limits.admit(address.parse().unwrap()).await
    }

    /// A place, if there is one at once.
    fn place(client: &Arc<Client>) -> Option<Place> {
        tokio::task::unconstrained(client.place()).now_or_never().map(|place| place.unwrap())
    }

    #[tokio::test]
    async fn a_peer_has_limits_and_takes_nothing_from_others() {
        let limits = Limits::new();
        let mut clients = Vec::new();
        while let Some(client) = client(&limits, "10.0.0.1").await {
            clients.push(client);
        }
        assert_eq!(clients.len(), PEER_CONNECTIONS);
        let mut places = Vec::new();
        for client in &clients {
            places.extend(std::iter::from_fn(|| place(client)));
        }
        assert_eq!(places.len(), PEER_CONNECTIONS + PEER_REQUESTS);
        assert!(clients[0].is_crowded());
        let other = client(&limits, "10.0.0.2").await.unwrap();
        assert!(place(&other).is_some() && !other.is_crowded());
        places.pop();
        assert!(place(&clients[PEER_CONNECTIONS - 1]).is_some(), "there is room again");
        places.clear();
        let greedy: Vec<_> = clients[1..].iter().flat_map(|client| std::iter::from_fn(|| place(client))).collect();
        assert!(greedy.len() > PEER_REQUESTS && place(&clients[0]).is_some(), "a connection has one place of its own");
        drop((places, clients));
        assert!(client(&limits, "10.0.0.1").await.is_some());
        drop(client(&limits, "10.0.0.3").await);
        assert!(limits.peers.lock().unwrap().len() <= 3, "who is gone is forgotten");
    }

    #[tokio::test]
    async fn who_asks_for_nothing_makes_room() {
        let limits = Limits::new();
        let mut clients = Vec::new();
        for number in 0..CONNECTIONS {
            clients.push(client(&limits, &format!("10.0.{}.1", number / PEER_CONNECTIONS)).await.unwrap());
        }
        let busy = place(&clients[0]).unwrap();
        let second = clients.remove(1);
        let closed = tokio::spawn(async move { second.idle(IDLE).await });
        tokio::task::yield_now().await;
        let third = client(&limits, "10.0.255.1").await;
        assert!(third.is_some(), "the longest without a request is closed");
        closed.await.unwrap();
        let places: Vec<_> = clients.iter().skip(1).map(|client| client.requests.clone().try_acquire_owned()).collect();
        assert!(client(&limits, "10.0.254.1").await.is_none(), "all are in use");
        drop((busy, places, third));
    }

    #[tokio::test]
    async fn one_connection_and_all_together_have_limits() {
        let limits = Limits::new();
        let one = client(&limits, "10.0.0.1").await.unwrap();
        let places: Vec<_> = std::iter::from_fn(|| place(&one)).collect();
        assert_eq!(places.len(), CONNECTION_REQUESTS);
        drop(places);
        let mut places = Vec::new();
        for peer in 1..=u8::MAX {
            let client = client(&limits, &format!("10.0.1.{peer}")).await.unwrap();
            places.extend(std::iter::from_fn(|| place(&client)));
        }
        assert_eq!(places.len(), REQUESTS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_ends() {
        let limits = Limits::new();
        let client = client(&limits, "10.0.0.1").await.unwrap();
        let (first, began) = (Duration::from_secs(15), Instant::now());
        client.idle(first).await;
        assert_eq!(began.elapsed().as_secs(), 15);
        let place = client.place().await.unwrap();
        assert!(tokio::time::timeout(IDLE * 10, client.idle(first)).await.is_err(), "it is used");
        drop(place);
        let began = Instant::now();
        client.idle(first).await;
        assert_eq!(began.elapsed(), IDLE);
    }

    #[test]
    fn addresses_of_one_host_are_one_peer() {
        let network = |address: &str| network(address.parse().unwrap());
        assert_eq!(network("fd00::1"), network("fd00::ffff:1"));
        assert_ne!(network("fd00::1"), network("fd00:0:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }
}
