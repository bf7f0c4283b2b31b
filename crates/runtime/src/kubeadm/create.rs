//! Which steps turn bare hosts into a cluster, or finish one that was begun?

mod cluster;
mod documents;
mod host;

use std::net::IpAddr;

use clusterfile::{Cluster, Host};

use super::config::{self, Documents};
use super::environment::{self, Engine};
use super::steps::{Script, on};
use super::version::Version;
use crate::plan::size;
use crate::{Error, Facts, HostChange, HostFacts, Marker, MarkerState, Payload, Plan, PlannedHost, Step};

/// Plans a cluster with one master. Hosts that are done are left alone; a cluster that is done gives an empty plan.
pub(crate) fn plan(cluster: &Cluster, facts: &Facts, payload: &Payload<'_>) -> Result<Plan, Error> {
    let create = Create::new(cluster, facts, payload)?;
    let mut plan = Plan { cluster: cluster.name.clone(), ..Plan::default() };
    let hosts = std::iter::once(create.master).chain(cluster.nodes());
    let todo: Vec<&Host> = hosts.filter(|host| !create.is_done(host.address)).collect();
    if todo.is_empty() {
        return Ok(plan);
    }
    plan.summary = create.summary(&todo);
    for host in &todo {
        let role = if host.is_master() { "master" } else { "node" };
        plan.hosts.push(PlannedHost { address: host.address, change: HostChange::Join, role: role.to_owned() });
        plan.steps.extend(create.prepare(host)?);
    }
    let master_todo = todo.iter().any(|host| host.is_master());
    plan.steps.push(if master_todo { create.init()? } else { create.token()? });
    if master_todo && !create.carries_coredns() {
        plan.notes.push("the image carries no coredns: pods cannot find services by their names".to_owned());
    }
    let gate = plan.steps.last().map(|step| step.id.clone());
    for host in todo.iter().filter(|host| !host.is_master()) {
        plan.steps.push(Step { after: gate.clone().into_iter().collect(), ..create.join(host)? });
    }
    let mut joined: Vec<String> =
        plan.steps.iter().filter(|step| step.id.starts_with("kubeadm-join@")).map(|step| step.id.clone()).collect();
    for host in todo.iter().filter(|host| !host.labels.is_empty() || !host.taints.is_empty()) {
        let label = Step { after: joined.clone(), ..create.label(host)? };
        plan.steps.push(label);
    }
    if master_todo {
        // The network may be among what is launched, so nodes become Ready only afterwards.
        for (index, command) in payload.launch.iter().enumerate() {
            let after = if index == 0 { std::mem::take(&mut joined) } else { Vec::new() };
            plan.steps.push(Step { after, ..create.launch(index, command)? });
        }
    }
    plan.steps.push(Step { after: joined, ..create.wait()? });
    for host in todo.iter().rev() {
        plan.steps.push(create.finish(host)?);
    }
    Ok(plan)
}

/// All that the steps are made of.
struct Create<'a> {
    cluster: &'a Cluster,
    facts: &'a Facts,
    payload: &'a Payload<'a>,
    master: &'a Host,
    version: Version,
    engine: Engine,
    /// For everything that is the same on all hosts.
    documents: Documents,
}

impl<'a> Create<'a> {
    fn new(cluster: &'a Cluster, facts: &'a Facts, payload: &'a Payload<'a>) -> Result<Self, Error> {
        let no_master = || Error::Unsupported { cluster: cluster.name.clone(), reason: "names no master".to_owned() };
        let master = cluster.masters().next().ok_or_else(no_master)?;
        let engine = engine(payload)?;
        let missing = |what: &str| Error::Payload { image: payload.image.clone(), missing: what.to_owned() };
        let script = format!("scripts/{}.sh", engine.name);
        for needed in ["bin/kubeadm", "bin/kubelet", "bin/kubectl", "scripts/init-kube.sh", script.as_str()] {
            if !payload.files.iter().any(|file| file == needed) {
                return Err(missing(&format!("{needed} (is it a cluster image?)")));
            }
        }
        let version = config::version(payload, &config::asked(payload)?)?;
        version.config_api()?;
        let mut create = Self { cluster, facts, payload, master, version, engine, documents: Documents::default() };
        create.documents = create.documents_for(master)?;
        Ok(create)
    }

