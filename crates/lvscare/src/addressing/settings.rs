//! Changes kernel settings, and gives them their previous values back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A record is never larger.
const LIMIT: u64 = 64 << 10;

/// Kernel settings that should have certain values. Previous values are kept in a file, a line `setting=value` each.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Settings below `/proc/sys` and their values; those that the kernel does not know are left out.
    pub(super) wanted: &'static [(&'static str, &'static str)],
    record: PathBuf,
    root: PathBuf,
}

impl Settings {
    /// None yet.
    pub(super) fn none(record: PathBuf) -> Self {
        Self { wanted: &[], record, root: PathBuf::from("/proc/sys") }
    }

    /// Gives the settings their values; true when one had another. While nothing differs this only reads the kernel's
    /// memory.
    pub(super) fn ensure(&self) -> Result<bool> {
        let current = |(setting, value)| Some((setting, value, self.read(setting)?));
        let known = self.wanted.iter().copied().filter_map(current);
        let differing: Vec<_> = known.filter(|(_, value, current)| value != current).collect();
        if differing.is_empty() {
            return Ok(false);
        }
        let mut previous = self.recorded()?;
        for (setting, _, current) in &differing {
            previous.entry((*setting).to_owned()).or_insert_with(|| current.clone());
        }
        let text: String = previous.iter().map(|(setting, value)| format!("{setting}={value}\n")).collect();
        let directory = self.record.parent().unwrap_or(Path::new("/"));
        let written =
            fs::create_dir_all(directory).and_then(|()| atomic_file::write(&self.record, text.as_bytes(), 0o600));
        written.map_err(|source| io_error("write", &self.record, source))?;
        let set = differing.iter().map(|(setting, value, _)| self.write(setting, value));
        set.fold(Ok(()), Result::and).map(|()| true)
    }

    /// Gives back the previous values, unless somebody else changed them meanwhile.
    pub(super) fn undo(&self) -> Result<()> {
        for (setting, previous) in self.recorded()? {
            // Only what this crate sets is ever put back, whatever the file says.
            let ours = crate::dataplane::ipvs::SYSCTLS.iter().find(|(known, _)| *known == setting);
            if ours.is_some_and(|(_, value)| self.read(&setting).as_deref() == Some(value)) {
                self.write(&setting, &previous)?;
            }
        }
        atomic_file::remove(&self.record).map_err(|source| io_error("delete", &self.record, source))
    }

    fn recorded(&self) -> Result<BTreeMap<String, String>> {
        let text = atomic_file::read_limited(&self.record, LIMIT);
        let text = text.map_err(|source| io_error("read", &self.record, source))?.unwrap_or_default();
        let lines = String::from_utf8_lossy(&text);
        let owned = |(setting, value): (&str, &str)| (setting.to_owned(), value.to_owned());
        Ok(lines.lines().filter_map(|line| line.split_once('=')).map(owned).collect())
    }

    /// The value; none when the kernel does not know the setting.
    fn read(&self, setting: &str) -> Option<String> {
        fs::read_to_string(self.root.join(setting)).ok().map(|value| value.trim().to_owned())
    }

    fn write(&self, setting: &str, value: &str) -> Result<()> {
        let path = self.root.join(setting);
        fs::write(&path, value).map_err(|source| io_error("set", &path, source))
    }
}

fn io_error(act: &str, path: &Path, source: io::Error) -> Error {
    Error::Io { act: format!("{act} {}", path.display()), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const FORGET: &str = "net/ipv4/vs/expire_nodest_conn";
    const TRACK: &str = "net/ipv4/vs/conntrack";

    /// A stand-in for `/proc/sys` with one of two settings.
    fn settings(directory: &Path) -> Settings {
        fs::create_dir_all(directory.join("sys/net/ipv4/vs")).unwrap();
        fs::write(directory.join("sys").join(FORGET), "0\n").unwrap();
        Settings {
            wanted: &crate::dataplane::ipvs::SYSCTLS,
            record: directory.join("state/record"),
            root: directory.join("sys"),
        }
    }

    #[test]
    fn settings_are_set_and_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        assert!(settings.ensure().unwrap());
        assert_eq!(settings.read(FORGET).unwrap(), "1");
        assert_eq!(settings.read(TRACK), None, "what the kernel does not know is not made");
        assert!(!settings.ensure().unwrap(), "nothing was left to do");
        settings.undo().unwrap();
        assert_eq!(settings.read(FORGET).unwrap(), "0");
        settings.undo().unwrap();
        assert!(!settings.record.exists());
    }

    #[test]
    fn one_that_cannot_be_written_does_not_keep_others_from_their_values() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        for (setting, _) in &crate::dataplane::ipvs::SYSCTLS {
            let path = settings.root.join(setting);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "0\n").unwrap();
        }
        // Nobody can write this one, not even root.
        let first = settings.root.join(settings.wanted[0].0);
        fs::remove_file(&first).unwrap();
        std::os::unix::fs::symlink("/proc/version", &first).unwrap();
        for _ in 0..2 {
            let failed = settings.ensure().unwrap_err().to_string();
            assert_eq!(failed, format!("cannot set {}", first.display()));
            for (setting, value) in &settings.wanted[1..] {
                assert_eq!(settings.read(setting).unwrap(), *value);
            }
        }
    }

    #[test]
    fn what_is_right_needs_no_right_to_write() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(directory.path());
        settings.write(FORGET, "1").unwrap();
        settings.record = PathBuf::from("/proc/version/record");
        assert!(!settings.ensure().unwrap());
        settings.write(FORGET, "0").unwrap();
        settings.ensure().unwrap_err();
    }

    #[test]
    fn the_first_previous_value_is_the_one_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        settings.ensure().unwrap();
        settings.write(FORGET, "2").unwrap();
        assert!(settings.ensure().unwrap(), "somebody changed it");
        settings.undo().unwrap();
        assert_eq!(settings.read(FORGET).unwrap(), "0");
    }

    #[test]
    fn what_somebody_else_wants_stays() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        settings.ensure().unwrap();
        settings.write(FORGET, "2").unwrap();
        settings.undo().unwrap();
        assert_eq!(settings.read(FORGET).unwrap(), "2");
    }

    #[test]
    fn a_record_cannot_name_other_files() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        settings.ensure().unwrap();
        fs::write(directory.path().join("other"), "1").unwrap();
        fs::write(&settings.record, "../other=7\n/etc/hostname=x\n\u{0}\n=\n").unwrap();
        settings.undo().unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("other")).unwrap(), "1");
    }
}
