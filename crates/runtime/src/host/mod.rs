//! What every Kubernetes on our hosts needs, whichever runtime makes it: claim, names, content, registry, container
//! engine, way to the API servers, launch commands, readiness, drain, clean-up.

mod applications;
mod control_plane;
mod engine;
mod environment;
mod files;
mod leave;
mod lvscare;
pub mod paths;
mod plugins;
mod prepare;
mod registry;
pub(crate) mod rootfs;
mod script;
mod settings;
mod setup;
mod workloads;

pub use applications::{ApplicationWork, plan_application};
pub(crate) use control_plane::{API_PORT, API_SERVER, ControlPlane, finished_masters, virtual_address};
pub use engine::ContainerEngine;
pub(crate) use environment::ClusterNetwork;
pub use environment::is_own_variable;
pub(crate) use leave::{Leaving, LeavingHost, leave};
pub(crate) use prepare::id;
pub(crate) use registry::check as check_registry;
pub use rootfs::{files_to_read, merge_documents};
pub(crate) use script::Script;
pub(crate) use settings::{LABELS, ROOTFS_GROUP, digest};
pub(crate) use setup::Setup;
