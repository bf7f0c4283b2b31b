//! Writes metrics into a file that a collector reads.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{Error, Result};

/// Collectors read every fifteen seconds or so.
const PERIOD: Duration = Duration::from_secs(5);

/// Writes `text()` to `path` again and again; tells `failed` of the first failure in a row. Never ends.
pub(super) async fn keep(path: &Path, text: impl AsyncFn() -> String, failed: impl Fn(&Error)) {
    // By then every server was asked once.
    let mut ticks = interval_at(Instant::now() + Duration::from_secs(1), PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        ticks.tick().await;
        let (target, text) = (path.to_owned(), text().await);
        // A slow disk must not delay checks.
        let written = tokio::task::spawn_blocking(move || write(&target, &text)).await;
        match written.unwrap_or(Ok(())) {
            Ok(()) => told = false,
            Err(error) if !told => {
                failed(&error);
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// Replaces the file as a whole. Not forced to the disk: after a power cut these numbers mean nothing.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let new: PathBuf = path.with_file_name(name);
    let write = || {
        // A link that somebody put there is not followed.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        // Collectors are seldom root, and a service's umask keeps everybody out.
        file.set_permissions(Permissions::from_mode(0o644))?;
        fs::rename(&new, path)
    };
    write().map_err(|source| Error::Io { act: format!("write the metrics to {}", path.display()), source })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn everybody_reads_it_and_nobody_leads_it_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("lvscare.prom"), directory.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(".lvscare.prom.new")).unwrap();
        write(&path, "round 1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        write(&path, "round 2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "round 2\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[tokio::test]
    async fn the_file_is_replaced_and_a_failure_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/lvscare.prom");
        tokio::time::pause();
        let (told, round) = (Cell::new(0), Cell::new(0));
        let text = async || {
            round.set(round.get() + 1);
            format!("round {}\n", round.get())
        };
        let keeping = keep(&path, text, |_| told.set(told.get() + 1));
        let checking = async {
            while round.get() < 3 {
                tokio::time::sleep(PERIOD).await;
            }
            assert_eq!(told.get(), 1);
            fs::create_dir(directory.path().join("below")).unwrap();
            while !path.exists() {
                tokio::time::sleep(PERIOD).await;
            }
            assert!(fs::read_to_string(&path).unwrap().starts_with("round "));
        };
        tokio::select! {
            () = keeping => unreachable!(),
            () = checking => {}
        }
    }
}