    fn host_facts(&self, host: IpAddr) -> Result<&'a HostFacts, Error> {
        self.facts.hosts.get(&host).ok_or(Error::NoFacts { host })
    }

    /// Whether a host's marker says that it is done with this very image, and the cluster knows the host.
    fn is_done(&self, host: IpAddr) -> bool {
        let marker = self.facts.hosts.get(&host).and_then(|facts| facts.marker.as_ref());
        let done = marker.is_some_and(|marker| {
            self.is_ours(marker) && marker.image == self.payload.image_digest && marker.state == MarkerState::Ready
        });
        done && self.facts.api.as_ref().is_some_and(|api| api.nodes.contains_key(&host))
    }

    fn is_ours(&self, marker: &Marker) -> bool {
        marker.is_of(&self.cluster.name, self.payload.secrets)
    }

    /// Whether a host's marker says that it was done once, whatever the cluster says now.
    fn stood(&self, host: IpAddr) -> bool {
        let marker = self.facts.hosts.get(&host).and_then(|facts| facts.marker.as_ref());
        marker.is_some_and(|marker| self.is_ours(marker) && marker.state == MarkerState::Ready)
    }

    fn summary(&self, todo: &[&Host]) -> String {
        let verb = if todo.len() == 1 { "host joins" } else { "hosts join" };
        let whole = size(self.payload.rootfs_bytes + self.payload.carried_bytes);
        let nodes = todo.iter().any(|host| !host.is_master());
        let per_node =
            if nodes { format!(", {} to each node", size(self.payload.rootfs_bytes)) } else { String::new() };
        let master =
            if todo.iter().any(|host| host.is_master()) { format!("{whole} to the master") } else { String::new() };
        let bytes = format!("{master}{per_node}");
        let bytes = bytes.trim_start_matches(", ");
        format!("{} {verb}, image {}, kubernetes {} ({bytes})", todo.len(), self.payload.image, self.version)
    }

    fn script<'s>(
        &self,
        host: &Host,
        id: &str,
        title: &str,
        (body, why): (&'s str, Option<&'s str>),
    ) -> Result<Script<'s>, Error> {
        let env = environment::of_host(self.cluster, host, &self.engine, &self.documents);
        Ok(Script {
            id: on(id, host.address),
            title: title.to_owned(),
            host: host.address,
            body,
            why,
            env,
            timeout_seconds: 600,
            show_output: false,
        })
    }

    /// The name under which kubeadm registers a host: its host name in small letters.
    fn node_name(&self, host: IpAddr) -> Result<String, Error> {
        Ok(self.host_facts(host)?.hostname.to_lowercase())
    }
}

/// The engine that the image brings: by its label, else by its scripts.
fn engine(payload: &Payload<'_>) -> Result<Engine, Error> {
    let label = payload.labels.get("cluster.alpha.sealer.io/container-runtime-type");
    let script = |name: &&str| payload.files.iter().any(|file| *file == format!("scripts/{name}.sh"));
    let name = label.cloned().or_else(|| ["containerd", "docker"].into_iter().find(script).map(str::to_owned));
    match name.as_deref() {
        Some("containerd") => Ok(Engine { name: "containerd".to_owned() }),
        Some(_) => Err(Error::NotBuilt { what: "an image with a container engine other than containerd" }),
        None => Err(Error::Payload {
            image: payload.image.clone(),
            missing: "scripts/containerd.sh (is it a cluster image?)".to_owned(),
        }),
    }
}
