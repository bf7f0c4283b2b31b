//! Makes this host accept packets for the virtual address.

mod link;
mod route;
mod settings;
mod vip;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;

use crate::Result;

pub use vip::{AddressingMode, Vip};

/// Makes the virtual address usable on this host: an address or a route, and the settings that go with it.
#[async_trait]
pub trait Addressing: Send + Sync + fmt::Debug {
    /// Sees to it that local clients can use `service`, behind which are `servers`. Called every tick, so it must be
    /// cheap when nothing is missing. True when something was missing and had to be put in place.
    ///
    /// # Errors
    /// When the kernel refuses.
    async fn ensure(&self, service: IpAddr, servers: &[SocketAddr]) -> Result<bool>;

    /// What could not be done at the last time and is not needed for the address itself, such as a kernel setting that
    /// cannot be written; none when all is well.
    fn degraded(&self) -> Option<String> {
        None
    }

    /// Takes away what [`Self::ensure`] put in place, by this process or one before it; no error when nothing is there.
    ///
    /// # Errors
    /// When the kernel refuses.
    async fn remove(&self, service: IpAddr) -> Result<()>;
}
