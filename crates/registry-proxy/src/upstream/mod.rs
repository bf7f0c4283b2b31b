//! Upstream registries as a `Source`: what they have is fetched once, cached in a content store, and served when they cannot be asked.
//!
//! `config` says which upstream answers for which names, `client` makes the registry of one, `limit` slows it down, `memory` knows for how long
//! an answer holds, `cache` keeps manifests in the store, `manifest` and `blob` answer requests.

mod blob;
mod cache;
mod client;
mod config;
mod limit;
mod manifest;
mod memory;
mod source;

pub use config::UpstreamConfig;
pub(crate) use config::matches;
pub use source::UpstreamSource;

/// Reads the files that configurations name, and checks that everything fits together. Nothing is sent.
pub(crate) fn check(configs: &[UpstreamConfig]) -> crate::Result<()> {
    configs.iter().try_for_each(|config| client::Upstream::new(config.clone()).map(drop))
}
