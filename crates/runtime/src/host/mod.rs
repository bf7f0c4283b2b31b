//! What every Kubernetes on our hosts needs, whichever runtime makes it: claim, names, content, registry, container
//! engine, way to the API servers, launch commands, readiness, drain, clean-up.

mod clean;
mod control_plane;
mod engine;
mod environment;
mod files;
mod lvscare;
pub mod paths;
mod prepare;
mod script;
mod setup;
mod workloads;

pub(crate) use clean::{Leaving, leave};
pub(crate) use control_plane::{API_PORT, API_SERVER, ControlPlane, VIRTUAL_ADDRESS};
pub use engine::ContainerEngine;
pub(crate) use environment::ClusterNetwork;
pub use environment::is_own_variable;
pub(crate) use prepare::id;
pub(crate) use script::Script;
pub(crate) use setup::Setup;
