//! Makes hosts on Alibaba Cloud and gives them back.
//!
//! [`AliCloud`] is the provider. What it makes bears the tag `sealer.io/cluster=<name>` and is found by it; what the user
//! gave by id is used and never deleted. Every call that makes something is in the record before it is sent
//! (`ali-cloud.json` in the cluster's state directory) and bears a token, so that a killed run makes nothing twice.
//!
//! Pure: `settings` (what is wanted), `stock` (which types and zones), `backoff` (when to ask again), `tags`,
//! `annotations`, `hosts`, `describe`. Acting: `cloud` (one call), `network`, `address`, `machines`, `orders`, `running`,
//! `discover`, `free`, and over them `create`, `update` and `delete`.

mod address;
pub mod annotations;
pub mod api;
mod backoff;
mod cloud;
mod create;
mod delete;
mod describe;
mod discover;
mod failures;
mod free;
mod hosts;
mod machines;
mod network;
mod options;
mod orders;
mod provider;
mod record;
mod running;
mod settings;
mod stock;
mod tags;
mod update;

pub use options::AliCloudOptions;
pub use provider::AliCloud;
