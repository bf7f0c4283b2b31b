//! The steps of plugins: scripts on hosts and on the cluster, names of hosts, the check of the cluster.

use std::net::IpAddr;

use clusterfile::{Host, Plugin, Role};

use super::prepare::id;
use super::{ClusterNetwork, ContainerEngine, Script, Setup, environment};
use crate::plugins::{self, Chosen, acts_on, phases, sorted};
use crate::{Marker, Request, Run, Step, Variable, Wait};

const PLUGIN: Script = Script::new(include_str!("scripts/plugin.sh"));
const HOSTNAME: Script = Script::new(include_str!("scripts/hostname.sh"));
const CLUSTER_CHECK: Script = Script::new(include_str!("scripts/cluster_check.sh"));

/// How long a cluster may take until its check succeeds, in seconds (upstream: 15 minutes).
const CHECK_SECONDS: u64 = 900;

impl Setup<'_> {
    /// The scripts that run on a host in one of these phases.
    pub(crate) fn plugins(&self, host: &Host, phases: &[&str]) -> Vec<Step> {
        let chosen = Chosen::of(self.cluster(), host);
        let acting = scripts(&self.request, phases).filter(|(_, plugin)| acts_on(plugin, &chosen));
        acting.map(|(phase, plugin)| self.plugin(host, phase, plugin)).collect()
    }

    /// The scripts that run once for the whole cluster in one of these phases, on this master.
    pub(crate) fn cluster_plugins(&self, master: &Host, phases: &[&str]) -> Vec<Step> {
        let step = |(phase, plugin)| self.plugin(master, phase, plugin).cluster_wide();
        scripts(&self.request, phases).map(step).collect()
    }

    /// The scripts before a host is made ready for Kubernetes; on the master where a cluster begins, also those that run
    /// once before all of it.
    pub(super) fn plugins_before_engine(&self, host: &Host) -> Vec<Step> {
        if self.is_initialized() {
            return self.plugins(host, &["pre-init-host"]);
        }
        let is_entry = self.control_plane.entry().address == host.address;
        let once = if is_entry { self.cluster_plugins(host, &["pre-install"]) } else { Vec::new() };
        once.into_iter().chain(self.plugins(host, &["PreInstall", "pre-init-host"])).collect()
    }

    /// Has what is done to hosts once their content is there wait for the scripts that run once before.
    pub(crate) fn wait_for_cluster_plugins(steps: &mut [Step]) {
        let once = steps.iter().filter(|step| step.cluster_wide && step.id.starts_with("plugin-pre-"));
        let once: Vec<String> = once.map(|step| step.id.clone()).collect();
        let begins = |step: &&mut Step| {
            ["engine@", "plugin-pre-init-host-", "plugin-PreInstall-"].iter().any(|begin| step.id.starts_with(begin))
        };
        steps.iter_mut().filter(begins).for_each(|step| step.after.extend(once.iter().cloned()));
    }

    fn plugin(&self, host: &Host, phase: &str, plugin: &Plugin) -> Step {
        let run = if host.is_master() { self.kubectl(host, PLUGIN) } else { self.run(host, PLUGIN) };
        step(host.address, phase, plugin, run, self.request.plugin_seconds)
    }

    /// Gives a host the name that a plugin of type HOSTNAME says.
    pub(super) fn host_name(&self, host: &Host) -> Option<Step> {
        let name = self.given_name(host);
        let title = format!("host name {name}");
        let step = |name| {
            let run = self.run(host, HOSTNAME).env([("SEALER_HOSTNAME", Variable::shown(name))]);
            Step::run(id("hostname", host.address), [host.address], run).titled(title)
        };
        (!name.is_empty()).then(|| step(name))
    }

    /// The name that a plugin of type HOSTNAME gives, or gave, to a host; empty when none does. A host that is part of
    /// the cluster keeps its name.
    pub(super) fn given_name(&self, host: &Host) -> String {
        // What is wrong with such a plugin was refused before.
        let given = plugins::host_names(self.request.wanted).unwrap_or_default().remove(&host.address);
        let keeps = self.request.is_done(host.address).then(|| self.request.host_facts(host.address).ok()).flatten();
        given.map(|name| keeps.map_or(name, |facts| facts.hostname.clone())).unwrap_or_default()
    }

    /// Waits until the cluster is as a plugin of type CLUSTERCHECK asks for.
    pub(crate) fn cluster_check(&self, after: Vec<String>) -> Option<Step> {
        let mut plugins = self.request.wanted.plugins.iter();
        plugins.find(|plugin| plugin.plugin_type == "CLUSTERCHECK")?;
        let master = self.control_plane.successor();
        let env = environment::ours(self.cluster(), self.engine);
        let script = CLUSTER_CHECK.with_functions(self.functions).with_kubeconfig(self.kubeconfig).complete(&env);
        let wait = Wait::new(script, "all nodes and the pods of kube-system are ready").timeout_seconds(CHECK_SECONDS);
        Some(Step::wait("cluster-check", [master.address], wait).after(after))
    }
}

