//! Which steps take a cluster off its hosts?

use clusterfile::{Change, Host};

use super::environment::{self, Engine};
use super::steps::{Script, on};
use super::{Secrets, care};
use crate::{Facts, HostChange, Marker, Plan, PlannedHost, Step};

/// Plans the removal of a cluster: nodes first, the master last. A host without the cluster's marker is left alone.
pub(crate) fn plan(change: &Change, facts: &Facts, secrets: &Secrets) -> Plan {
    let cluster = &change.wanted;
    let leaving: Vec<&Host> =
        if change.leaves.is_empty() { cluster.hosts.iter().collect() } else { change.leaves.iter().collect() };
    let (masters, nodes): (Vec<&Host>, Vec<&Host>) = leaving.into_iter().partition(|host| host.is_master());
    let marker = |host: &Host| {
        let marker = facts.hosts.get(&host.address)?.marker.as_ref()?;
        marker.is_of(&cluster.name, secrets).then_some(marker)
    };
    let mut plan = Plan { cluster: cluster.name.clone(), ..Plan::default() };
    let mut before = Vec::new();
    for host in &nodes {
        let Some(marker) = marker(host) else {
            continue;
        };
        before.push(on("forget", host.address));
        add(&mut plan, change, host, "node", marker, Vec::new());
    }
    for host in &masters {
        if let Some(marker) = marker(host) {
            add(&mut plan, change, host, "master", marker, before.clone());
        }
    }
    let count = plan.hosts.len();
    let verb = if count == 1 { "host leaves" } else { "hosts leave" };
    plan.summary = format!("{count} {verb}, the cluster is deleted");
    plan
}

fn add(plan: &mut Plan, change: &Change, host: &Host, role: &str, marker: &Marker, after: Vec<String>) {
    let engine =
        Engine { name: if marker.engine.is_empty() { "containerd".to_owned() } else { marker.engine.clone() } };
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    let mut env = environment::ours(&change.wanted, &engine);
    env.insert("SEALER_ENGINE_OURS".into(), yes(marker.engine_ours));
    env.insert("SEALER_CRI_SOCKET".into(), engine.socket());
    env.insert("SEALER_API_SERVERS".into(), care::service(host.address).to_string());
    let step = |id: &str, title: &str, body| -> Step {
        let script = Script {
            id: on(id, host.address),
            title: title.to_owned(),
            host: host.address,
            body,
            why: None,
            env: env.clone(),
            timeout_seconds: 300,
            show_output: false,
        };
        script.step()
    };
    let reset = Step { after, ..step("reset", "kubeadm reset", include_str!("scripts/reset.sh")) };
    plan.steps.push(reset);
    plan.steps.push(step("clean", "clean", include_str!("scripts/clean.sh")));
    plan.steps.push(step("forget", "forget", include_str!("scripts/forget.sh")));
    let planned = PlannedHost { address: host.address, change: HostChange::Leave, role: role.to_owned() };
    plan.hosts.push(planned);
}
