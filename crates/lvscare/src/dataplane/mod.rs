//! Reads and changes the rules that the kernel holds.

#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod detect;
#[cfg(any(test, feature = "testing"))]
mod fake;
pub(crate) mod ipvs;
mod nftables;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use async_trait::async_trait;

use crate::{Change, Error, Result, Rules, Service, Traffic};

pub use detect::{DataplaneKind, detect};
#[cfg(any(test, feature = "testing"))]
pub use fake::FakeDataplane;
pub use ipvs::Ipvs;
pub use nftables::Nftables;

/// The kernel's rules for virtual services. Rules of others are never touched.
///
/// A call that takes too long is dropped, and the next one must work all the same.
#[async_trait]
pub trait Dataplane: Send + Sync + std::fmt::Debug {
    /// A short name: `ipvs`, `nftables`.
    fn name(&self) -> &'static str;

    /// What the kernel has for the virtual TCP address `service`; `None` when it has nothing.
    ///
    /// Called every tick, so it must be cheap when nothing changed.
    ///
    /// # Errors
    /// When the kernel refuses to tell or its answer cannot be understood.
    async fn observe(&self, service: SocketAddr) -> Result<Option<Rules>>;

    /// Performs `changes`, which [`crate::reconcile`] made from `wanted` and the last observation, in their order.
    /// A server that leaves also loses its connections: they are cut or expire at their next packet.
    ///
    /// `wanted` are all rules as they will be afterwards, for dataplanes that replace a whole rule at once.
    ///
    /// # Errors
    /// The first change that the kernel refuses; those before it stay.
    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()>;

    /// Takes the virtual service and its servers away; no error when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    async fn remove(&self, service: &Service) -> Result<()>;

    /// What went through each server of `service` so far; empty where the kernel does not count.
    ///
    /// # Errors
    /// When the kernel refuses to tell or its answer cannot be understood.
    async fn traffic(&self, service: SocketAddr) -> Result<BTreeMap<SocketAddr, Traffic>> {
        let _ = service;
        Ok(BTreeMap::new())
    }
}

/// Refuses servers of another address family than the service's.
fn require_one_family(rules: &Rules) -> Result<()> {
    let service = rules.service.address;
    match rules.servers.keys().find(|server| server.is_ipv4() != service.is_ipv4()) {
        Some(other) => {
            Err(Error::Invalid { service, reason: format!("the server {other} is not of the same address family") })
        }
        None => Ok(()),
    }
}
