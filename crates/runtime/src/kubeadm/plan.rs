//! The plan that makes a cluster of bare hosts, finishes one that was begun, or brings one that stands to what is wanted.

use std::collections::BTreeMap;

use clusterfile::Host;

use super::planner::Planner;
use super::work::Work;
use crate::host::{LABELS, Setup, id};
use crate::{Error, File, HostChange, Plan, Request, Step, plugins};

/// Plans a cluster. Hosts that are done are left alone; a cluster that is done gives an empty plan.
pub(super) fn plan(request: &Request<'_>) -> Result<Plan, Error> {
    let planner = Planner::new(request)?;
    let mut plan = Plan::new(&request.cluster().name);
    let initialized = planner.setup.is_initialized();
    if !initialized {
        // No pods have to leave, and nothing is installed yet that a restart could disturb.
        planner.setup.add_updates(&mut plan);
    }
    // While the API is away with a machine that changes, nothing can be said about the other hosts.
    let returning = request.updates.iter().any(|update| update.begun);
    if !(returning && request.facts.api.is_none() && initialized) {
        planner.change(&mut plan)?;
    }
    if initialized {
        planner.setup.add_updates(&mut plan);
    }
    Ok(plan)
}

/// The ids of steps that later ones wait for.
#[derive(Debug, Default)]
struct Milestones {
    /// The last change of the members of etcd: they change one after another.
    member: Option<String>,
    /// The joining of each master, and of each host.
    masters: Vec<String>,
    joined: Vec<String>,
    /// The last step by which each host of the cluster gets its settings.
    altered: Vec<String>,
    /// The last launch command.
    launched: Option<String>,
}

