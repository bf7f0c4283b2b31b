//! Plans and performs the change from the cluster that is to the cluster that is wanted.
//!
//! # Steps
//!
//! 1. [`remote::Remote`] reaches one host (over SSH, or this machine itself).
//! 2. [`gather`] asks every host and the cluster's API what there is: [`Facts`].
//! 3. [`fn@preflight`] turns facts into [`Finding`]s before anything is changed.
//! 4. [`Runtime::plan`] is pure: change, facts and payload in, a printable [`Plan`] out.
//! 5. [`fn@execute`] performs the plan, journals each finished step, and reports.

pub mod error;
pub mod execute;
pub mod facts;
mod facts_gather;
mod facts_parse;
pub mod journal;
pub mod kubeadm;
pub mod plan;
pub mod preflight;

use clusterfile::{Change, Cluster};

pub use error::Error;
pub use execute::{Deliver, Event, ExecuteOptions, Report, execute};
pub use facts::{Facts, HostFacts, Marker, MarkerState};
pub use facts_gather::gather;
pub use journal::Journal;
pub use kubeadm::{Kubeadm, Secrets};
pub use plan::{Action, File, HostChange, Payload, Plan, PlannedHost, Step};
pub use preflight::{Finding, preflight};

/// Who makes hosts a cluster: knows the steps from the observed cluster to the wanted one.
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// The name by which an image's labels select this runtime, for example `kubernetes`.
    fn name(&self) -> &str;

    /// Whether this runtime can make such a cluster at all: asked before any host is made or touched.
    ///
    /// # Errors
    ///
    /// [`Error::NotBuilt`] for what is still to come, [`Error::Unsupported`] for what makes no sense.
    fn supports(&self, cluster: &Cluster) -> Result<(), Error>;

    /// The steps that make `change`, given what was observed and what the image brings.
    ///
    /// Pure: the same inputs give the same plan, byte for byte.
    ///
    /// # Errors
    ///
    /// When the change is one this runtime cannot make, or the payload lacks what it needs.
    fn plan(&self, change: &Change, facts: &Facts, payload: &Payload<'_>) -> Result<Plan, Error>;
}
