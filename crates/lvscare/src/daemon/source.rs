//! Reads what a daemon is configured by, the configuration and the certificates that it names, again when they change.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CareConfig;
use crate::{Error, GuardHandle, HealthProbe, Probe, Result};

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
    /// Its file.
    text: Vec<u8>,
    /// The certificates of the authorities that sign for the servers (PEM); none where they do not matter.
    authorities: Vec<u8>,
}

impl ConfigSource {
    /// The configuration as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, or what it says makes no sense.
    pub fn read(&self) -> Result<CareConfig> {
        self.parse(&self.text()?)
    }

    fn text(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => read(path),
            Self::Fixed(_) => Ok(Vec::new()),
        }
    }

    fn parse(&self, text: &[u8]) -> Result<CareConfig> {
        match self {
            Self::File(path) => {
                let mut config = CareConfig::parse(path, text)?;
                // What a file names is looked for beside it, wherever the daemon was started.
                config.health.ca = config.health.ca.map(|ca| path.with_file_name(ca));
                Ok(config)
            }
            Self::Fixed(config) => config.check().map(|()| (**config).clone()),
        }
    }

    /// The configuration and what it names, as they are now.
    pub(super) fn load(&self) -> Result<Loaded> {
        let text = self.text()?;
        let config = self.parse(&text)?;
        let authorities = authorities(&config)?;
        Ok(Loaded { config, text, authorities })
    }

    /// Whether the files are as they were; nothing is parsed to find out.
    fn still_says(&self, loaded: &Loaded) -> bool {
        self.text().is_ok_and(|text| text == loaded.text)
            && authorities(&loaded.config).is_ok_and(|now| now == loaded.authorities)
    }
}

impl Loaded {
    /// Checks servers as the configuration says.
    ///
    /// # Errors
    /// When the check makes no sense, or the certificates are none.
    pub(super) fn probe(&self) -> Result<Arc<dyn Probe>> {
        Ok(Arc::new(HealthProbe::new(&self.config.health, &self.authorities)?))
    }
}

/// What the files of a configuration said last.
#[derive(Debug)]
pub(super) struct Reloader<'a> {
    pub(super) source: &'a ConfigSource,
    /// The reason where they cannot be used; at first what was read to begin with.
    pub(super) last: Result<Loaded, String>,
}

impl Reloader<'_> {
    /// Reads the files; whether they say anything new.
    pub(super) fn has_changed(&mut self) -> bool {
        if self.last.as_ref().is_ok_and(|loaded| self.source.still_says(loaded)) {
            return false;
        }
        let read = self.source.load().map_err(|error| error_report::one_line(&error));
        let before = std::mem::replace(&mut self.last, read);
        before != self.last
    }

    /// Has the guard want what the files said last. What cannot be used changes nothing.
    ///
    /// # Errors
    /// The reason why they cannot be used.
    pub(super) fn apply(&self, handle: &GuardHandle) -> Result<(), String> {
        let loaded = self.last.as_ref().map_err(String::clone)?;
        let set = loaded.probe().and_then(|probe| handle.set(loaded.config.desired(), probe));
        set.map_err(|error| error_report::one_line(&error))
    }
}

