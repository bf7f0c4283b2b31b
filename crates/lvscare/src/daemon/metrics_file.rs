//! Writes metrics into a file that a collector reads.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::socket::Pages;
use crate::{Error, Event};

/// Collectors read every fifteen seconds or so.
const PERIOD: Duration = Duration::from_secs(5);
/// Collectors are seldom root.
const MODE: u32 = 0o644;

/// Writes the metrics to `path`, if there is one, again and again; tells the first failure in a row. Never ends.
pub(super) async fn keep(path: Option<&Path>, pages: &Pages, events: UnboundedSender<Event>) {
    let Some(path) = path else { return std::future::pending().await };
    // By then every server was checked once.
    let mut ticks = interval_at(Instant::now() + Duration::from_secs(1), PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        ticks.tick().await;
        let (target, text) = (path.to_owned(), pages.metrics().await);
        // A slow disk must not delay checks.
        let write = move || {
            let failed = |source| Error::Io { act: format!("write the metrics to {}", target.display()), source };
            let written =
                atomic_file::target(&target).and_then(|file| atomic_file::write(&file, text.as_bytes(), MODE));
            written.map_err(failed)
        };
        let written = tokio::task::spawn_blocking(write).await.unwrap_or(Ok(()));
        if let Some(error) = written.as_ref().err().filter(|_| !told) {
            let _ = events.send(Event::Failed { reason: error_report::one_line(error) });
        }
        told = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::socket::tests::pages;
    use super::*;

    #[tokio::test]
    async fn the_file_is_for_everybody_and_a_failure_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/lvscare.prom");
        let (pages, (events, mut told)) = (pages(), tokio::sync::mpsc::unbounded_channel());
        tokio::time::pause();
        let writing = keep(Some(&path), &pages, events);
        let checking = async {
            tokio::time::sleep(PERIOD * 4).await;
            let reason = format!("cannot write the metrics to {}: ", path.display());
            let event = told.recv().await.unwrap();
            assert!(matches!(&event, Event::Failed { reason: why } if why.starts_with(&reason)), "{event:?}");
            fs::create_dir(directory.path().join("below")).unwrap();
            while !path.exists() {
                tokio::time::sleep(PERIOD).await;
            }
        };
        tokio::select! {
            () = writing => unreachable!(),
            () = checking => {}
        }
        assert!(told.try_recv().is_err(), "told once");
        assert!(fs::read_to_string(&path).unwrap().starts_with("# HELP lvscare_server_up "));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
