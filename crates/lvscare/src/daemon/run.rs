//! Runs a daemon from its start to its end.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::clean::{CleanRequest, remove_all};
use super::socket::{Pages, Socket};
use super::source::{ConfigSource, Reloader};
use super::{dataplanes, metrics_file};
use crate::{
    Addressing, AddressingMode, Dataplane, DataplaneKind, Event, Guard, GuardHandle, Result, Service, Status,
    Supervisor,
};

/// How often files are read and the service manager hears that all is well, or more often if it asks for that.
const PERIOD: Duration = Duration::from_secs(1);
/// A guard that begins no round of checks for so long beyond the longest round is stuck.
const STUCK: Duration = Duration::from_secs(3);

/// What is told of each change.
type Events = Box<dyn FnMut(Event) + Send>;

/// What a daemon is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CareRequest {
    /// What is wanted.
    pub config: ConfigSource,
    /// Which part of the kernel balances.
    pub dataplane: DataplaneKind,
    /// How this host comes to accept the virtual address.
    pub addressing: AddressingMode,
    /// Where it answers questions; see [`super::socket_path`].
    pub socket: PathBuf,
    /// A file that gets the metrics every few seconds.
    pub metrics_file: Option<PathBuf>,
    /// Take away what is there before anything else.
    pub clean: bool,
    /// Check once, put the rules right, end.
    pub once: bool,
}

/// Keeps the rules of a virtual address true until cancelled, or makes them once where that is asked; leaves them as
/// they are then.
///
/// `reload` has it read its files again at once. `supervisor` hears when it is ready, that it is alive, and that it
/// stops. `events` is told of each change, in order, and must not block.
///
/// # Errors
/// When the configuration makes no sense, the kernel cannot balance, or another daemon has the same socket. What fails
/// later is told as [`Event::Failed`] and tried again.
pub fn care(
    request: &CareRequest,
    supervisor: Supervisor,
    mut reload: mpsc::Receiver<()>,
    cancel: CancellationToken,
    events: Events,
) -> BoxFuture<'_, Result<()>> {
    // Boxed it is compiled here, beside what it calls: a daemon needs fewer pages of its program.
    Box::pin(async move {
        let loaded = request.config.load()?;
        let probe = loaded.probe()?;
        let socket = Socket::bind(&request.socket)?;
        let desired = loaded.config.desired();
        let service = desired.service.clone();
        let Some(prepared) = cancel.run_until_cancelled(prepare(request, &service)).await else { return Ok(()) };
        let (dataplane, addressing) = prepared?;
        let guard = Guard::new(desired, Arc::clone(&dataplane), probe).with_addressing(addressing);
        if request.once {
            let all = async {
                guard.with_events(events).once().await?;
                dataplanes::remove_stale_rules(&*dataplane, &service).await
            };
            return cancel.run_until_cancelled(all).await.unwrap_or(Ok(()));
        }
        let (sender, mut told) = mpsc::unbounded_channel();
        let pages =
            Arc::new(Pages { handle: guard.handle(), dataplane: Arc::clone(&dataplane), begun: Instant::now() });
        let mut serving = pin!(socket.serve(Arc::clone(&pages)));
        let mut writing = pin!(metrics_file::keep(request.metrics_file.as_deref(), &pages, sender.clone()));
        let mut ticks = interval(supervisor.watchdog.map_or(PERIOD, |watchdog| PERIOD.min(watchdog / 2)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (handle, reloader) = (guard.handle(), Reloader { source: &request.config, last: Ok(loaded) });
        let rounds = (0, Instant::now());
        let mut daemon = Running { service, dataplane, handle, reloader, supervisor, events, is_ready: false, rounds };
        // A guard that has ended is heard by nobody. A task of its own wakes without a system call, which what a runtime
        // blocks on does not.
        let guard = guard.with_events(move |event| drop(sender.send(event)));
        let mut guarding = AbortOnDropHandle::new(tokio::spawn(guard.run(cancel)));
        let done = loop {
            tokio::select! {
                biased;
                Some(event) = told.recv() => daemon.take(event).await,
                done = &mut guarding => break done,
                Some(()) = reload.recv() => daemon.reload(true),
                _ = ticks.tick() => daemon.tick(),
                () = &mut serving => {}
                () = &mut writing => {}
            }
        };
        while let Ok(event) = told.try_recv() {
            daemon.take(event).await;
        }
        daemon.supervisor.tell("STOPPING=1", "");
        done.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
    })
}

/// Opens what the guard works with, and takes away what was there where that is asked.
async fn prepare(request: &CareRequest, service: &Service) -> Result<(Arc<dyn Dataplane>, Arc<dyn Addressing>)> {
    let clean = CleanRequest {
        vs: service.address,
        dataplane: DataplaneKind::Auto,
        addressing: request.addressing.clone(),
        socket: request.socket.clone(),
    };
    let dataplane = dataplanes::choose(request.dataplane, service).await?;
    if request.clean {
        remove_all(&clean).await?;
    }
    let addressing = clean.addressing().with_settings_for(&*dataplane);
    Ok((dataplane, Arc::new(addressing)))
}

/// What goes on beside the guard.
struct Running<'a> {
    service: Service,
    dataplane: Arc<dyn Dataplane>,
    handle: GuardHandle,
    reloader: Reloader<'a>,
    supervisor: Supervisor,
    events: Events,
    /// Whether the rules are as they should be, and the only ones.
    is_ready: bool,
    /// How many rounds of checks were begun, and when that was last seen to grow.
    rounds: (u64, Instant),
}

