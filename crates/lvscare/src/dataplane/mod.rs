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

use crate::{Change, Result, Rules, Service, Traffic};

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
    /// `wanted` are all rules as they will be afterwards, for dataplanes that replace a whole rule at once. They are such
    /// as [`crate::Desired::validate`] lets pass; what is not is left to the kernel to refuse.
    ///
    /// # Errors
    /// The first change that the kernel refuses; those before it stay.
    async fn apply(&self, wanted: &Rules, changes: &[Change]) -> Result<()>;

    /// Takes the virtual service and its servers away; no error when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    async fn remove(&self, service: &Service) -> Result<()>;

    /// What went through each server of a virtual address so far; empty where the kernel does not count.
    ///
    /// # Errors
    /// When the kernel refuses to tell or its answer cannot be understood.
    async fn traffic(&self, _service: SocketAddr) -> Result<BTreeMap<SocketAddr, Traffic>> {
        Ok(BTreeMap::new())
    }
}
