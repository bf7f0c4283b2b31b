//! Removes everything that a daemon made.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::parts;
use super::request::{known_services, socket_path};
use super::socket::Lock;
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
    // The scheduler does not matter for what goes.
    let service = Service { address: request.vs, scheduler: Scheduler::default() };
    let mut rules = Ok(());
    for dataplane in parts::dataplanes(request.dataplane).await? {
        rules = rules.and(dataplane.remove(&service).await);
    }
    let record = parts::settings_record(&request.socket);
    let others = neighbours(request);
    if let Some(heir) = others.first() {
        bequeath(&record, &parts::settings_record(heir))?;
    }
    if !others.iter().any(|socket| is_of(socket, request.vs.ip())) {
        Vip::new(request.addressing.clone(), record).remove(request.vs.ip()).await?;
    }
    rules?;
    lock.remove();
    Ok(())
}

/// The sockets of daemons of other virtual addresses beside this one, also of those that ended and left their rules.
fn neighbours(request: &CleanRequest) -> Vec<PathBuf> {
    let Some(directory) = request.socket.parent() else { return Vec::new() };
    let services = known_services(directory).into_iter().filter(|service| *service != request.vs);
    services.map(|service| socket_path(directory, service)).collect()
}

fn is_of(socket: &Path, address: IpAddr) -> bool {
    let service = socket.file_stem().and_then(|name| name.to_str()?.parse::<SocketAddr>().ok());
    service.is_some_and(|service| service.ip() == address)
}

/// Leaves the values that kernel settings had to another daemon, which still needs the present ones and gives those
/// back when it is cleaned up after.
fn bequeath(record: &Path, heir: &Path) -> Result<()> {
    let act = || format!("move {} to {}", record.display(), heir.display());
    if heir.exists() || !record.exists() {
        return Ok(());
    }
    fs::rename(record, heir).map_err(|source| Error::Io { act: act(), source })
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
        assert_eq!(neighbours(&request), [same.clone(), other.clone()]);
        assert!(is_of(&same, request.vs.ip()) && !is_of(&other, request.vs.ip()));
        let [record, heir] = [ours, other].map(|socket| parts::settings_record(&socket));
        bequeath(&record, &heir).unwrap();
        fs::write(&record, "before").unwrap();
        bequeath(&record, &heir).unwrap();
        assert!(!record.exists());
        fs::write(&record, "later").unwrap();
        bequeath(&record, &heir).unwrap();
        assert_eq!(fs::read_to_string(&heir).unwrap(), "before", "the oldest values count");
    }
}
