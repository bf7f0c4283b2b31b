//! Keeps the rules true, over and over.

mod ask;
mod checks;
mod handle;
mod health_table;
mod jitter;
mod log_throttle;
mod once;
mod run;
#[cfg(test)]
mod simulation;
mod sync;

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{Addressing, Dataplane, Desired, Event, Probe, Result};
use handle::PendingUpdate;
use health_table::HealthTable;

pub use handle::GuardHandle;
pub use once::{Report, clean};

/// Keeps the kernel's rules for one virtual service true.
///
/// ```no_run
/// # async fn example(dataplane: std::sync::Arc<dyn lvscare::Dataplane>, probe: std::sync::Arc<dyn lvscare::Probe>,
/// #     desired: lvscare::Desired, cancel: tokio_util::sync::CancellationToken) -> lvscare::Result<()> {
/// let guard = lvscare::Guard::new(desired, dataplane, probe).with_events(|event| drop(event));
/// let handle = guard.handle();
/// let running = tokio::spawn(guard.run(cancel.clone()));
/// let healthy = handle.status().healthy();
/// # drop((healthy, running)); Ok(()) }
/// ```
pub struct Guard {
    desired: Desired,
    dataplane: Arc<dyn Dataplane>,
    probe: Arc<dyn Probe>,
    addressing: Option<Arc<dyn Addressing>>,
    events: Box<dyn FnMut(Event) + Send>,
    table: Arc<Mutex<HealthTable>>,
    updates: (mpsc::UnboundedSender<PendingUpdate>, mpsc::UnboundedReceiver<PendingUpdate>),
    status: watch::Sender<crate::Status>,
}

impl Guard {
    /// A guard over `desired`.
    #[must_use]
    pub fn new(desired: Desired, dataplane: Arc<dyn Dataplane>, probe: Arc<dyn Probe>) -> Self {
        let table = HealthTable::new(desired.clone(), dataplane.name());
        let status = watch::Sender::new(table.status());
        let (table, updates) = (Arc::new(Mutex::new(table)), mpsc::unbounded_channel());
        Self { desired, dataplane, probe, addressing: None, events: Box::new(drop), table, updates, status }
    }

    /// Also keeps the virtual address usable on this host.
    #[must_use]
    pub fn with_addressing(self, addressing: Arc<dyn Addressing>) -> Self {
        Self { addressing: Some(addressing), ..self }
    }

    /// Tells `events` of each change; it is called in order and must not block.
    #[must_use]
    pub fn with_events(self, events: impl FnMut(Event) + Send + 'static) -> Self {
        Self { events: Box::new(events), ..self }
    }

    /// Asks and changes this guard while it runs.
    #[must_use]
    pub fn handle(&self) -> GuardHandle {
        let (table, updates) = (Arc::clone(&self.table), self.updates.0.clone());
        GuardHandle { table, updates, status: self.status.subscribe() }
    }

    /// Keeps the rules true until cancelled; leaves them as they are then.
    ///
    /// What fails is told as [`Event::Failed`] and tried again at every tick.
    ///
    /// # Errors
    /// When what is wanted makes no sense.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        self.desired.validate()?;
        run::Runner::new(self).run(cancel).await;
        Ok(())
    }

    /// Asks each server once, makes the rules as they should be, and ends.
    ///
    /// # Errors
    /// When what is wanted makes no sense, or the rules cannot be read or changed.
    pub async fn once(self) -> Result<Report> {
        self.desired.validate()?;
        once::once(self).await
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Guard");
        shown.field("desired", &self.desired).field("dataplane", &self.dataplane).field("probe", &self.probe);
        shown.field("addressing", &self.addressing).finish_non_exhaustive()
    }
}
