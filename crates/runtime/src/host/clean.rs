//! The steps that take a cluster off its hosts.

use std::net::IpAddr;

use super::prepare::id;
use super::{ContainerEngine, Script, environment};
use crate::{HostChange, Marker, Plan, PlannedHost, Request, Run, Step, Variable};

const FORGET: Script = Script::new(include_str!("scripts/forget.sh"));
const CLEAN: Script = Script::new(include_str!("scripts/clean.sh"));

/// How long each of the steps may take, in seconds.
const SECONDS: u64 = 300;

/// How a runtime stops its Kubernetes on a host that leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaving {
    /// What the step is called.
    pub(crate) title: &'static str,
    /// The script that stops it.
    pub(crate) reset: Script,
    /// Functions of which `remove_runtime_files` takes away what the runtime made.
    pub(crate) functions: &'static str,
}

/// Plans the removal of a cluster: nodes first, masters last. A host without the cluster's marker is left alone.
pub(crate) fn leave(request: &Request<'_>, leaving: Leaving) -> Plan {
    let cluster = request.cluster();
    let (masters, nodes): (Vec<_>, Vec<_>) = request.leaving().rev().partition(|(_, marker)| marker.role == "master");
    let mut plan = Plan::new(&cluster.name);
    for (host, marker) in &nodes {
        add(&mut plan, request, *host, "node", marker, &[], leaving);
    }
    let before: Vec<String> = nodes.iter().map(|(host, _)| id("forget", *host)).collect();
    for (host, marker) in &masters {
        add(&mut plan, request, *host, "master", marker, &before, leaving);
    }
    let count = plan.hosts.len();
    let verb = if count == 1 { "host leaves" } else { "hosts leave" };
    plan.summary = format!("{count} {verb}, the cluster is deleted");
    plan
}

fn add(
    plan: &mut Plan,
    request: &Request<'_>,
    host: IpAddr,
    role: &str,
    marker: &Marker,
    after: &[String],
    leaving: Leaving,
) {
    // A marker of a later version may name an engine that is not known here: ours is then the best guess.
    let engine = ContainerEngine::named(&marker.engine).unwrap_or(ContainerEngine::Containerd);
    let mut env = environment::ours(request.cluster(), engine);
    let service = super::control_plane::service(host);
    for (name, value) in [
        ("SEALER_ENGINE_OURS", if marker.engine_ours { "yes" } else { "no" }.to_owned()),
        ("SEALER_CRI_SOCKET", engine.socket().to_owned()),
        ("SEALER_API_SERVERS", service.to_string()),
    ] {
        env.insert(name.to_owned(), Variable::shown(value));
    }
    let run =
        |script: Script| -> Run { script.with_functions(leaving.functions).run(env.clone()).timeout_seconds(SECONDS) };
    plan.steps.extend([
        Step::run(id("reset", host), [host], run(leaving.reset)).titled(leaving.title).after(after),
        Step::run(id("clean", host), [host], run(CLEAN)).titled("clean"),
        Step::run(id("forget", host), [host], run(FORGET)).titled("forget"),
    ]);
    plan.hosts.push(PlannedHost::new(host, HostChange::Leave, role));
}
