//! Removes everything that a daemon made.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::dataplanes;
use super::socket::Lock;
use crate::{Addressing, AddressingMode, DataplaneKind, Result, Scheduler, Service, Vip};

/// What to take away.
#[derive(Debug, Clone)]
pub struct CleanRequest {
    /// The virtual address.
    pub vs: SocketAddr,
    /// Where its rules are; everywhere that can be looked at by [`DataplaneKind::Auto`].
    pub dataplane: DataplaneKind,
    /// How this host came to accept it.
    pub addressing: AddressingMode,
    /// The socket of its daemon.
    pub socket: PathBuf,
}

/// Takes the rules of a virtual address away, and what made it usable on this host. No error when there is nothing.
/// Another daemon with the same address, or that needs the same kernel settings, makes them again at its next tick.
///
/// # Errors
/// When a daemon runs, which would make them again, or the kernel refuses.
pub async fn clean(request: &CleanRequest) -> Result<()> {
    // Without the directory, as after a boot, there is no daemon and nothing to lock it out with.
    let directory = request.socket.parent().filter(|directory| !directory.as_os_str().is_empty());
    let lock = directory.is_none_or(Path::exists).then(|| Lock::take(&request.socket)).transpose()?;
    remove_all(request).await?;
    lock.into_iter().for_each(Lock::remove);
    Ok(())
}

/// As [`clean`], for who has the lock. All of it is tried, whatever fails.
pub(super) async fn remove_all(request: &CleanRequest) -> Result<()> {
    // The scheduler does not matter for what goes.
    let service = Service { address: request.vs, scheduler: Scheduler::default() };
    let mut rules = Ok(());
    for dataplane in dataplanes::existing(request.dataplane).await? {
        rules = rules.and(dataplane.remove(&service).await);
    }
    request.addressing().remove(request.vs.ip()).await?;
    rules
}

impl CleanRequest {
    /// What keeps the virtual address usable.
    pub(super) fn addressing(&self) -> Vip {
        Vip::new(self.addressing.clone(), settings_record(&self.socket))
    }
}

/// The file that keeps kernel settings as they were before.
fn settings_record(socket: &Path) -> PathBuf {
    socket.with_extension("settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_kept_beside_the_socket() {
        let socket = Path::new("/run/sealer/lvscare/10.103.97.2:6443.sock");
        assert_eq!(settings_record(socket), Path::new("/run/sealer/lvscare/10.103.97.2:6443.settings"));
    }
}
