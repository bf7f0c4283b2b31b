//! Removes everything that a daemon made.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::dataplanes;
use super::socket::{Lock, known_services, socket_path};
use crate::{Addressing, AddressingMode, DataplaneKind, Error, Result, Scheduler, Service, Vip};

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
///
/// # Errors
/// When a daemon runs, which would make them again, or the kernel refuses.
pub async fn clean(request: &CleanRequest) -> Result<()> {
    let lock = Lock::take(&request.socket)?;
    remove_all(request).await?;
    lock.remove();
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
    // Also of daemons that ended and left their rules.
    let directory = request.socket.parent().unwrap_or(Path::new(""));
    let others: Vec<_> = known_services(directory).into_iter().filter(|service| *service != request.vs).collect();
    if let Some(other) = others.first() {
        hand_over(&settings_record(&request.socket), &settings_record(&socket_path(directory, *other)))?;
    }
    if !others.iter().any(|other| other.ip() == request.vs.ip()) {
        request.addressing().remove(request.vs.ip()).await?;
    }
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

/// Leaves the values that kernel settings had to another daemon, which still needs the present ones and restores those
/// when it is cleaned up after.
fn hand_over(record: &Path, other: &Path) -> Result<()> {
    if other.exists() || !record.exists() {
        return Ok(());
    }
    let act = || format!("move {} to {}", record.display(), other.display());
    fs::rename(record, other).map_err(|source| Error::Io { act: act(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_is_left_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let [record, other] = ["ours.settings", "other.settings"].map(|name| directory.path().join(name));
        hand_over(&record, &other).unwrap();
        fs::write(&record, "before").unwrap();
        hand_over(&record, &other).unwrap();
        assert!(!record.exists());
        fs::write(&record, "later").unwrap();
        hand_over(&record, &other).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "before", "the oldest values count");
    }

    #[test]
    fn settings_are_kept_beside_the_socket() {
        let socket = Path::new("/run/sealer/lvscare/10.103.97.2:6443.sock");
        assert_eq!(settings_record(socket), Path::new("/run/sealer/lvscare/10.103.97.2:6443.settings"));
    }
}
