//! Asks a running guard how it is, and changes what it keeps.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use super::health_table::HealthTable;
use crate::{Desired, Error, Probe, Result, Status};

/// Changes what a running guard wants, and asks how it is.
#[derive(Debug, Clone)]
pub struct GuardHandle {
    pub(super) table: Arc<Mutex<HealthTable>>,
    pub(super) updates: mpsc::UnboundedSender<PendingUpdate>,
    pub(super) status: watch::Receiver<Status>,
}

/// What is to be otherwise from now on.
#[derive(Debug, Default)]
pub(super) struct PendingUpdate {
    pub(super) desired: Option<Desired>,
    pub(super) probe: Option<Arc<dyn Probe>>,
}

impl GuardHandle {
    /// Wants other servers, weights, scheduler or health policy from now on. Servers that stay are not touched; those
    /// that leave go at once; those that come are checked first, unless no other is healthy.
    ///
    /// # Errors
    /// When what is wanted makes no sense, or the virtual address is another than the guard's.
    pub fn set(&self, desired: Desired) -> Result<()> {
        self.change(Some(desired), None)
    }

    /// Asks the servers in another way from now on.
    pub fn set_probe(&self, probe: Arc<dyn Probe>) {
        self.send(PendingUpdate { desired: None, probe: Some(probe) });
    }

    /// Both at once, see [`Self::set`] and [`Self::set_probe`].
    ///
    /// # Errors
    /// As [`Self::set`]; then the probe stays, too.
    pub fn change(&self, desired: Option<Desired>, probe: Option<Arc<dyn Probe>>) -> Result<()> {
        if let Some(desired) = &desired {
            desired.validate()?;
            let service = self.table.lock().unwrap_or_else(PoisonError::into_inner).desired.service.address;
            if desired.service.address != service {
                let reason = format!("a running guard cannot change to {}", desired.service.address);
                return Err(Error::Invalid { service, reason });
            }
        }
        self.send(PendingUpdate { desired, probe });
        Ok(())
    }

    /// How the servers are now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).status()
    }

    /// The status at the newest event; changes with each.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    fn send(&self, update: PendingUpdate) {
        // A guard that has ended changes nothing any more.
        let _ = self.updates.send(update);
    }
}
