//! Keeps one host's kernel load-balancing rules pointing at healthy servers.
//!
//! Local clients reach a set of servers through one virtual address that the kernel itself balances; this crate keeps
//! those rules true and carries no traffic. When it stops or crashes the rules stay as they are.
//!
//! # Steps
//!
//! 1. [`Desired`] says what is wanted: the virtual address, its servers, how they are checked.
//! 2. A [`Probe`] asks each server, all in parallel; so many answers of a kind in a row take it out or bring it back.
//! 3. [`reconcile`] compares the rules that should be with those the kernel has and returns the fewest changes.
//! 4. A [`Dataplane`] reads and changes the kernel: IPVS, or nftables where the kernel has no IPVS.
//!
//! [`Guard`] does all of this over and over, until it is cancelled.

mod addressing;
mod conntrack;
#[cfg(feature = "daemon")]
pub mod daemon;
mod dataplane;
mod desired;
mod duration;
mod error;
mod event;
mod guard;
#[cfg(feature = "daemon")]
mod metrics;
mod netlink;
mod probe;
mod reconcile;
mod rule;
mod status;
#[cfg(feature = "daemon")]
mod supervisor;
#[cfg(feature = "daemon")]
mod unit;

pub use addressing::{Addressing, AddressingMode, Vip};
pub use dataplane::{Dataplane, DataplaneKind, Ipvs, Nftables, detect};
#[cfg(any(test, feature = "testing"))]
pub use dataplane::{FakeDataplane, contract};
pub use desired::{Desired, HealthPolicy};
pub use duration::{duration_text, parse_duration};
pub use error::{Error, Result};
pub use event::Event;
pub use guard::{Guard, GuardHandle};
#[cfg(feature = "daemon")]
pub use metrics::prometheus;
#[cfg(any(test, feature = "testing"))]
pub use probe::{FakeBehavior, FakeProbe};
pub use probe::{HealthConfig, HealthProbe, HealthScheme, Probe, Unhealthy, UnhealthyKind};
pub use reconcile::reconcile;
pub use rule::{Change, FOREIGN, Rules, Scheduler, Service};
pub use status::{ServerState, ServerStatus, Status, Traffic};
#[cfg(feature = "daemon")]
pub use supervisor::Supervisor;
#[cfg(feature = "daemon")]
pub use unit::Unit;
