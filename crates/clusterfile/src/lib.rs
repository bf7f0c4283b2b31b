//! The Clusterfile as data: parse, default, check, compare, write back.
//!
//! # Steps
//! [`parse`] turns text into a [`Clusterfile`] or into all of its [`Errors`]; a provider fills in [`Cluster::hosts`];
//! [`diff`] compares the cluster that is with the cluster that is wanted; [`Clusterfile::to_yaml`] writes it back.
//! Nothing here does I/O, knows async, or looks at the surroundings.

mod addresses;
mod check;
mod cluster;
mod diff;
mod documents;
mod emit;
mod env;
mod error;
mod host;
mod machine;
mod network;
mod parse;
mod redact;
mod registry;
mod secret;
mod ssh;
mod suggest;
mod yaml;

pub use addresses::{MAX_HOSTS, MachinesArg, machines_or_addresses};
pub use cluster::{Cluster, Clusterfile, HostAlias, ProviderKind};
pub use diff::{Change, ChangeKind, ImageChange, Setting, diff};
pub use documents::{
    Application, ApplicationConfig, ApplicationFile, Config, KubeadmDocument, KubeadmKind, Plugin,
    Strategy,
};
pub use env::{Env, env_pair};
pub use error::{Error, ErrorKind, Errors, Span};
pub use host::{Host, Role};
pub use machine::{Disk, MachineSpec, Machines};
pub use network::{Cidr, CidrList, Network};
pub use parse::{MAX_BYTES, parse, parse_default};
pub use redact::redacted;
pub use registry::{ExternalRegistry, RegistrySettings};
pub use secret::Secret;
pub use ssh::Ssh;
