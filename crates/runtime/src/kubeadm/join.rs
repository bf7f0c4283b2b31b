//! The steps of kubeadm itself: init, join, the token by which hosts join, the members of etcd.

use std::net::IpAddr;

use clusterfile::Host;

use super::planner::Planner;
use crate::host::{Script, id};
use crate::{Error, Step, Variable};

const INIT: Script = Script::new(include_str!("scripts/init.sh")).diagnose(include_str!("scripts/diagnose_init.sh"));
const TOKEN: Script = Script::new(include_str!("scripts/token.sh"));
const JOIN: Script = Script::new(include_str!("scripts/join.sh")).diagnose(include_str!("scripts/diagnose_join.sh"));
const REMOVE_MEMBER: Script = Script::new(include_str!("scripts/remove_member.sh"));
/// The id of the step that initializes the cluster.
pub(super) const INIT_STEP: &str = "kubeadm-init";

impl Planner<'_> {
    /// Initializes the cluster on its entry master, or confirms that it is.
    pub(super) fn init(&self) -> Result<Step, Error> {
        let entry = self.setup.control_plane.entry();
        let initialized = self.setup.request.was_finished(entry.address);
        let run = self.setup.run(entry, INIT).env([
            ("SEALER_KUBEADM_FLAGS", Variable::shown(self.flags(entry, self.phases_to_skip())?)),
            ("SEALER_INITIALIZED", Variable::shown(if initialized { "yes" } else { "no" })),
        ]);
        Ok(Step::run(INIT_STEP, [entry.address], run).titled("kubeadm init"))
    }

    /// Renews the token by which hosts join.
    pub(super) fn token(&self) -> Step {
        let entry = self.setup.control_plane.entry();
        let run = self.setup.run(entry, TOKEN);
        Step::run("bootstrap-token", [entry.address], run).titled("renew the token").cluster_wide()
    }

    /// Makes a host a node, or a master beside those that there are.
    pub(super) fn join(&self, host: &Host) -> Result<Step, Error> {
        let flags = Variable::shown(self.flags(host, Vec::new())?);
        let mut run = self.setup.run(host, JOIN).env([("SEALER_KUBEADM_FLAGS", flags)]);
        if host.is_master() {
            let through = self.setup.control_plane.entry().address.to_string();
            run = run.env([("SEALER_JOIN_THROUGH", Variable::shown(through))]);
        }
        // Somebody may have taken the node out of the cluster, of which the host itself knows nothing.
        let request = &self.setup.request;
        if request.facts.api.is_some() && !request.is_registered(host.address) {
            run = run.env([("SEALER_UNKNOWN", Variable::shown("yes"))]);
        }
        Ok(Step::run(id("kubeadm-join", host.address), [host.address], run).titled("kubeadm join"))
    }

    /// Takes a master's member out of etcd, asked through another master.
    pub(super) fn remove_member(&self, host: IpAddr, through: &Host, before: Option<String>) -> Step {
        let node = self.setup.request.facts.hosts.get(&through.address).map(|facts| facts.hostname.to_lowercase());
        let run = self.setup.kubectl(through, REMOVE_MEMBER).env([
            ("SEALER_HOST", Variable::shown(host.to_string())),
            ("SEALER_THROUGH", Variable::shown(node.unwrap_or_default())),
        ]);
        let step = Step::run(id("remove-member", host), [through.address], run).cluster_wide().independent();
        step.titled(format!("take {host} out of etcd")).after(before)
    }

    /// Our own preflight has run already. Kubeadm's is left out where it cannot run, for want of crictl.
    fn flags(&self, host: &Host, mut skipped: Vec<&str>) -> Result<String, Error> {
        let request = &self.setup.request;
        let crictl = request.payload.image.has("bin/crictl")
            || request.host_facts(host.address)?.tools.iter().any(|tool| tool == "crictl");
        let mut flags = Vec::new();
        if crictl {
            // Its idea of a kernel's configuration fits few hosts, least of all containers.
            flags.push("--ignore-preflight-errors=SystemVerification,Swap".to_owned());
        } else {
            skipped.push("preflight");
        }
        if !skipped.is_empty() {
            flags.push(format!("--skip-phases={}", skipped.join(",")));
        }
        Ok(flags.join(" "))
    }
}
