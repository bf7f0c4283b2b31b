//! The contract suite of every dataplane, whichever part of the kernel it uses.
//!
//! Each case panics with a sentence when the dataplane breaks it. Cases start from nothing and leave nothing behind.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Dataplane, Rules, Scheduler, Service, reconcile};

/// Where the cases play: a dataplane and addresses that nothing else uses.
pub struct Stage {
    /// The dataplane under test.
    pub dataplane: Arc<dyn Dataplane>,
    /// Opens the same part of the kernel once more, as a restarted process would.
    pub again: Box<dyn Fn() -> Arc<dyn Dataplane> + Send + Sync>,
    /// The virtual address under test.
    pub service: SocketAddr,
    /// Other virtual addresses: the same address with another port, and another address with the same port.
    pub neighbours: [SocketAddr; 2],
    /// Servers; one of them with another port.
    pub servers: [SocketAddr; 4],
    /// The schedulers that the dataplane and this kernel have.
    pub schedulers: Vec<Scheduler>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("dataplane", &self.dataplane.name()).field("service", &self.service).finish()
    }
}

/// One case, still to be awaited.
pub type Playing<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A case: its name, and how it is played.
pub type Case = (&'static str, for<'a> fn(&'a Stage) -> Playing<'a>);

/// All cases.
pub const CASES: &[Case] = &[
    ("where nothing is, nothing is observed and nothing needs removing", |s| Box::pin(nothing(s))),
    ("what is made is observed, also by another process", |s| Box::pin(made(s))),
    ("every step of a life converges at once", |s| Box::pin(life(s))),
    ("a weight of 0 keeps the server", |s| Box::pin(weight_zero(s))),
    ("a service without servers is a service", |s| Box::pin(empty(s))),
    ("every scheduler is kept and can be changed to", |s| Box::pin(schedulers(s))),
    ("neighbours are left alone", |s| Box::pin(neighbours(s))),
    ("many servers fit", |s| Box::pin(many(s))),
    ("any state becomes any other in one step", |s| Box::pin(any_to_any(s))),
];

/// Plays all cases.
///
/// # Panics
/// When the dataplane breaks one.
pub async fn all(stage: &Stage) {
    for (_, play) in CASES {
        play(stage).await;
    }
}

async fn nothing(stage: &Stage) {
    stage.clear().await;
    assert_eq!(stage.observed(stage.service).await, None, "observed where nothing is");
    stage.clear().await;
}

async fn made(stage: &Stage) {
    let wanted = stage.wanted(&[(0, 1), (1, 1), (2, 1)]);
    stage.clear().await;
    stage.become_(&wanted).await;
    let again = (stage.again)().observe(stage.service).await.expect("another process observes");
    assert_eq!(again.as_ref(), Some(&wanted), "observed by another process");
    stage.clear().await;
    let again = (stage.again)().observe(stage.service).await.expect("another process observes");
    assert_eq!(again, None, "observed by another process after removal");
}

async fn life(stage: &Stage) {
    stage.clear().await;
    let steps: &[&[(usize, u16)]] = &[
        &[(0, 1)],
        &[(0, 1), (1, 1), (2, 1), (3, 1)],
        &[(1, 1), (2, 1), (3, 1)],
        &[(0, 1), (1, 1), (2, 1), (3, 1)],
        &[(0, 1), (1, 7), (3, 1)],
        &[(2, 1)],
        &[(0, 1), (1, 1)],
    ];
    for step in steps {
        stage.become_(&stage.wanted(step)).await;
    }
    stage.clear().await;
}

async fn weight_zero(stage: &Stage) {
    stage.clear().await;
    stage.become_(&stage.wanted(&[(0, 1), (1, 1)])).await;
    stage.become_(&stage.wanted(&[(0, 1), (1, 0)])).await;
    stage.become_(&stage.wanted(&[(0, 0), (1, 0)])).await;
    stage.become_(&stage.wanted(&[(0, 3), (1, 0)])).await;
    stage.clear().await;
}

async fn empty(stage: &Stage) {
    stage.clear().await;
    stage.become_(&stage.wanted(&[])).await;
    stage.become_(&stage.wanted(&[(0, 1)])).await;
    stage.become_(&stage.wanted(&[])).await;
    stage.clear().await;
}

async fn schedulers(stage: &Stage) {
    stage.clear().await;
    for scheduler in &stage.schedulers {
        let mut wanted = stage.wanted(&[(0, 2), (1, 1)]);
        wanted.service.scheduler = *scheduler;
        stage.become_(&wanted).await;
    }
    stage.clear().await;
}

async fn neighbours(stage: &Stage) {
    stage.clear().await;
    let mut others = Vec::new();
    for (place, address) in stage.neighbours.into_iter().enumerate() {
        let mut other = stage.wanted(&[(place, 1), (place + 1, 5)]);
        other.service.address = address;
        stage.become_(&other).await;
        others.push(other);
    }
    stage.become_(&stage.wanted(&[(0, 1), (1, 1)])).await;
    stage.become_(&stage.wanted(&[(1, 2)])).await;
    for other in &others {
        assert_eq!(stage.observed(other.service.address).await.as_ref(), Some(other), "a neighbour of changes");
    }
    stage.dataplane.remove(&stage.wanted(&[]).service).await.expect("remove");
    for other in &others {
        assert_eq!(stage.observed(other.service.address).await.as_ref(), Some(other), "a neighbour of a removal");
    }
    stage.clear().await;
    for other in &others {
        assert_eq!(stage.observed(other.service.address).await, None, "a neighbour removed");
    }
}

async fn many(stage: &Stage) {
    stage.clear().await;
    let mut wanted = stage.wanted(&[]);
    let host = stage.servers[0].ip();
    wanted.servers = (0..256u16).map(|n| (SocketAddr::new(host, 20_000 + n), u32::from(1 + n % 3))).collect();
    stage.become_(&wanted).await;
    wanted.servers.retain(|address, _| address.port() % 2 == 0);
    stage.become_(&wanted).await;
    stage.clear().await;
}

async fn any_to_any(stage: &Stage) {
    stage.clear().await;
    // A deterministic walk over memberships and weights that visits very different states one after the other.
    let mut seed = 0x9e37_79b9_u64;
    for _ in 0..40 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = seed >> 33;
        let members = (0..4).filter(|n| bits >> n & 1 == 1);
        let members: Vec<(usize, u16)> = members.map(|n| (n, (bits >> (4 + 2 * n) & 3) as u16)).collect();
        let mut wanted = stage.wanted(&members);
        wanted.service.scheduler = stage.schedulers[(bits >> 12) as usize % stage.schedulers.len()];
        stage.become_(&wanted).await;
    }
    stage.clear().await;
}

