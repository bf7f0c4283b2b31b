//! Connects to the hosts of a cluster and gathers the facts about them.

use std::sync::Arc;
use std::time::Instant;

use clusterfile::{Change, Cluster, Host};
use remote::Local;
use runtime::{Facts, OPERATOR_HOST, Runtime};

use crate::connect::{connect, connect_new};
use crate::connector::Remotes;
use crate::executor::JOURNAL;
use crate::run::Run;
use crate::target::Target;
use crate::{ClusterState, Error};

const ASKING: &str = "asking the hosts";

/// The hosts that were asked, and what they said.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) remotes: Remotes,
    pub(crate) facts: Facts,
}

/// Asks all wanted hosts, and those that the cluster had until now.
pub(crate) async fn gather(
    run: &Run<'_>,
    state: &ClusterState,
    target: &Target<'_>,
    change: &Change,
) -> Result<Observed, Error> {
    if target.runtime.requirements().without_hosts {
        return Ok(operator());
    }
    let started = Instant::now();
    let mut asked = target.cluster().clone();
    asked.hosts.extend(change.leaves.iter().cloned());
    let observed = run.until_cancelled(ASKING, async {
        let remotes = if may_be_starting(state, target) {
            connect_new(run, state, &asked).await?
        } else {
            connect(run, state, &asked).await?
        };
        let facts = runtime::gather(&remotes, &asked.name, &target.runtime.requirements()).await?;
        Ok::<_, Error>(Observed { remotes, facts })
    });
    let observed = observed.await?;
    run.phase("preflight", target.cluster(), started);
    Ok(observed)
}

/// What the remembered hosts of a cluster say.
pub(crate) async fn facts_of(
    run: &Run<'_>,
    state: &ClusterState,
    target: &Target<'_>,
    current: &Cluster,
) -> Result<Facts, Error> {
    run.until_cancelled(ASKING, async {
        let remotes = connect(run, state, current).await?;
        Ok::<_, Error>(runtime::gather(&remotes, &current.name, &target.runtime.requirements()).await?)
    })
    .await
}

/// What the cluster says about itself after a change. It is up, so failing to read its state is only a warning.
pub(crate) async fn look_again(run: &Run<'_>, observed: &Observed, runtime: &dyn Runtime, name: &str) -> Facts {
    if runtime.requirements().without_hosts {
        return Facts::default();
    }
    match runtime::gather(&observed.remotes, name, &runtime.requirements()).await {
        Ok(facts) => facts,
        Err(error) => {
            run.warn(format!("the state of the nodes is not known: {error}"));
            Facts::default()
        }
    }
}

/// The steps of a runtime without hosts happen here.
pub(crate) fn operator() -> Observed {
    let local: Arc<dyn remote::Remote> = Arc::new(Local::new(OPERATOR_HOST));
    Observed { remotes: [(OPERATOR_HOST, local)].into(), facts: Facts::default() }
}

/// Whether machines may just have been made or changed, so that their systems are still starting: hosts that no plan
/// was begun on yet, and those whose change an earlier run did not finish.
fn may_be_starting(state: &ClusterState, target: &Target<'_>) -> bool {
    let known = |host: &Host| target.current.as_ref().is_some_and(|current| current.host(host.address).is_some());
    let is_new = !state.file(JOURNAL).exists() || !target.cluster().hosts.iter().all(known);
    target.provider.owns_hosts() && (is_new || target.updates.iter().any(|update| update.begun))
}
