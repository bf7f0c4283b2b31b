//! Plans and performs the change from the cluster that is to the cluster that is wanted.
//!
//! Everything here is independent of what makes the cluster, except [`kubeadm`]: a [`Runtime`] decides which steps
//! lead from the observed facts to the wanted cluster, and the rest of the crate observes, checks, performs and
//! journals.
//!
//! # Steps
//!
//! 1. [`Runtime::requirements`] tells what to read of the image; [`Secrets::open`] makes the secrets once.
//! 2. [`gather`] asks every host, and the cluster's API through one of them, what there is: [`Facts`].
//! 3. [`Runtime::preflight`] turns facts into [`Finding`]s before anything is changed.
//! 4. [`Runtime::plan`] is pure: a [`Request`] (wanted, observed, image, secrets) in, a printable [`Plan`] out.
//! 5. [`fn@execute`] performs the plan, journals each finished step, and reports.
//! 6. [`Runtime::access`] tells how the cluster is reached: its API server and the administrator's kubeconfig.
//!
//! ```
//! use clusterfile::{Cluster, Clusterfile};
//! use runtime::{Facts, ImageContents, Kubeadm, Payload, Request, Runtime, Secrets};
//!
//! // One host carries the marker of the cluster, and none is wanted any more.
//! let facts: Facts = serde_json::from_str(
//!     r#"{"hosts": {"10.0.0.1": {"marker": {"cluster": "shop", "role": "master", "engine": "containerd"}}}}"#,
//! )?;
//! let wanted = Clusterfile::from(Cluster::new("shop", "shop:1.4"));
//! let secrets = Secrets::make(&wanted.cluster, Kubeadm.requirements().secrets)?;
//! let image = ImageContents::named("shop:1.4");
//! let payload = Payload::new(&image, &secrets);
//!
//! let plan = Kubeadm.plan(&Request::new(&wanted, &facts, &payload))?;
//! assert_eq!(
//!     plan.to_text(),
//!     "cluster shop: 1 host leaves, the cluster is deleted\n  \
//!      10.0.0.1  - master   kubeadm reset · clean · forget\n\
//!      3 steps; nothing was changed\n",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `service` adds tests that need root and `sshd`. Transcript hosts for tests are in the crate `remote`, feature
//! `testing`.
//!
//! # Errors
//!
//! [`Error`] names what failed, where, and what to do about it. A failure of a plan leaves the journal: the same plan
//! again resumes after the last finished step.

mod access;
mod certificates;
pub mod error;
pub mod execute;
pub mod facts;
mod facts_gather;
mod facts_parse;
mod host;
pub mod journal;
pub mod kubeadm;
mod kubeconfig;
mod launch;
pub mod plan;
mod plugins;
pub mod preflight;
mod request;
mod secrets;
mod step;
mod yaml;

use std::net::{IpAddr, Ipv4Addr};

use clusterfile::Clusterfile;

pub use clusterfile::RuntimeName;

pub use access::{Access, ImageTarget, Kubeconfig, Requirements};
pub use certificates::Certified;
pub use error::Error;
pub use execute::{ActionHandler, Event, Events, ExecuteOptions, Progress, Report, execute};
pub use facts::{Facts, HostFacts, Marker, MarkerState};
pub use facts_gather::gather;
pub use host::{
    ApplicationWork, ContainerEngine, files_to_read, is_own_variable, merge_documents, paths, plan_application,
};
pub use journal::Journal;
pub use kubeadm::Kubeadm;
pub use launch::{ApplicationContent, LaunchCommand, LaunchFile, text as launch_text};
pub use plan::{HostChange, Plan, PlannedHost};
pub use plugins::{host_names, with_plugins};
pub use preflight::{Demands, Finding, preflight};
pub use request::{Drain, HostUpdate, ImageContents, ManagedCluster, Payload, Request};
pub use secrets::{SecretSpec, Secrets, SigningKey};
pub use step::{Action, Content, Custom, File, Run, Step, Variable, Wait};

/// The host of steps that concern no host of the cluster: the operator's own machine.
pub const OPERATOR_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Knows the steps from an observed cluster to the wanted one: kubeadm, and what vendors bring.
///
/// All of it is pure: the same inputs give the same answers, byte for byte, and nothing is read or changed.
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// The name by which an image's labels select this runtime, for example `kubernetes`.
    fn name(&self) -> &RuntimeName;

    /// What must be read and made before this runtime plans.
    fn requirements(&self) -> Requirements;

    /// Whether this runtime can make such a cluster of such an image at all: asked before any host is made or touched.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for what is still to come, [`Error::InvalidCluster`] and [`Error::Network`] for what makes no sense,
    /// [`Error::ApplicationImage`] for an image that carries no cluster.
    fn supports(&self, wanted: &Clusterfile, image: &ImageContents) -> Result<(), Error>;

    /// What stands in the way on the hosts; [`fn@preflight`] with this runtime's [`Demands`], and checks of its own.
    fn preflight(&self, request: &Request<'_>) -> Vec<Finding>;

    /// The steps from what is observed to what is wanted; none when everything is as wanted.
    ///
    /// # Errors
    ///
    /// When this runtime cannot make the change, or the image lacks what it needs.
    fn plan(&self, request: &Request<'_>) -> Result<Plan, Error>;

    /// How the wanted cluster is reached from here.
    ///
    /// # Errors
    ///
    /// When the cluster has no control plane, or credentials cannot be made.
    fn access(&self, request: &Request<'_>) -> Result<Access, Error>;
}
