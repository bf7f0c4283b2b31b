//! Runs a daemon from its start to its end.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::metrics_file;
use super::overview::Daemon;
use super::parts;
use super::reload::Reloader;
use super::request::CareRequest;
use super::socket::{Answer, Page, Socket};
use super::supervise::{self, LongestRound};
use crate::{Dataplane, Event, Guard, GuardHandle, Result, Service, Supervisor, Vip, prometheus};

/// Is told of each change.
pub(super) type Events = Arc<Mutex<dyn FnMut(Event) + Send>>;

/// Cares for a virtual address until cancelled, or once where that is asked; leaves the rules as they are then.
///
/// `reload` has it read its files again at once. `supervisor` hears when it is ready, that it is alive, and that it
/// stops. `events` is told of each change, in order, and must not block.
///
/// # Errors
/// When the configuration makes no sense, the kernel cannot balance, or another daemon has the same socket. What fails
/// later is told as [`Event::Failed`] and tried again.
pub async fn care(
    request: &CareRequest,
    supervisor: Supervisor,
    reload: mpsc::Receiver<()>,
    cancel: CancellationToken,
    events: impl FnMut(Event) + Send + 'static,
) -> Result<()> {
    let longest_round = LongestRound::default();
    let events: Events = Arc::new(Mutex::new(events));
    let mut reloader = Reloader::new(&request.config, &longest_round, Arc::clone(&events));
    let (config, probe) = reloader.read()?;
    let socket = Socket::bind(&request.socket)?;
    let desired = config.desired();
    let service = desired.service.clone();
    let Some(prepared) = cancel.run_until_cancelled(prepare(request, &service)).await else { return Ok(()) };
    let (dataplane, addressing) = prepared?;
    let guard = Guard::new(desired, Arc::clone(&dataplane), probe).with_addressing(addressing);
    if request.once {
        let all = async {
            once(guard, &config.vs, &events).await?;
            parts::remove_stale_rules(&*dataplane, &service).await
        };
        return cancel.run_until_cancelled(all).await.unwrap_or(Ok(()));
    }
    reloader.took_up(config);
    let (started, start) = oneshot::channel();
    let guard = guard.with_events(teller(Arc::clone(&events), started));
    let daemon = Carrying { handle: guard.handle(), dataplane, supervisor, begun: Instant::now() };
    let answer = daemon.answer();
    // A task of its own wakes without a system call, which what a runtime blocks on does not.
    let mut guarding = AbortOnDropHandle::new(tokio::spawn(guard.run(cancel)));
    tokio::select! {
        biased;
        done = &mut guarding => done.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))?,
        () = daemon.announce(start, &service, &events) => {}
        () = reloader.run(reload, &daemon.handle, &daemon.supervisor) => {}
        () = supervise::heartbeat(&daemon.supervisor, &daemon.handle, &longest_round) => {}
        () = supervise::status_line(&daemon.supervisor, &daemon.handle) => {}
        () = socket.serve(&answer) => {}
        () = daemon.metrics(request, &events) => {}
    }
    daemon.supervisor.stopping();
    Ok(())
}

/// Opens what the guard works with, and takes away what was there where that is asked.
async fn prepare(request: &CareRequest, service: &Service) -> Result<(Arc<dyn Dataplane>, Arc<Vip>)> {
    let dataplane = parts::dataplane(request.dataplane, service).await?;
    let addressing = Arc::new(parts::addressing(&request.addressing, &*dataplane, &request.socket));
    if request.clean {
        crate::clean(service, &*dataplane, Some(&*addressing)).await?;
        parts::remove_stale_rules(&*dataplane, service).await?;
    }
    Ok((dataplane, addressing))
}

/// What goes on beside the guard.
struct Carrying {
    handle: GuardHandle,
    dataplane: Arc<dyn Dataplane>,
    supervisor: Supervisor,
    begun: Instant,
}

impl Carrying {
    /// Says that the rules are as they should be, once they are, and the only ones.
    async fn announce(&self, start: oneshot::Receiver<()>, service: &Service, events: &Events) {
        if start.await.is_ok() {
            if let Err(error) = parts::remove_stale_rules(&*self.dataplane, service).await {
                tell(events, Event::Failed { reason: error_report::one_line(&error) });
            }
            self.supervisor.ready(&supervise::line(&self.handle.status()));
        }
        std::future::pending().await
    }

    /// What those hear who ask on the socket.
    fn answer(&self) -> Answer {
        let (handle, dataplane, begun) = (self.handle.clone(), Arc::clone(&self.dataplane), self.begun);
        Arc::new(move |page| {
            let (status, dataplane) = (handle.status(), Arc::clone(&dataplane));
            Box::pin(async move {
                match page {
                    Page::Status => {
                        let seconds = begun.elapsed().as_secs_f64();
                        let daemon = Daemon { pid: process::id(), seconds, status };
                        serde_json::to_string(&daemon).expect("a status is plain data")
                    }
                    Page::Metrics => {
                        let traffic = dataplane.traffic(status.service).await.unwrap_or_default();
                        prometheus(&status, &traffic)
                    }
                }
            })
        })
    }

    async fn metrics(&self, request: &CareRequest, events: &Events) {
        let Some(path) = &request.metrics_file else { return std::future::pending().await };
        let answer = self.answer();
        let text = async || answer(Page::Metrics).await;
        metrics_file::keep(path, text, |error| tell(events, Event::Failed { reason: error_report::one_line(error) }))
            .await;
    }
}

async fn once(guard: Guard, service: &std::net::SocketAddr, events: &Events) -> Result<()> {
    let report = guard.once().await?;
    let servers = report.healthy.len() + report.unhealthy.len();
    for (server, reason) in report.unhealthy {
        tell(events, Event::Down { server, reason });
    }
    if !report.kept.is_empty() {
        tell(events, Event::AllDown { kept: report.kept.len() });
    }
    if let Some(reason) = report.degraded {
        tell(events, Event::Degraded { reason });
    }
    tell(events, Event::Started { service: *service, healthy: report.healthy.len(), servers });
    Ok(())
}

fn teller(events: Events, started: oneshot::Sender<()>) -> impl FnMut(Event) + Send + 'static {
    let mut started = Some(started);
    move |event| {
        if let Some(started) = started.take_if(|_| matches!(event, Event::Started { .. })) {
            // Nobody waits for it any more when the daemon ends.
            let _ = started.send(());
        }
        tell(&events, event);
    }
}

pub(super) fn tell(events: &Events, event: Event) {
    let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
    (events)(event);
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
            care(&request, Supervisor::default(), reload, cancel, told).await.unwrap();
        }
    }
}
