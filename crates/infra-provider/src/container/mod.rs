//! Makes hosts out of containers of this machine's engine.
//!
//! A host is a container that boots systemd and is reached by SSH, as any other machine. Everything that is made carries
//! the label `io.sealer.cluster=<name>` and is found by it again; there is no other memory.
//!
//! Pure: `machine` (names, labels), `select` (which hosts are kept, which made), `subnet` (which addresses), `isolation`
//! (which rights), `boot` (which options). Acting: `engine` (connection), `network`, `host` (one host), `ready` (waiting).

mod boot;
mod engine;
mod host;
mod isolation;
mod machine;
mod network;
mod provider;
mod ready;
mod select;
mod subnet;

pub use provider::{Container, ContainerOptions};
