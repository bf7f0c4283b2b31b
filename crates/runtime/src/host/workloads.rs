//! The steps around a machine that changes: its pods leave, it changes, it is Ready again and gets pods.

use std::net::IpAddr;

use clusterfile::Host;

use super::prepare::id;
use super::setup::role;
use super::{Script, Setup};
use crate::{Custom, HostChange, HostUpdate, Plan, PlannedHost, Step, Variable};

const DRAIN: Script = Script::new(include_str!("scripts/drain.sh"));
const UNCORDON: Script = Script::new(include_str!("scripts/uncordon.sh"));

/// How long a host may take to be Ready again, in seconds.
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
        let asked = self.another_master(host);
        let machine_id = machine.id.clone();
        let uncordon = self.uncordon(host, asked).titled(format!("wait for {host}, uncordon")).after([machine_id]);
        if update.begun {
            // An earlier run drained it; what is left of its pods cannot leave while it is stopped.
            return vec![machine.after(before), uncordon];
        }
        let drain = self.drain(host, asked).after(before);
        let drained = drain.id.clone();
        vec![drain, machine.after([drained]), uncordon]
    }
    /// A finished master that is not this host, if there is one.
    fn another_master(&self, host: IpAddr) -> &Host {
        let finished = |master: &&Host| master.address != host && self.request.was_finished(master.address);
        self.control_plane.masters().find(finished).unwrap_or_else(|| self.control_plane.successor())
    }

    /// Moves the pods of a host away, asked through this master.
    pub(crate) fn drain(&self, host: IpAddr, through: &Host) -> Step {
        let drain = self.request.drain;
        let tries = if drain.force { 2 } else { 1 };
        let run = self.kubectl(through, DRAIN).timeout_seconds(tries * drain.timeout_seconds + SPARE).env([
            ("SEALER_HOST", Variable::shown(host.to_string())),
            ("SEALER_SECONDS", Variable::shown(drain.timeout_seconds.to_string())),
            ("SEALER_FORCE", Variable::shown(if drain.force { "yes" } else { "no" })),
        ]);
        Step::run(id("drain", host), [through.address], run).cluster_wide().titled(format!("drain {host}"))
    }

    fn uncordon(&self, host: IpAddr, through: &Host) -> Step {
        let run = self.kubectl(through, UNCORDON).timeout_seconds(SECONDS + SPARE).env([
            ("SEALER_HOST", Variable::shown(host.to_string())),
            ("SEALER_SECONDS", Variable::shown(SECONDS.to_string())),
        ]);
        Step::run(id("uncordon", host), [through.address], run).cluster_wide()
    }
}
