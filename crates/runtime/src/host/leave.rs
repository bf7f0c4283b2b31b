//! The steps that take hosts out of a cluster, and a cluster off its hosts.

use std::net::{IpAddr, SocketAddr};

use super::control_plane::{API_PORT, virtual_address};
use super::plugins::LeavingPlugins;
use super::prepare::id;
use super::{ContainerEngine, Script, Setup, environment};
use crate::{HostChange, Marker, Plan, PlannedHost, Request, Run, Step, Variable};

const FORGET: Script = Script::new(include_str!("scripts/forget.sh"));
const CLEAN: Script = Script::new(include_str!("scripts/clean.sh"));
const REMOVE_NODE: Script = Script::new(include_str!("scripts/remove_node.sh"));

/// How long each of the steps may take, in seconds.
const SECONDS: u64 = 300;

/// How a runtime stops its Kubernetes on a host that leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving {
    /// What the step is called.
    pub(crate) title: &'static str,
    /// The script that stops it.
    pub(crate) reset: Script,
    /// Where masters have the administrator's kubeconfig until then.
    pub(crate) kubeconfig: &'static str,
    /// Functions of which `remove_runtime_files` takes away what the runtime made.
    pub(crate) functions: &'static str,
}

/// A host of the cluster that is not wanted any more.
#[derive(Debug)]
pub(crate) struct LeavingHost<'a> {
    pub(crate) address: IpAddr,
    pub(crate) is_master: bool,
    /// Its marker; `None` for a host that cannot be reached: it leaves only on the cluster's side.
    pub(crate) marker: Option<&'a Marker>,
    /// The name of its node, when the cluster knows it.
    pub(crate) node: Option<&'a str>,
}

impl<'a> LeavingHost<'a> {
    /// One that can be reached; `node` is the name of its node, when the cluster knows it.
    fn reachable(address: IpAddr, marker: &'a Marker, node: Option<&'a str>) -> Self {
        Self { address, is_master: marker.role == "master", marker: Some(marker), node }
    }

    pub(crate) fn planned(&self) -> PlannedHost {
        PlannedHost::new(self.address, HostChange::Leave, if self.is_master { "master" } else { "node" })
    }
}

/// Plans the removal of a cluster: nodes first, masters last. A host without the cluster's marker is left alone.
pub(crate) fn leave(request: &Request<'_>, leaving: Leaving) -> Plan {
    let (masters, nodes): (Vec<_>, Vec<_>) = request.leaving().rev().partition(|(_, marker)| marker.role == "master");
    let mut plan = Plan::new(&request.cluster().name);
    let before: Vec<String> = nodes.iter().map(|(host, _)| id("forget", *host)).collect();
    // The last one that leaves is the first master.
    let last = masters.last().copied();
    let of_cluster = |phase| {
        let plugins = last.map(|(host, marker)| LeavingPlugins::new(request, host, marker, leaving.kubeconfig));
        plugins.map_or_else(Vec::new, |plugins| plugins.of_cluster(phase))
    };
    plan.steps.extend(of_cluster("pre-uninstall"));
    let announced: Vec<String> = plan.steps.iter().map(|step| step.id.clone()).collect();
    for (index, (host, marker)) in nodes.iter().chain(&masters).enumerate() {
        let is_last = last.is_some_and(|(last, _)| last == *host);
        let mut own = steps(request, *host, marker, is_last, leaving);
        if let Some(first) = own.first_mut() {
            first.after.extend(announced.iter().cloned());
            // What a node cannot be rid of must not keep the masters.
            first.after_end_of.extend(before.iter().filter(|_| index >= nodes.len()).cloned());
        }
        if is_last {
            let others = nodes.iter().chain(&masters).filter(|(other, _)| other != host);
            let others: Vec<String> = others.map(|(other, _)| id("forget", *other)).collect();
            let forget = own.pop();
            own.extend(of_cluster("post-uninstall").into_iter().map(|step| step.after_end_of(&others)));
            own.extend(forget);
        }
        plan.steps.extend(own);
        plan.hosts.push(LeavingHost::reachable(*host, marker, None).planned());
    }
    let count = plan.hosts.len();
    let verb = if count == 1 { "host leaves" } else { "hosts leave" };
    plan.summary = format!("{count} {verb}, the cluster is deleted");
    plan
}

