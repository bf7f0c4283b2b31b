//! Makes the kernel's rules those that should be, once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::{Addressing, Dataplane, Error, Result, Rules, reconcile};

/// A kernel that does not answer for so long has failed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The rules as they are now; `None` when that is not known.
    pub(super) applied: Option<Arc<Rules>>,
    /// How many changes of others were put right.
    pub(super) foreign: usize,
    /// What could not be done and is not needed for the rules.
    pub(super) degraded: Option<String>,
    /// What could not be done.
    pub(super) failure: Option<Error>,
}

/// Makes the rules `wanted`, where `applied` are those that this guard left; keeps the address usable. `established`:
/// all was as it should be before, so that what is missing was taken away by somebody else.
pub(super) async fn sync(
    dataplane: Arc<dyn Dataplane>,
    addressing: Option<Arc<dyn Addressing>>,
    wanted: Arc<Rules>,
    applied: Option<Arc<Rules>>,
    established: bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    match in_time(&wanted, "change the rules of", rules(&*dataplane, &wanted, applied.as_deref())).await {
        Ok(foreign) => (outcome.foreign, outcome.applied) = (foreign, Some(Arc::clone(&wanted))),
        Err(failure) => outcome.failure = Some(failure),
    }
    if let Some(addressing) = addressing {
        let servers: Vec<_> = wanted.servers.keys().copied().collect();
        let ensuring = addressing.ensure(wanted.service.address.ip(), &servers);
        match in_time(&wanted, "make usable the address of", ensuring).await {
            Ok(repaired) => {
                // With other servers the source of the route may have to be another.
                let same = applied.is_some_and(|applied| applied.servers.keys().eq(&servers));
                outcome.foreign += usize::from(repaired && established && same);
            }
            Err(failure) => outcome.failure = outcome.failure.or(Some(failure)),
        }
        outcome.degraded = addressing.degraded();
    }
    outcome
}

/// How many differences were not of this guard's making.
async fn rules(dataplane: &dyn Dataplane, wanted: &Rules, applied: Option<&Rules>) -> Result<usize> {
    let observed = dataplane.observe(wanted.service.address).await?;
    let changes = reconcile(wanted, observed.as_ref());
    if !changes.is_empty() {
        dataplane.apply(wanted, &changes).await?;
    }
    Ok(applied.map_or(0, |applied| reconcile(applied, observed.as_ref()).len()))
}

async fn in_time<T>(wanted: &Rules, act: &'static str, doing: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(TIMEOUT, doing).await.unwrap_or_else(|_| {
        let reason = format!("the kernel did not answer within {TIMEOUT:?}");
        Err(Error::Refused { act, object: wanted.service.address.to_string(), reason })
    })
}
