//! The workflows of sealer: build, apply, delete, each one page; vendors plug in here.
//!
//! # Steps
//!
//! 1. Open a [`Sealer`] with [`Settings`]: roots, credentials and time-outs are arguments, nothing is guessed.
//! 2. Register what you bring: [`Sealer::with_provider`], [`Sealer::with_runtime`].
//! 3. [`build`] makes a cluster image from a Kubefile; [`Sealer::images`] lists, saves and loads them.
//! 4. [`apply`] makes the real cluster match a Clusterfile; [`plan`] says what it would do; [`delete`] takes it back.
//!
//! Every workflow tells what happens through a callback of [`Event`]s and returns values; it never prints.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use sealer_core::{ApplyOptions, Sealer, Settings, apply, clusterfile};
//!
//! let sealer = Sealer::open(Settings::new("/var/lib/sealer", "/root/.sealer"))?;
//! let wanted = clusterfile::parse(&std::fs::read_to_string("Clusterfile")?)?;
//! let report = apply(&sealer, wanted, &ApplyOptions::default(), &|event| println!("{event:?}")).await?;
//! println!("{} steps done", report.done);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`Error`] keeps the failing crate's own error as its source; [`Error::class`] tells what kind of failure it was.

mod apply;
mod binary;
mod build;
mod change;
mod connect;
mod connector;
mod content_delivery;
mod delete;
mod error;
mod event;
pub mod host;
mod nodes;
mod payload;
mod sealer;
pub mod serve;
mod state;
mod unsupported;
mod wanted;
mod workloads;

pub use crate::apply::{Applied, ApplyOptions, Outcome, Planned, apply, plan};
pub use crate::build::{BuildRequest, build, plan_build};
pub use crate::connector::{Connections, Connector, Remotes, SshConnector};
pub use crate::delete::{DeleteOptions, Deleted, delete};
pub use crate::error::{Class, Error};
pub use crate::event::{Event, Events};
pub use crate::nodes::Node;
pub use crate::sealer::{Sealer, Settings, SshSettings};
pub use crate::state::{ClusterState, State};
pub use crate::unsupported::Unsupported;
pub use crate::wanted::{Login, RunRequest, wanted};

// The crates below, so that one dependency is enough.
pub use {
    cloudimage, clusterfile, content_store, infra_provider, kubefile, lvscare, registry_client, registry_proxy, remote,
    runtime,
};
