//! A forward proxy: clients that have it as their `HTTPS_PROXY` reach registries under their own names, and are answered from the sources.
//!
//! `config` says which hosts are meant, `mint` makes certificates for them, `proxy` accepts connections, `tunnel` answers what is asked in them.

mod config;
mod mint;
mod proxy;
mod tunnel;

pub use config::ForwardConfig;
pub use proxy::{ForwardProxy, serve_forward};
pub(crate) use proxy::{check, listen};
