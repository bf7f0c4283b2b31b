//! Removes everything that a daemon made.

use std::fs;
use std::net::{IpAddr, SocketAddr};
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

/// As [`clean`], for who has the lock. What fails keeps the rest from nothing.
pub(super) async fn remove_all(request: &CleanRequest) -> Result<()> {
    // The scheduler does not matter for what goes.
    let service = Service { address: request.vs, scheduler: Scheduler::default() };
    let mut rules = Ok(());
    for dataplane in dataplanes::existing(request.dataplane).await? {
        rules = rules.and(dataplane.remove(&service).await);
    }
    let others = request.neighbours();
    if let Some(other) = others.first() {
        hand_over(&settings_record(&request.socket), &settings_record(other))?;
    }
    if !others.iter().any(|socket| is_of(socket, request.vs.ip())) {
        request.addressing().remove(request.vs.ip()).await?;
    }
    rules
}

impl CleanRequest {
    /// What keeps the virtual address usable.
    pub(super) fn addressing(&self) -> Vip {
        Vip::new(self.addressing.clone(), settings_record(&self.socket))
    }

    /// The sockets of daemons of other virtual addresses beside this one, also of those that ended and left their rules.
    fn neighbours(&self) -> Vec<PathBuf> {
        let Some(directory) = self.socket.parent() else { return Vec::new() };
        let services = known_services(directory).into_iter().filter(|service| *service != self.vs);
        services.map(|service| socket_path(directory, service)).collect()
    }
}

/// The file that keeps kernel settings as they were before.
fn settings_record(socket: &Path) -> PathBuf {
    socket.with_extension("settings")
}

fn is_of(socket: &Path, address: IpAddr) -> bool {
    let service = socket.file_stem().and_then(|name| name.to_str()?.parse::<SocketAddr>().ok());
    service.is_some_and(|service| service.ip() == address)
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
        let [ours, same, other] = ["10.103.97.2:6443", "10.103.97.2:80", "[fd00::2]:6443"]
            .map(|service| socket_path(directory.path(), service.parse().unwrap()));
        for socket in [&ours, &same, &other] {
            drop(Lock::take(socket).unwrap());
        }
        let request = CleanRequest {
            vs: "10.103.97.2:6443".parse().unwrap(),
            dataplane: DataplaneKind::Auto,
            addressing: AddressingMode::Route { source: None },
            socket: ours.clone(),
        };
        assert_eq!(request.neighbours(), [same.clone(), other.clone()]);
        assert!(is_of(&same, request.vs.ip()) && !is_of(&other, request.vs.ip()));
        let [record, successor] = [ours, other].map(|socket| settings_record(&socket));
        hand_over(&record, &successor).unwrap();
        fs::write(&record, "before").unwrap();
        hand_over(&record, &successor).unwrap();
        assert!(!record.exists());
        fs::write(&record, "later").unwrap();
        hand_over(&record, &successor).unwrap();
        assert_eq!(fs::read_to_string(&successor).unwrap(), "before", "the oldest values count");
    }

    #[test]
    fn settings_are_kept_beside_the_socket() {
        let socket = Path::new("/run/sealer/lvscare/10.103.97.2:6443.sock");
        assert_eq!(settings_record(socket), Path::new("/run/sealer/lvscare/10.103.97.2:6443.settings"));
    }
}
