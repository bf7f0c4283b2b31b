//! How are the rules kept true, over and over?

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{Dataplane, Desired, Probe, Result};

/// Keeps the kernel's rules for one virtual service true.
#[derive(Debug)]
pub struct Guard {
    #[expect(dead_code)]
    desired: Desired,
    #[expect(dead_code)]
    dataplane: Arc<dyn Dataplane>,
    #[expect(dead_code)]
    probe: Arc<dyn Probe>,
}

/// Changes what a running guard wants, and asks how it is.
#[derive(Debug, Clone)]
pub struct GuardHandle {}

impl Guard {
    /// A guard over `desired`.
    #[must_use]
    pub fn new(desired: Desired, dataplane: Arc<dyn Dataplane>, probe: Arc<dyn Probe>) -> Self {
        Self { desired, dataplane, probe }
    }

    /// Keeps the rules true until cancelled; leaves them as they are then.
    ///
    /// # Errors
    /// When what is wanted makes no sense.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        cancel.cancelled().await;
        Ok(())
    }
}
