//! The Clusterfile as data: parse, default, check, compare, write back.
//!
//! # Steps
//! [`parse`] turns text into a [`Clusterfile`] or into all of its [`Errors`]; a provider fills in [`Cluster::hosts`];
//! [`diff`] compares the cluster that is with the cluster that is wanted; [`Clusterfile::to_yaml`] writes it back.
//! Nothing here does I/O, knows async, or looks at the surroundings.
//!
//! ```
//! let file = clusterfile::parse("
//! apiVersion: sealer.io/v2
//! kind: Cluster
//! metadata: {name: my-cluster}
//! spec:
//!   image: kubernetes:v1.20.2
//!   hosts:
//!     - {ips: [192.168.0.2], roles: [master]}
//!     - {ips: [192.168.0.3-192.168.0.5], roles: [node]}
//! ")?;
//! let change = clusterfile::diff(None, &file.cluster);
//! assert_eq!(change.kind, clusterfile::ChangeKind::Create);
//! assert_eq!(change.joins.len(), 4);
//! assert_eq!(clusterfile::parse(&file.to_yaml())?, file);
//! # Ok::<(), clusterfile::Errors>(())
//! ```
//!
//! # Errors
//! Everything that can be found wrong in one pass is reported together, each [`Error`] with its [`Span`] in the whole
//! file. Before a line of the file is shown, [`redacted`] hides its passwords.

mod addresses;
mod check;
mod cluster;
mod diff;
mod documents;
mod emit;
mod env;
mod error;
mod format;
mod host;
mod machine;
mod names;
mod network;
mod parse;
mod redact;
mod registry;
#[cfg(test)]
mod roundtrip_tests;
mod schema;
mod secret;
mod ssh;
mod suggest;
mod yaml;

pub use addresses::{MAX_HOSTS, MachinesArg, machines_or_addresses};
pub use cluster::{Cluster, Clusterfile, HostAlias};
pub use diff::{Change, ChangeKind, ImageChange, Setting, diff};
pub use documents::{
    Application, ApplicationConfig, ApplicationFile, Config, KubeadmDocument, KubeadmKind, Plugin, Strategy,
};
pub use env::{Env, env_pair};
pub use error::{Error, ErrorKind, Errors, Span};
pub use host::{Host, Role};
pub use machine::{Disk, MachineSpec, Machines};
pub use names::{ProviderName, RuntimeName};
pub use network::{Cidr, CidrList, Network};
pub use parse::{MAX_BYTES, parse, parse_default};
pub use redact::redacted;
pub use registry::{ExternalRegistry, RegistrySettings};
pub use schema::schema;
pub use secret::Secret;
pub use ssh::{Jump, MAX_JUMPS, Ssh, SshHost};
