//! How is everything taken away that a carer made?

use std::net::SocketAddr;
use std::path::PathBuf;

use super::parts;
use super::socket::Lock;
use crate::{AddressingMode, DataplaneKind, Result, Scheduler, Service};

/// What to take away.
#[derive(Debug, Clone)]
pub struct CleanRequest {
    /// The virtual address.
    pub vs: SocketAddr,
    /// Where its rules are; everywhere that can be looked at by [`DataplaneKind::Auto`].
    pub dataplane: DataplaneKind,
    /// How this host came to accept it.
    pub addressing: AddressingMode,
    /// The socket of its carer.
    pub socket: PathBuf,
}

/// Takes the rules of a virtual address away, and what made it usable on this host. No error when there is nothing.
///
/// # Errors
/// When a carer runs, which would make them again, or the kernel refuses.
pub async fn clean(request: &CleanRequest) -> Result<()> {
    let lock = Lock::take(&request.socket)?;
    // The scheduler does not matter for what goes.
    let service = Service { address: request.vs, scheduler: Scheduler::default() };
    for dataplane in parts::dataplanes(request.dataplane).await? {
        let addressing = parts::addressing(&request.addressing, &*dataplane, &request.socket);
        crate::clean(&service, &*dataplane, Some(&addressing)).await?;
    }
    lock.remove();
    Ok(())
}
