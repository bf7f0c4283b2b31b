//! How is a running guard asked and changed?

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use super::board::Board;
use crate::{Desired, Error, Probe, Result, Status};

/// Changes what a running guard wants, and asks how it is.
#[derive(Debug, Clone)]
pub struct GuardHandle {
    board: Arc<Mutex<Board>>,
    wishes: Arc<Wishes>,
    status: watch::Receiver<Status>,
}

/// What was asked of the guard and is not taken up yet.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    newest: Mutex<Wish>,
    pub(super) come: Notify,
}

/// What is to be otherwise; the newest of each counts.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) desired: Option<Desired>,
    pub(super) probe: Option<Arc<dyn Probe>>,
}

impl GuardHandle {
    pub(super) fn new(board: Arc<Mutex<Board>>, wishes: Arc<Wishes>, status: watch::Receiver<Status>) -> Self {
        Self { board, wishes, status }
    }

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
        self.wishes.wish(None, Some(probe));
    }

    /// Both at once, see [`Self::set`] and [`Self::set_probe`].
    ///
    /// # Errors
    /// As [`Self::set`]; then the probe stays, too.
    pub fn change(&self, desired: Option<Desired>, probe: Option<Arc<dyn Probe>>) -> Result<()> {
        if let Some(desired) = &desired {
            desired.validate()?;
            let service = self.board.lock().unwrap_or_else(PoisonError::into_inner).desired.service.address;
            if desired.service.address != service {
                let reason = format!("a running guard cannot change to {}", desired.service.address);
                return Err(Error::Invalid { service, reason });
            }
        }
        self.wishes.wish(desired, probe);
        Ok(())
    }

    /// How the servers are now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).status()
    }

    /// The status at the newest event; changes with each.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

impl Wishes {
    /// Takes what was asked.
    pub(super) fn take(&self) -> Wish {
        std::mem::take(&mut self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wish(&self, desired: Option<Desired>, probe: Option<Arc<dyn Probe>>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.desired = desired.or(newest.desired.take());
        newest.probe = probe.or(newest.probe.take());
        drop(newest);
        self.come.notify_one();
    }
}
