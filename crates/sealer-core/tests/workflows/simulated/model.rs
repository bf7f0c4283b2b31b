//! What a kubeadm cluster is: the members of etcd, the nodes, their labels, the objects of its API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sealer_core::clusterfile::Cluster;
use sealer_core::remote::Output;
use sealer_core::runtime::{Action, Plan};
use sealer_core::testing::KubernetesApi;

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) members: BTreeSet<IpAddr>,
    pub(crate) nodes: BTreeSet<IpAddr>,
    /// Members of etcd that a join that failed has left: nobody can join while there is one.
    pub(crate) learners: BTreeSet<IpAddr>,
    pub(crate) labels: BTreeMap<IpAddr, String>,
    /// Hosts that are dead for good.
    pub(crate) lost: BTreeSet<IpAddr>,
    /// Hosts that are dead now.
    pub(crate) down: BTreeSet<IpAddr>,
    /// Objects in the API, as long as etcd has members.
    pub(crate) api: KubernetesApi,
    /// What is done now.
    pub(crate) plan: Option<Arc<Plan>>,
    /// The step that each host is at.
    pub(crate) current: BTreeMap<IpAddr, String>,
    /// Whether the cluster is deleted: no member of etcd is taken out first.
    pub(crate) ends: bool,
}

impl Model {
    /// What the current step of a host does to the cluster.
    pub(crate) fn perform(&mut self, on: IpAddr) {
        let id = self.current[&on].clone();
        let (what, of) = id.split_once('@').map_or((id.as_str(), on), |(what, of)| (what, of.parse().unwrap()));
        let stands = self.members.contains(&on) && self.nodes.contains(&on);
        match what {
            "kubeadm-init" if !stands => {
                assert!(self.members.is_empty(), "a second control plane is made");
                self.api = KubernetesApi::default();
                self.members.insert(on);
                self.nodes.insert(on);
            }
            "kubeadm-join" => {
                assert!(!self.members.is_empty(), "{id} joins nothing");
                let plan = self.plan.as_ref().unwrap();
                if plan.hosts.iter().any(|host| host.address == on && host.role == "master") {
                    let dead = self.members.iter().any(|member| self.down.contains(member));
                    assert!(!dead || self.members.contains(&on), "a member of etcd is dead");
                    assert_eq!(self.learners, BTreeSet::new(), "an earlier try left a learner");
                    self.members.insert(on);
                }
                self.nodes.insert(on);
            }
            "bootstrap-token" | "drain" | "certificate" | "launch-1" => assert!(stands, "{id} on {on}"),
            "label" => drop(self.labels.insert(of, self.value(&id, "SEALER_LABELS"))),
            "remove-member" => {
                assert!(stands && on != of, "{id} on {on}");
                self.members.remove(&of);
                self.learners.remove(&of);
            }
            "remove-node" => {
                assert!(stands && on != of && !self.members.contains(&of), "{id} on {on}");
                self.nodes.remove(&of);
                self.labels.remove(&of);
            }
            "reset" => {
                assert!(self.ends || !self.members.contains(&on), "{on} is still a member of etcd");
                self.members.remove(&on);
                self.nodes.remove(&on);
            }
            _ => {}
        }
        if !self.ends && !self.members.is_empty() {
            assert!(self.has_majority() || !self.down.is_empty(), "no majority after {id}");
        }
    }

    /// The same when the host's disk becomes full in the middle of it.
    pub(crate) fn perform_half(&mut self, on: IpAddr) {
        let joins = self.current[&on].starts_with("kubeadm-join@");
        let hosts = self.plan.iter().flat_map(|plan| &plan.hosts);
        let masters: Vec<IpAddr> = hosts.filter(|host| host.role == "master").map(|host| host.address).collect();
        if joins && masters.contains(&on) && !self.members.contains(&on) {
            self.learners.insert(on);
        }
    }

    /// What the API server of a master says of its nodes.
    pub(crate) fn nodes_text(&self, on: IpAddr) -> Output {
        if self.api_of(on).is_none() {
            return Output::exited(1, "", "connection refused\n");
        }
        let line = |node: &IpAddr| {
            let ready = if self.down.contains(node) { "Unknown" } else { "True" };
            let label = if self.members.contains(node) { " label=node-role.kubernetes.io/control-plane" } else { "" };
            let name = node.to_string().replace('.', "-");
            format!("node host-{name} v1.20.2 machine={node} address={node} ready={ready}{label}\n")
        };
        let version = "version {\"gitVersion\": \"v1.20.2\"}\n".to_owned();
        Output::exited(0, version + &self.nodes.iter().map(line).collect::<String>(), "")
    }

    /// The API that a host serves.
    pub(crate) fn api_of(&self, host: IpAddr) -> Option<KubernetesApi> {
        (self.members.contains(&host) && self.has_majority()).then(|| self.api.clone())
    }

    /// The same once more, with an API of its own.
    pub(crate) fn copy(&self) -> Self {
        let api = KubernetesApi::default();
        self.api.names().iter().for_each(|name| api.put(name, self.api.object(name).unwrap()));
        Self { api, ..self.clone() }
    }

    /// Expects just the hosts of this cluster, with their labels.
    pub(crate) fn expect(&self, wanted: &Cluster) {
        let hosts: BTreeSet<IpAddr> = wanted.hosts.iter().map(|host| host.address).collect();
        assert_eq!((&self.nodes, &self.learners), (&hosts, &BTreeSet::new()));
        assert_eq!(self.members, wanted.masters().map(|host| host.address).collect());
        for host in &wanted.hosts {
            let has = self.labels.get(&host.address).is_some_and(|labels| labels == "disk=ssd");
            assert_eq!(has, !host.labels.is_empty(), "labels of {}", host.address);
        }
    }

    fn has_majority(&self) -> bool {
        let alive = self.members.iter().filter(|member| !self.down.contains(member)).count();
        alive * 2 > self.members.len()
    }

    fn value(&self, id: &str, name: &str) -> String {
        let step = self.plan.as_ref().and_then(|plan| plan.steps.iter().find(|step| step.id == id)).unwrap();
        let Action::Run(run) = &step.action else { panic!("{id} runs") };
        run.env[name].expose().to_owned()
    }
}
