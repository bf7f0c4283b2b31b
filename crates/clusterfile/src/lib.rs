//! Parses, completes, checks, compares and writes Clusterfiles.
//!
//! A Clusterfile describes the desired cluster: its image, hosts, logins, network and settings. This crate is for
//! programs that read or generate one. It is pure: it does no I/O, knows no async and reads no environment.
//!
//! # Steps
//! 1. [`parse`] turns text into a [`Clusterfile`] with all defaults filled in, or into all of its [`Errors`].
//! 2. A provider fills in [`Cluster::hosts`] when the file asks for machines by number ([`Cluster::machines`]).
//! 3. [`diff`] compares the current cluster with the desired one.
//! 4. [`Clusterfile::to_yaml`] writes it back; what was written parses to the same value.
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
//! A cluster can also be put together in code; [`Cluster::check`] then finds what [`parse`] would have found:
//!
//! ```
//! use clusterfile::{Cluster, MachineSpec, ProviderName};
//!
//! let mut cluster = Cluster::new("my-cluster", "kubernetes:v1.20.2");
//! cluster.provider = ProviderName::ALI_CLOUD;
//! cluster.machines.masters = Some(MachineSpec::of(3).with_size(Some(4), Some(16)));
//! assert_eq!(cluster.check(), []);
//! ```
//!
//! # Features
//! The crate has no cargo features. [`schema`] is the JSON Schema of the format, for editors. Names of providers and
//! runtimes are open ([`ProviderName`], [`RuntimeName`]). Structs that will grow are `#[non_exhaustive]` and have
//! constructors.
//!
//! # Errors
//! Everything that one pass can find is reported together, each [`Error`] with its [`Span`] in the whole file, a message,
//! what was expected and, where one is close, the word that was probably meant. Before a line of the file is shown,
//! [`redacted`] hides its passwords.
//!
//! ```
//! let errors = clusterfile::parse("kind: Cluster\nspec: {imagge: a}\n").expect_err("several mistakes");
//! assert!(errors.iter().any(|error| error.suggestion.as_deref() == Some("image")));
//! ```
//!
//! # Limits
//! [`MAX_BYTES`] a file, [`MAX_HOSTS`] hosts, [`MAX_JUMPS`] jump hosts in a row. Aliases and nesting of YAML are bounded,
//! so no input can exhaust memory or stack.

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
mod system;
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
pub use parse::{MAX_BYTES, is_certificate_name, parse, parse_default, parse_plugins, parse_with_remarks};
pub use redact::redacted;
pub use registry::{ExternalRegistry, RegistrySettings};
pub use schema::schema;
pub use secret::Secret;
pub use ssh::{Jump, MAX_JUMPS, Ssh, SshHost};
pub use suggest::closest;
pub use system::is_cluster_setting;