impl Planner<'_> {
    /// Adds the steps for all hosts that are not as wanted: the dead leave, new ones join, settings change, the rest leaves.
    fn change(&self, plan: &mut Plan) -> Result<(), Error> {
        let work = Work::of(self);
        if work.is_empty() {
            return Ok(());
        }
        plan.summary = work.summary(&self.setup);
        plan.notes.extend(work.notes(&self.setup));
        plan.notes.extend(plugins::remarks(self.setup.request.wanted));
        self.list(&work, plan);
        let mut milestones = Milestones::default();
        self.remove_dead(&work, plan, &mut milestones);
        self.join_hosts(&work, plan, &mut milestones)?;
        self.alter_hosts(&work, plan, &mut milestones)?;
        self.launch(&work, plan, &mut milestones)?;
        let initialize = plan.steps.iter().any(|step| step.id == super::join::INIT_STEP);
        // A cluster is made once a master is finished: that waits for all that is done only while it is made.
        let mut last = Vec::new();
        for host in work.joining.iter().rev() {
            plan.steps.push(self.setup.ready(host)?.after(milestones.launched.clone()));
            last.extend(if initialize { self.setup.plugins(host, &["PostInstall"]) } else { Vec::new() });
        }
        if initialize {
            let ready = work.joining.iter().map(|host| id("ready", host.address)).collect();
            last.extend(self.setup.cluster_check(ready));
        }
        let made: Vec<String> = last.iter().map(|step| step.id.clone()).collect();
        plan.steps.extend(last);
        for host in work.joining.iter().rev() {
            let label = self.setup.has_labels(host).then(|| id("label", host.address));
            let made = made.iter().filter(|_| host.is_master());
            plan.steps.push(self.setup.finish(host)?.after(label).after(made));
        }
        self.leave_hosts(&work, plan, &mut milestones);
        for (host, changed) in &work.altered {
            // The marker of a host says that it has its settings, once it has.
            let label = changed.contains(&LABELS).then(|| id("label", host.address));
            let launched = milestones.launched.clone().filter(|_| host.is_master());
            plan.steps.push(self.setup.finish(host)?.after(label).after(launched));
        }
        Ok(())
    }

    fn list(&self, work: &Work<'_>, plan: &mut Plan) {
        // What joins is said of a host, not that its machine changes before.
        plan.hosts.retain(|planned| work.joining.iter().all(|host| host.address != planned.address));
        plan.hosts.extend(work.joining.iter().map(|host| self.setup.planned(host, HostChange::Join)));
        plan.hosts.extend(work.altered.iter().map(|(host, _)| self.setup.planned(host, HostChange::Alter)));
        plan.hosts.extend(work.dead.iter().chain(&work.leaving).map(|host| host.planned()));
    }

    /// Before anything else: no master can join while a member of etcd is dead.
    fn remove_dead(&self, work: &Work<'_>, plan: &mut Plan, milestones: &mut Milestones) {
        let entry = self.setup.control_plane.entry();
        for host in &work.dead {
            if host.is_master {
                plan.steps.push(self.remove_member(host.address, entry, milestones.member.take()));
                milestones.member = plan.steps.last().map(|step| step.id.clone());
            }
            if let Some(node) = host.node {
                plan.steps.push(self.setup.remove_node(host.address, node, entry));
            }
        }
    }

    fn join_hosts(&self, work: &Work<'_>, plan: &mut Plan, milestones: &mut Milestones) -> Result<(), Error> {
        if work.joining.is_empty() {
            return Ok(());
        }
        let entry = self.setup.control_plane.entry().address;
        let first_step = plan.steps.len();
        if self.setup.is_initialized() {
            plan.steps.extend(self.setup.cluster_plugins(self.setup.control_plane.entry(), &["pre-scaleup"]));
        }
        for host in &work.joining {
            plan.steps.extend(self.prepare(host)?);
        }
        Setup::wait_for_cluster_plugins(&mut plan.steps[first_step..]);
        let initialize = work.joining.iter().any(|host| host.address == entry);
        let gate = if initialize { self.init()? } else { self.token() };
        let gate_id = gate.id.clone();
        plan.steps.push(gate);
        if let Some(first) = work.joining.iter().find(|host| host.address == entry) {
            milestones.joined.extend(self.joined_plugins(first, plan));
        }
        let others = || work.joining.iter().filter(|host| host.address != entry);
        // All of them before the first master joins: kubeadm refuses to join while a member of etcd is dead.
        let mut gone = BTreeMap::new();
        for host in others() {
            let stale = self.replace_stale(host, milestones);
            gone.extend(stale.last().map(|step| (host.address, step.id.clone())));
            plan.steps.extend(stale);
        }
        for master in others().filter(|host| host.is_master()) {
            let before = milestones.member.take();
            let own = gone.remove(&master.address).filter(|own| before.as_ref() != Some(own));
            let join = self.join(master)?.after([&gate_id]).after(own).after(before);
            milestones.member = Some(join.id.clone());
            milestones.masters.push(join.id.clone());
            milestones.joined.push(join.id.clone());
            plan.steps.push(join);
            milestones.joined.extend(self.joined_plugins(master, plan));
        }
        // While etcd grows from one member to two, it has no majority until the second one runs, and no API answers. A third
        // and later ones join beside the nodes.
        let mut members =
            self.setup.control_plane.masters().filter(|master| self.setup.request.was_finished(master.address));
        let alone = members.nth(1).is_none();
        let second = milestones.masters.first().filter(|_| alone).cloned();
        for node in others().filter(|host| !host.is_master()) {
            let own = gone.remove(&node.address);
            let join = self.join(node)?.after([&gate_id]).after(own).after_end_of(second.clone());
            milestones.joined.push(join.id.clone());
            plan.steps.push(join);
            milestones.joined.extend(self.joined_plugins(node, plan));
        }
        for host in work.joining.iter().filter(|host| self.setup.has_labels(host)) {
            let own = if host.address == entry { gate_id.clone() } else { id("kubeadm-join", host.address) };
            plan.steps.push(self.setup.label(host)?.after([own]));
        }
        Ok(())
    }

    /// A host that was installed anew under its address is still known as what it was; a master that the API does not know
    /// (any more) may still be a member of etcd, from a join that was interrupted.
    fn replace_stale(&self, host: &Host, milestones: &mut Milestones) -> Vec<Step> {
        let request = &self.setup.request;
        let Some(api) = &request.facts.api else { return Vec::new() };
        let known = api.nodes.get(&host.address);
        let is_begun = request.marker(host.address).is_some() && !request.is_installed_anew(host.address);
        let entry = self.setup.control_plane.entry();
        let mut steps = Vec::new();
        let was_master = known.map_or(host.is_master(), |known| known.control_plane);
        if known.is_some() != is_begun && was_master {
            steps.push(self.remove_member(host.address, entry, milestones.member.take()));
            milestones.member = steps.last().map(|step| step.id.clone());
        }
        if let Some(known) = known.filter(|_| !is_begun) {
            steps.push(self.setup.remove_node(host.address, &known.name, entry));
        }
        steps
    }

    fn alter_hosts(&self, work: &Work<'_>, plan: &mut Plan, milestones: &mut Milestones) -> Result<(), Error> {
        let mut certificates = None;
        let first_step = plan.steps.len();
        for (host, changed) in &work.altered {
            let mut steps = self.setup.alter(host, changed)?;
            if let Some(first) = steps.first_mut() {
                // Nobody is sent to a master that has not joined.
                first.after_end_of.extend(milestones.masters.iter().cloned());
            }
            if changed.contains(&super::settings::CERTIFICATES) {
                let [files, certificate] = self.renew_certificate(host)?;
                // API servers that have to start again for it do so one after another.
                let before = certificates.replace(certificate.id.clone()).filter(|_| !self.reloads_certificates());
                steps.extend([files.after_end_of(before), certificate]);
            }
            let own = steps.iter().rfind(|step| step.hosts == [host.address]);
            milestones.altered.extend(own.map(|step| step.id.clone()));
            plan.steps.extend(steps);
        }
        self.setup.order_registries(&mut plan.steps[first_step..]);
        Ok(())
    }

    /// Adds the plugins that run on a host once it is part of the cluster; gives the id of the last one.
    fn joined_plugins(&self, host: &Host, plan: &mut Plan) -> Option<String> {
        let late = if self.setup.is_initialized() { &["post-init-host", "PostJoin"][..] } else { &["post-init-host"] };
        let steps = self.setup.plugins(host, late);
        let last = steps.last().map(|step| step.id.clone());
        plan.steps.extend(steps);
        last
    }

    /// Adds the plugins that run once all hosts have joined, before anything is launched; gives their ids.
    fn plugins_before_launch(
        &self,
        work: &Work<'_>,
        initialize: bool,
        plan: &mut Plan,
        joined: &[String],
    ) -> Vec<String> {
        let through = self.setup.control_plane.successor();
        let mut steps: Vec<Step> = Vec::new();
        if initialize {
            steps.extend(work.joining.iter().flat_map(|host| self.setup.plugins(host, &["PreGuest"])));
            steps.extend(self.setup.cluster_plugins(through, &["post-install"]));
            steps = steps.into_iter().map(|step| step.after_end_of(joined)).collect();
        } else if !work.joining.is_empty() {
            let scaled = self.setup.cluster_plugins(through, &["post-scaleup"]);
            steps.extend(scaled.into_iter().map(|step| step.after(joined)));
        }
        let ids = steps.iter().map(|step| step.id.clone()).collect();
        plan.steps.extend(steps);
        ids
    }

    /// The launch commands: once the cluster is initialized, and when they change.
    fn launch(&self, work: &Work<'_>, plan: &mut Plan, milestones: &mut Milestones) -> Result<(), Error> {
        let initialize = plan.steps.iter().any(|step| step.id == super::join::INIT_STEP);
        if initialize && !self.carries_coredns() {
            plan.notes.push("the image carries no coredns: pods cannot find services by their names".to_owned());
        }
        let before = self.plugins_before_launch(work, initialize, plan, &milestones.joined);
        milestones.launched = before.last().cloned();
        if initialize || work.relaunch {
            let steps = self.setup.launch(&before, &milestones.joined)?;
            milestones.launched = steps.last().map(|step| step.id.clone()).or(milestones.launched.take());
            plan.steps.extend(steps);
        }
        Ok(())
    }

    /// Hosts that can be reached: their pods move away, then they are taken out, nodes at once, masters one after another.
    fn leave_hosts(&self, work: &Work<'_>, plan: &mut Plan, milestones: &mut Milestones) {
        let through = self.setup.control_plane.successor();
        for host in work.leaving.iter().filter(|host| host.node.is_some()) {
            let drain = self.setup.drain(host.address, through).after_end_of(&milestones.joined);
            plan.steps.push(drain.independent());
        }
        for host in &work.leaving {
            let mut before: Vec<String> = host.node.map(|_| id("drain", host.address)).into_iter().collect();
            if host.is_master {
                let step = self.remove_member(host.address, through, milestones.member.take());
                let step = step.after(before).after_end_of(&milestones.altered);
                before = vec![step.id.clone()];
                milestones.member = Some(step.id.clone());
                plan.steps.push(step);
            }
            let remove = |node| self.setup.remove_node(host.address, node, through).after([id("clean", host.address)]);
            let forgotten = host.node.map(remove);
            let forgotten_id = forgotten.as_ref().map(|step| step.id.clone());
            let mut own = self.setup.leave_host(host, super::LEAVING, &before, forgotten_id.as_deref());
            let forget = own.pop();
            plan.steps.extend(own.into_iter().chain(forgotten).chain(forget));
        }
    }

    /// Everything on a host before kubeadm.
    fn prepare(&self, host: &Host) -> Result<Vec<Step>, Error> {
        let own: Vec<File> = self.kubeadm_files(host)?;
        let mut steps = self.setup.prepare(host, own)?;
        steps.push(self.prepare_kubernetes(host));
        steps.extend(self.setup.plugins(host, &[if self.setup.is_initialized() { "PreJoin" } else { "PreInit" }]));
        Ok(steps)
    }
}