/// What is done on a host itself: its Kubernetes is stopped, what was installed is removed, then our own; plugins before
/// and after.
fn steps(request: &Request<'_>, host: IpAddr, marker: &Marker, is_first_master: bool, leaving: Leaving) -> Vec<Step> {
    // A marker of a later version may name an engine that is not known here: ours is then the best guess.
    let engine = ContainerEngine::named(&marker.engine).unwrap_or(ContainerEngine::Containerd);
    let mut env = environment::ours(request.cluster(), engine);
    let service = SocketAddr::new(virtual_address(request.cluster(), host.is_ipv4()), API_PORT);
    for (name, value) in [
        ("SEALER_ENGINE_OURS", if marker.engine_ours { "yes" } else { "no" }.to_owned()),
        ("SEALER_CRI_SOCKET", engine.socket().to_owned()),
        ("SEALER_API_SERVERS", service.to_string()),
    ] {
        env.insert(name.to_owned(), Variable::shown(value));
    }
    let run =
        |script: Script| -> Run { script.with_functions(leaving.functions).run(env.clone()).timeout_seconds(SECONDS) };
    let leaving_plugins = LeavingPlugins::new(request, host, marker, leaving.kubeconfig);
    let plugins = |phases: &[&str]| leaving_plugins.of_host(is_first_master, phases);
    let mut steps = plugins(&["PreClean", "pre-clean-host"]);
    steps.push(Step::run(id("reset", host), [host], run(leaving.reset)).titled(leaving.title));
    steps.push(Step::run(id("clean", host), [host], run(CLEAN)).titled("clean"));
    steps.extend(plugins(&["PostClean", "post-clean-host"]));
    steps.push(Step::run(id("forget", host), [host], run(FORGET)).titled("forget"));
    steps
}

impl Setup<'_> {
    /// The hosts that leave a cluster that goes on: nodes before masters.
    pub(crate) fn leaving(&self) -> Vec<LeavingHost<'_>> {
        let nodes = self.request.facts.api.as_ref().map(|api| &api.nodes);
        let node = |host: &IpAddr| nodes.and_then(|nodes| nodes.get(host));
        let alive = self.request.leaving().map(|(address, marker)| {
            LeavingHost::reachable(address, marker, node(&address).map(|node| node.name.as_str()))
        });
        let unwanted = |host: &&IpAddr| self.cluster().host(**host).is_none();
        let dead = self.request.facts.unreachable.keys().filter(unwanted).filter_map(|address| {
            let known = node(address)?;
            let node = Some(known.name.as_str());
            Some(LeavingHost { address: *address, is_master: known.control_plane, marker: None, node })
        });
        let mut leaving: Vec<_> = alive.chain(dead).collect();
        leaving.sort_by_key(|host| host.is_master);
        leaving
    }

    /// Takes a host's node out of the API, asked through this master.
    pub(crate) fn remove_node(&self, host: IpAddr, node: &str, through: &clusterfile::Host) -> Step {
        let run = self.kubectl(through, REMOVE_NODE).env([("SEALER_NODE", Variable::shown(node))]);
        let step = Step::run(id("remove-node", host), [through.address], run).cluster_wide().independent();
        step.titled(format!("take node {node} ({host}) out of the cluster"))
    }

    /// What is done on a host that leaves a cluster that goes on: the first after these steps; the last, which forgets that
    /// the host was part of it, after the cluster has forgotten it too.
    pub(crate) fn leave_host(
        &self,
        host: &LeavingHost<'_>,
        leaving: Leaving,
        before: &[String],
        forgotten: Option<&str>,
    ) -> Vec<Step> {
        let Some(marker) = host.marker else { return Vec::new() };
        let mut steps = steps(&self.request, host.address, marker, false, leaving);
        steps.first_mut().into_iter().for_each(|first| first.after.extend_from_slice(before));
        steps.last_mut().into_iter().for_each(|last| last.after.extend(forgotten.map(str::to_owned)));
        steps
    }
}