/// A host that leaves: as the cluster is remembered with it, else what its marker says.
pub(super) struct LeavingPlugins<'a> {
    request: &'a Request<'a>,
    host: Host,
    marker: &'a Marker,
    /// The kubeconfig of a master, until its Kubernetes is stopped.
    kubeconfig: &'static str,
}

impl<'a> LeavingPlugins<'a> {
    pub(super) fn new(request: &'a Request<'a>, address: IpAddr, marker: &'a Marker, kubeconfig: &'static str) -> Self {
        let known = request.known.and_then(|cluster| cluster.host(address)).cloned();
        let host = known.unwrap_or_else(|| {
            let mut host = Host::new(address, if marker.role == "master" { Role::Master } else { Role::Node });
            host.env.clone_from(&request.cluster().env);
            host
        });
        Self { request, host, marker, kubeconfig }
    }

    /// The scripts that run on the host in one of these phases.
    pub(super) fn of_host(&self, is_first_master: bool, phases: &[&str]) -> Vec<Step> {
        let chosen = Chosen { is_first_master, ..Chosen::of(self.request.cluster(), &self.host) };
        let acting = scripts(self.request, phases).filter(|(_, plugin)| acts_on(plugin, &chosen));
        acting.map(|(phase, plugin)| self.step(phase, plugin)).collect()
    }

    /// The scripts that run once while the cluster is deleted, on this host.
    pub(super) fn of_cluster(&self, phase: &str) -> Vec<Step> {
        scripts(self.request, &[phase]).map(|(phase, plugin)| self.step(phase, plugin).cluster_wide()).collect()
    }

    fn step(&self, phase: &str, plugin: &Plugin) -> Step {
        let Self { request, host, marker, kubeconfig } = self;
        let engine = ContainerEngine::named(&marker.engine).unwrap_or(ContainerEngine::Containerd);
        // Only masters know the networks.
        let mut markers = request.facts.hosts.values().filter_map(|facts| facts.marker.as_ref());
        let of_master = markers
            .find(|marker| marker.is_of(&request.cluster().name, request.payload.secrets) && marker.role == "master");
        let network = ClusterNetwork::of_marker(request.cluster(), of_master.unwrap_or(marker));
        let env = environment::of_host(request.cluster(), host, engine, &network, &request.payload.image.env);
        let stands = marker.role == "master" && phase.to_lowercase().starts_with("pre");
        let script = if stands { PLUGIN.with_kubeconfig(kubeconfig) } else { PLUGIN };
        self::step(host.address, phase, plugin, script.run(env), request.plugin_seconds)
    }
}

fn step(host: IpAddr, phase: &str, plugin: &Plugin, run: Run, seconds: u64) -> Step {
    let name = if plugin.name.is_empty() { "without-name" } else { &plugin.name };
    let run = run.env([("SEALER_PLUGIN", Variable::hidden(&plugin.data)), ("SEALER_PHASE", Variable::shown(phase))]);
    let run = run.timeout_seconds(seconds).show_output();
    let mut step =
        Step::run(id(&format!("plugin-{phase}-{name}"), host), [host], run).titled(format!("plugin {name} ({phase})"));
    step.cluster_wide = false;
    step
}

/// The scripts of these phases, in the order of the phases and then of their names.
fn scripts<'a>(request: &Request<'a>, wanted: &[&'a str]) -> impl Iterator<Item = (&'a str, &'a Plugin)> {
    let all = &request.wanted.plugins;
    let wanted: Vec<&'a str> = wanted.to_vec();
    wanted.into_iter().flat_map(move |phase| {
        let is_of = move |plugin: &&Plugin| plugin.plugin_type == "SHELL" && phases(plugin).any(|named| named == phase);
        sorted(all).filter(is_of).map(move |plugin| (phase, plugin)).collect::<Vec<_>>()
    })
}