impl Stage {
    /// The service under test with these servers, each by its place and weight.
    fn wanted(&self, servers: &[(usize, u16)]) -> Rules {
        let service = Service { address: self.service, scheduler: self.schedulers[0] };
        let servers = servers.iter().map(|(place, weight)| (self.servers[*place], u32::from(*weight))).collect();
        Rules { service, servers }
    }

    async fn observed(&self, service: SocketAddr) -> Option<Rules> {
        self.dataplane.observe(service).await.expect("observe")
    }

    /// Brings the kernel to `wanted` as the guard does, and checks that one step was enough.
    async fn become_(&self, wanted: &Rules) {
        let service = wanted.service.address;
        let before = self.observed(service).await;
        let changes = reconcile(wanted, before.as_ref());
        let done = self.dataplane.apply(wanted, &changes).await;
        done.unwrap_or_else(|error| panic!("from {before:?} by {changes:?}: {error}"));
        let after = self.observed(service).await;
        assert_eq!(after.as_ref(), Some(wanted), "from {before:?} by {changes:?}");
        assert_eq!(reconcile(wanted, after.as_ref()), [], "nothing is left to do");
    }

    async fn clear(&self) {
        for address in [self.service].into_iter().chain(self.neighbours) {
            let service = Service { address, scheduler: self.schedulers[0] };
            self.dataplane.remove(&service).await.expect("remove what is there");
            self.dataplane.remove(&service).await.expect("remove what is not there");
            assert_eq!(self.observed(address).await, None, "observed after removal");
        }
    }
}
