//! Reads what a daemon is configured by: the configuration and the certificates that it names.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CareConfig;
use super::config::HealthScheme;
use crate::{Error, HttpCheck, HttpProbe, Probe, Result, TcpProbe, TlsCheck, Trust};

/// No file is larger.
const LIMIT: u64 = 1 << 20;

/// Where a configuration comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ConfigSource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// A value that never changes.
    Fixed(Box<CareConfig>),
}

/// Everything that a daemon is configured by, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) config: CareConfig,
    /// The certificates of the authorities that sign for the servers (PEM); none where they do not matter.
    authorities: Vec<u8>,
}

impl ConfigSource {
    /// The configuration as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, or what it says makes no sense.
    pub fn read(&self) -> Result<CareConfig> {
        match self {
            Self::File(path) => CareConfig::parse(path, &read(path)?),
            Self::Fixed(config) => config.check().map(|()| (**config).clone()),
        }
    }

    /// The configuration and what it names, as they are now.
    pub(super) fn load(&self) -> Result<Loaded> {
        let config = self.read()?;
        let authorities = match &config.health.ca {
            Some(path) if config.health.is_verified() => read(path)?,
            _ => Vec::new(),
        };
        Ok(Loaded { config, authorities })
    }
}

impl Loaded {
    /// Whether servers are checked as with `other`.
    pub(super) fn has_same_checks(&self, other: &Self) -> bool {
        self.config.health == other.config.health && self.authorities == other.authorities
    }

    /// Checks servers as the configuration says.
    ///
    /// # Errors
    /// When the check makes no sense, or the certificates are none.
    pub(super) fn probe(&self) -> Result<Arc<dyn Probe>> {
        let health = &self.config.health;
        let check = match health.scheme {
            HealthScheme::Tcp => return Ok(Arc::new(TcpProbe::new())),
            HealthScheme::Http => HttpCheck::http(),
            HealthScheme::Https => {
                let verified = health.is_verified();
                let trust = if verified { Trust::Authorities(self.authorities.clone()) } else { Trust::SkipVerify };
                HttpCheck::https(TlsCheck { trust, server_name: health.server_name.clone() })
            }
        };
        let mut status = check.status.clone();
        status.extend(health.status.iter().map(|code| *code..=*code));
        let check = HttpCheck {
            method: health.method.clone(),
            path: health.path.clone(),
            headers: health.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            body: health.body.clone().into_bytes(),
            status,
            ..check
        };
        Ok(Arc::new(HttpProbe::new(check)?))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = atomic_file::read_limited(path, LIMIT).and_then(|bytes| bytes.ok_or(ErrorKind::NotFound.into()));
    bytes.map_err(|source| Error::Io { act: format!("read {}", path.display()), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_fixed_configuration_is_checked_as_well() {
        let config = CareConfig::new("10.1.1.1:1".parse().unwrap(), vec!["10.1.1.2:1".parse().unwrap()]);
        let error = ConfigSource::Fixed(Box::new(config)).read().unwrap_err();
        assert!(error.to_string().contains("which authority"), "{error}");
    }

    #[test]
    fn files_are_there_and_have_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        assert_eq!(read(&path).unwrap_err().to_string(), format!("cannot read {}", path.display()));
        fs::write(&path, vec![b' '; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
        assert!(read(&path).unwrap_err().to_string().starts_with("cannot read "));
        fs::write(&path, "text").unwrap();
        assert_eq!(read(&path).unwrap(), b"text");
    }

    #[test]
    fn a_probe_needs_certificates_that_can_be_read() {
        let mut config = CareConfig::new("10.1.1.1:1".parse().unwrap(), vec!["10.1.1.2:1".parse().unwrap()]);
        config.health.ca = Some(PathBuf::from("/nowhere/ca.crt"));
        let load = |config: &CareConfig| ConfigSource::Fixed(Box::new(config.clone())).load();
        assert_eq!(load(&config).unwrap_err().to_string(), "cannot read /nowhere/ca.crt");
        let mut loaded = Loaded { config, authorities: b"none".to_vec() };
        assert!(matches!(loaded.probe().unwrap_err(), Error::Check { .. }));
        loaded.config.health.insecure_skip_verify = true;
        load(&loaded.config).unwrap().probe().unwrap();
        loaded.config.health.scheme = HealthScheme::Http;
        loaded.config.health.method = "GET /".to_owned();
        assert!(matches!(loaded.probe().unwrap_err(), Error::Check { .. }));
    }
}
