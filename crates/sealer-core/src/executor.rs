//! Executes a plan: checks what it needs, tells about it, and journals each finished step.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use clusterfile::Cluster;
use infra_provider::Provider;
use runtime::{Action, ExecuteOptions, Journal, Plan, Report};

use crate::actions::Actions;
use crate::binary::{self, Binaries};
use crate::nodes::StepTimes;
use crate::observe::Observed;
use crate::run::Run;
use crate::{ClusterState, Error, Event};

/// Name of the journal in a cluster's state: which steps of an unfinished change are done.
pub(crate) const JOURNAL: &str = "journal.jsonl";

/// A plan and what it is executed with.
pub(crate) struct Executor<'a> {
    pub(crate) run: Run<'a>,
    pub(crate) state: &'a ClusterState,
    pub(crate) cluster: &'a Cluster,
    pub(crate) provider: &'a dyn Provider,
    pub(crate) observed: &'a Observed,
    /// Name of the journal in the cluster's state.
    pub(crate) journal: &'static str,
}

/// What was done, and how long it took on each host.
#[derive(Debug, Default)]
pub(crate) struct Executed {
    pub(crate) report: Report,
    pub(crate) times: StepTimes,
}

impl Executor<'_> {
    /// Executes the plan; one that is empty is done.
    pub(crate) async fn execute(&self, plan: &Arc<Plan>) -> Result<Executed, Error> {
        let times = StepTimes::default();
        if plan.is_empty() {
            return Ok(Executed::default());
        }
        self.announce(plan);
        let actions = Actions::new(self.run, self.cluster, self.provider, self.state.path(), &self.observed.facts)?;
        // A machine that was installed anew has another id: what was done on the old one says nothing about it.
        let facts = self.observed.facts.hosts.iter();
        let machines = facts.map(|(address, host)| (*address, host.machine_id.clone())).collect();
        let journal = Journal::open(&self.state.file(self.journal))?.with_machines(machines);
        let options = ExecuteOptions::new(self.run.options.parallel, self.run.options.cancel.clone());
        let total = plan.steps.iter().map(|step| step.hosts.len()).sum();
        let tell = |step: runtime::Event| {
            times.note(&step);
            self.run.tell(Event::Step { step });
        };
        let done = runtime::execute(plan, &self.observed.remotes, &actions, &journal, &options, &tell).await;
        let report = done.map_err(|source| Error::Unfinished { done: journal.len().min(total), total, source })?;
        Ok(Executed { report, times })
    }

    fn announce(&self, plan: &Arc<Plan>) {
        self.run.tell(Event::Planned {
            steps: plan.steps.len(),
            hosts: plan.hosts.clone(),
            image: self.cluster.image.clone(),
            plan: Arc::clone(plan),
        });
        for note in &plan.notes {
            self.run.warn(note.clone());
        }
    }
}

/// Refuses a plan that this program cannot execute, before anything is changed.
pub(crate) fn check(run: &Run<'_>, plan: &Plan, observed: &Observed) -> Result<(), Error> {
    let content = plan.steps.iter().filter(|step| matches!(step.action, Action::Content(_)));
    let hosts: BTreeSet<IpAddr> = content.flat_map(|step| step.hosts.iter().copied()).collect();
    if hosts.is_empty() {
        return Ok(());
    }
    let binaries = Binaries::of(run.sealer)?;
    hosts.into_iter().try_for_each(|host| binary::check(binaries.for_host(&observed.facts, host)?))
}
