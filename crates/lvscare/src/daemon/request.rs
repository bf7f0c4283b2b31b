//! Describes what is asked of a daemon, and where its files are.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{CareConfig, watch};
use crate::{AddressingMode, DataplaneKind, Result};

/// Where sockets of daemons are when nobody says otherwise.
pub const RUNTIME_DIRECTORY: &str = "/run/sealer/lvscare";

/// What a daemon is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CareRequest {
    /// What is wanted.
    pub config: ConfigSource,
    /// Which part of the kernel balances.
    pub dataplane: DataplaneKind,
    /// How this host comes to accept the virtual address.
    pub addressing: AddressingMode,
    /// Where it answers questions; see [`socket_path`].
    pub socket: PathBuf,
    /// A file that gets the metrics every few seconds.
    pub metrics_file: Option<PathBuf>,
    /// Take away what is there before anything else.
    pub clean: bool,
    /// Check once, put the rules right, end.
    pub once: bool,
}

/// Where a configuration comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ConfigSource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A value that never changes.
    Fixed(Box<CareConfig>),
}

impl ConfigSource {
    /// The configuration as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, or what it says makes no sense.
    pub fn read(&self) -> Result<CareConfig> {
        match self {
            Self::File(path) => CareConfig::parse(path, &watch::read(path)?),
            Self::Fixed(config) => config.check().map(|()| (**config).clone()),
        }
    }
}

/// The usual socket of the daemon of a virtual address, in a directory such as [`RUNTIME_DIRECTORY`].
#[must_use]
pub fn socket_path(directory: &Path, vs: SocketAddr) -> PathBuf {
    directory.join(format!("{vs}.sock"))
}

/// The virtual addresses whose daemons have or had their sockets in `directory`.
pub(super) fn known_services(directory: &Path) -> Vec<SocketAddr> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut services: Vec<SocketAddr> =
        names.filter_map(|name| name.strip_suffix(".sock.lock").and_then(|name| name.parse().ok())).collect();
    services.sort_unstable();
    services
}

#[cfg(test)]
mod tests {
    use super::super::socket::Socket;
    use super::*;

    #[tokio::test]
    async fn daemons_are_known_by_their_files_also_when_they_ended() {
        let directory = tempfile::tempdir().unwrap();
        let services: [SocketAddr; 2] = ["10.103.97.2:6443".parse().unwrap(), "[fd00::2]:6443".parse().unwrap()];
        for service in services {
            drop(Socket::bind(&socket_path(directory.path(), service)).unwrap());
        }
        std::fs::write(directory.path().join("other.sock.lock"), "").unwrap();
        assert_eq!(known_services(directory.path()), services);
        assert!(known_services(&directory.path().join("none")).is_empty());
    }

    #[test]
    fn a_fixed_configuration_is_checked_as_well() {
        let config = CareConfig::new("10.1.1.1:1".parse().unwrap(), vec!["10.1.1.2:1".parse().unwrap()]);
        let error = ConfigSource::Fixed(Box::new(config)).read().unwrap_err();
        assert!(error.to_string().contains("which authority"), "{error}");
    }
}