fn authorities(config: &CareConfig) -> Result<Vec<u8>> {
    match &config.health.ca {
        Some(path) if config.health.is_verified() => read(path),
        _ => Ok(Vec::new()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    // A certificate behind a byte order mark would be passed over.
    let text = atomic_file::read_text(path, LIMIT).and_then(|text| text.ok_or(ErrorKind::NotFound.into()));
    text.map(String::into_bytes).map_err(|source| Error::Io { act: format!("read {}", path.display()), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{FakeDataplane, FakeProbe, Guard};

    #[test]
    fn a_fixed_configuration_is_checked_as_well() {
        let config = CareConfig::new("10.1.1.1:1".parse().unwrap(), vec!["10.1.1.2:1".parse().unwrap()]);
        let error = ConfigSource::Fixed(Box::new(config)).load().unwrap_err();
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
        fs::write(&path, "\u{feff}text").unwrap();
        assert_eq!(read(&path).unwrap(), b"text", "a byte order mark is not part of it");
    }

    #[test]
    fn certificates_that_a_file_names_are_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lvscare.json");
        for (ca, expected) in [("ca.crt", directory.path().join("ca.crt")), ("/pki/ca.crt", "/pki/ca.crt".into())] {
            fs::write(&path, config(r#""10.0.0.1:1""#).replace("\"tcp\"", &format!("\"https\", \"ca\": {ca:?}")))
                .unwrap();
            assert_eq!(ConfigSource::File(path.clone()).read().unwrap().health.ca, Some(expected));
        }
    }

    #[test]
    fn a_probe_needs_certificates_that_can_be_read() {
        let mut config = CareConfig::new("10.1.1.1:1".parse().unwrap(), vec!["10.1.1.2:1".parse().unwrap()]);
        config.health.ca = Some(PathBuf::from("/nowhere/ca.crt"));
        let load = |config: &CareConfig| ConfigSource::Fixed(Box::new(config.clone())).load();
        assert_eq!(load(&config).unwrap_err().to_string(), "cannot read /nowhere/ca.crt");
        let mut loaded = Loaded { config, text: Vec::new(), authorities: b"none".to_vec() };
        assert!(matches!(loaded.probe().unwrap_err(), Error::Check { .. }));
        loaded.config.health.insecure_skip_verify = true;
        load(&loaded.config).unwrap().probe().unwrap();
        loaded.config.health.scheme = crate::HealthScheme::Http;
        loaded.config.health.method = "GET /".to_owned();
        assert!(matches!(loaded.probe().unwrap_err(), Error::Check { .. }));
    }

    fn config(servers: &str) -> String {
        format!(r#"{{"vs": "10.103.97.2:6443", "rs": [{servers}], "health": {{"scheme": "tcp"}}}}"#)
    }

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// What comes of each of these changes of a configuration with one server: `None` when it is none.
    fn outcomes(changes: &[&str]) -> Vec<Option<Result<usize, String>>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lvscare.json");
        replace(&path, &config(r#""10.0.0.1:1""#));
        let source = ConfigSource::File(path.clone());
        let loaded = source.load().unwrap();
        let guard = Guard::new(loaded.config.desired(), Arc::new(FakeDataplane::new()), Arc::new(FakeProbe::new()));
        let mut reloader = Reloader { source: &source, last: Ok(loaded) };
        let mut outcome = |change: &&str| {
            replace(&path, change);
            let changed = reloader.has_changed();
            assert!(!reloader.has_changed(), "each change is seen once");
            changed.then(|| reloader.apply(&guard.handle()).map(|()| reloader.last.as_ref().unwrap().config.rs.len()))
        };
        changes.iter().map(&mut outcome).collect()
    }

    #[tokio::test]
    async fn servers_come_and_go_with_the_file() {
        let (one, two) = (config(r#""10.0.0.1:1""#), config(r#""10.0.0.1:1", "10.0.0.2:1""#));
        assert_eq!(outcomes(&[&one, &two, &two, &one]), [None, Some(Ok(2)), None, Some(Ok(1))]);
    }

    #[tokio::test]
    async fn a_broken_file_is_told_once_and_changes_nothing() {
        let usual = config(r#""10.0.0.1:1""#);
        let told = outcomes(&["{", "{", &usual.replace("97.2", "97.3"), &usual]);
        let reason = |place: usize| told[place].clone().unwrap().unwrap_err();
        assert!(reason(0).contains("lvscare.json cannot be used: EOF"), "{told:?}");
        assert_eq!(told[1], None);
        assert!(reason(2).contains("a running guard cannot change to 10.103.97.3:6443"), "{told:?}");
        assert_eq!(told[3], Some(Ok(1)));
    }

    #[tokio::test]
    async fn certificates_that_come_later_or_change_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, ca) = (directory.path().join("lvscare.json"), directory.path().join("ca.crt"));
        let health = format!(r#"{{"scheme": "https", "ca": {:?}}}"#, ca.display().to_string());
        replace(&file, &config(r#""10.0.0.1:1""#));
        let source = ConfigSource::File(file.clone());
        let mut reloader = Reloader { source: &source, last: Ok(source.load().unwrap()) };
        replace(&file, &config(r#""10.0.0.1:1""#).replace(r#"{"scheme": "tcp"}"#, &health));
        assert!(reloader.has_changed() && reloader.last.as_ref().is_err_and(|reason| reason.contains("ca.crt")));
        for text in ["one", "two"] {
            assert!(!reloader.has_changed());
            fs::write(&ca, text).unwrap();
            assert!(reloader.has_changed() && reloader.last.is_ok());
        }
    }
}
