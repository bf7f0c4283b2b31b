//! Asks the operator to agree before hosts leave a cluster.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use runtime::Plan;
use tokio::task::spawn_blocking;

use crate::Error;
use crate::run::Run;

/// Decides whether the hosts may leave that [`Plan::leaving`] lists, or whether applications may be removed.
///
/// It is asked at most once before anything is changed, on a thread where it may block, for example to ask a person.
/// The default refuses.
#[derive(Clone)]
pub struct Consent(Arc<dyn Fn(&Plan) -> bool + Send + Sync>);

impl Consent {
    /// What `decide` says.
    #[must_use]
    pub fn new(decide: impl Fn(&Plan) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// What it decides about a plan; it may block.
    pub(crate) fn decides(&self, plan: &Plan) -> bool {
        (self.0)(plan)
    }

    /// Any host may leave.
    #[must_use]
    pub fn given() -> Self {
        Self::new(|_| true)
    }

    /// No host may leave.
    #[must_use]
    pub fn refused() -> Self {
        Self::new(|_| false)
    }
}

impl Default for Consent {
    fn default() -> Self {
        Self::refused()
    }
}

impl fmt::Debug for Consent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Consent")
    }
}

/// The hosts that the operator let go in this call.
#[derive(Debug, Default)]
pub(crate) struct Agreed(BTreeSet<IpAddr>);

impl Agreed {
    /// Asks about the hosts that leave by `plan`, unless the operator agreed to all of them already.
    pub(crate) async fn ask(&mut self, run: &Run<'_>, plan: &Arc<Plan>) -> Result<(), Error> {
        let leaving: BTreeSet<IpAddr> = plan.leaving().map(|host| host.address).collect();
        if leaving.is_subset(&self.0) { Ok(()) } else { self.ask_anyway(run, plan).await }
    }

    /// Asks about the hosts that leave by `plan`, and about whatever else it takes away.
    pub(crate) async fn ask_anyway(&mut self, run: &Run<'_>, plan: &Arc<Plan>) -> Result<(), Error> {
        let leaving: BTreeSet<IpAddr> = plan.leaving().map(|host| host.address).collect();
        let (Consent(decide), asked) = (run.options.consent.clone(), Arc::clone(plan));
        let decided = run.until_cancelled("asking for consent", async {
            let aborted = |source| Error::Aborted { act: "asking for consent", source };
            spawn_blocking(move || decide(&asked)).await.map_err(aborted)
        });
        if !decided.await? {
            let hosts = leaving.into_iter().collect();
            return Err(Error::NotConfirmed { cluster: plan.cluster.clone(), hosts });
        }
        self.0.extend(leaving);
        Ok(())
    }
}