impl Running<'_> {
    /// Tells an event, and the service manager how it is.
    async fn take(&mut self, event: Event) {
        let started = matches!(event, Event::Started { .. });
        (self.events)(event);
        if started && !self.is_ready {
            if let Err(error) = dataplanes::remove_stale_rules(&*self.dataplane, &self.service).await {
                (self.events)(Event::Failed { reason: error_report::one_line(&error) });
            }
            self.is_ready = true;
            self.tell_status("READY=1");
        } else {
            self.tell_status("");
        }
    }

    fn tick(&mut self) {
        self.reload(false);
        let (rounds, longest) = self.handle.rounds();
        if rounds != self.rounds.0 {
            self.rounds = (rounds, Instant::now());
        }
        if self.rounds.1.elapsed() <= longest + STUCK {
            self.supervisor.tell("WATCHDOG=1", "");
        }
    }

    /// Applies the configuration when its files have changed, or when that was asked for.
    fn reload(&mut self, asked: bool) {
        if !self.reloader.has_changed() && !asked {
            return;
        }
        // What is not ready is not made so by a new configuration.
        if self.is_ready {
            self.supervisor.tell("RELOADING=1", "");
        }
        if let Err(reason) = self.reloader.apply(&self.handle) {
            (self.events)(Event::ConfigRefused { reason });
        }
        self.tell_status(if self.is_ready { "READY=1" } else { "" });
    }

    fn tell_status(&self, state: &str) {
        self.supervisor.tell(state, &line(&self.handle.status()));
    }
}

/// What `systemctl status` shows.
fn line(status: &Status) -> String {
    let (healthy, servers) = (status.healthy(), status.servers.len());
    let mut line = format!("{} ({}): {healthy} of {servers} servers are healthy", status.service, status.dataplane);
    if let Some(reason) = &status.failing {
        return format!("{line}, but {reason}");
    }
    for server in &status.servers {
        if let Some(reason) = &server.reason {
            line.push_str(&format!("; {} {reason}", server.server));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{CareConfig, ConfigSource};
    use super::*;
    use crate::{AddressingMode, DataplaneKind};

    #[tokio::test]
    async fn who_is_stopped_before_the_first_change_makes_none() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = CareConfig::new("10.103.97.2:6443".parse().unwrap(), vec!["127.0.0.1:1".parse().unwrap()]);
        config.health.insecure_skip_verify = true;
        let mut request = CareRequest {
            config: ConfigSource::Fixed(Box::new(config)),
            dataplane: DataplaneKind::Auto,
            addressing: AddressingMode::Route { source: None },
            socket: directory.path().join("socket"),
            metrics_file: None,
            clean: true,
            once: true,
        };
        for once in [true, false] {
            request.once = once;
            let cancel = CancellationToken::new();
            cancel.cancel();
            let (_keep, reload) = mpsc::channel(1);
            let told = |event| panic!("{event:?}");
            care(&request, Supervisor::default(), reload, cancel, Box::new(told)).await.unwrap();
        }
    }
}
