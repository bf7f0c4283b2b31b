//! The steps around a machine that changes: its pods leave, it changes, it is Ready again and gets pods.

use super::prepare::id;
use super::setup::role;
use super::{Script, Setup};
use crate::{Custom, HostChange, HostUpdate, Plan, PlannedHost, Step, Variable};

const DRAIN: Script = Script::new(include_str!("scripts/drain.sh"));
const UNCORDON: Script = Script::new(include_str!("scripts/uncordon.sh"));

/// How long pods may take to leave a host, and a host to be Ready again, in seconds.
const SECONDS: u64 = 300;
/// What kubectl needs besides, in seconds.
const SPARE: u64 = 60;

impl Setup<'_> {
    /// Adds the machines that change, one after another, after all steps that the plan has. In a cluster that is not
    /// initialized no pods have to leave.
    pub(crate) fn add_updates(&self, plan: &mut Plan) {
        let mut before = plan.steps.last().map(|step| step.id.clone());
        for update in self.request.updates {
            let steps = self.update(update, before.take());
            before = steps.last().map(|step| step.id.clone());
            plan.steps.extend(steps);
            if let Some(host) = self.cluster().host(update.host)
                && !plan.hosts.iter().any(|planned| planned.address == update.host)
            {
                plan.hosts.push(PlannedHost::new(update.host, HostChange::Alter, role(host)));
            }
        }
        if plan.summary.is_empty() && !self.request.updates.is_empty() {
            let count = self.request.updates.len();
            plan.summary = format!("{count} machine{}", if count == 1 { " changes" } else { "s change" });
        }
    }

    fn update(&self, update: &HostUpdate, before: Option<String>) -> Vec<Step> {
        let host = update.host;
        let machine = Step::custom(id("machine", host), [host], Custom::new(Custom::MACHINE_CHANGE, &update.summary))
            .titled(format!("change the machine: {}", update.summary));
        if !self.is_initialized() {
            return vec![machine.after(before)];
        }
        // Another master than the host itself, if there is one: that goes away for a while.
        let other = self.control_plane.masters().find(|master| master.address != host);
        let asked = other.unwrap_or_else(|| self.entry());
        let kubectl = |what: &str, script| {
            let run = self.kubectl(asked, script).timeout_seconds(SECONDS + SPARE).env([
                ("SEALER_HOST", Variable::shown(host.to_string())),
                ("SEALER_SECONDS", Variable::shown(SECONDS.to_string())),
            ]);
            Step::run(id(what, host), [asked.address], run).cluster_wide()
        };
        let machine_id = machine.id.clone();
        let uncordon = kubectl("uncordon", UNCORDON).titled(format!("wait for {host}, uncordon")).after([machine_id]);
        if update.begun {
            // An earlier run drained it; what is left of its pods cannot leave while it is stopped.
            return vec![machine.after(before), uncordon];
        }
        let drain = kubectl("drain", DRAIN).titled(format!("drain {host}")).after(before);
        let drained = drain.id.clone();
        vec![drain, machine.after([drained]), uncordon]
    }
}
