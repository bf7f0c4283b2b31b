//! The steps of kubeadm itself: init, join, the token by which nodes join.

use clusterfile::Host;

use super::create::Create;
use crate::host::{Script, id};
use crate::{Error, Step, Variable};

const INIT: Script = Script::new(include_str!("scripts/init.sh")).diagnose(include_str!("scripts/diagnose_init.sh"));
const TOKEN: Script = Script::new(include_str!("scripts/token.sh"));
const JOIN: Script = Script::new(include_str!("scripts/join.sh")).diagnose(include_str!("scripts/diagnose_join.sh"));

impl Create<'_> {
    /// Initializes the cluster on its entry master, or confirms that it is.
    pub(super) fn init(&self) -> Result<Step, Error> {
        let entry = self.setup.entry();
        let initialized = self.setup.request.was_finished(entry.address);
        let run = self.setup.run(entry, INIT).env([
            ("SEALER_KUBEADM_FLAGS", Variable::shown(self.flags(entry, self.phases_to_skip())?)),
            ("SEALER_INITIALIZED", Variable::shown(if initialized { "yes" } else { "no" })),
        ]);
        Ok(Step::run("kubeadm-init", [entry.address], run).titled("kubeadm init"))
    }

    /// Renews the token by which nodes join.
    pub(super) fn token(&self) -> Result<Step, Error> {
        let entry = self.setup.entry();
        let run = self.setup.run(entry, TOKEN);
        Ok(Step::run("bootstrap-token", [entry.address], run).titled("renew the token"))
    }

    /// Makes a host a node.
    pub(super) fn join(&self, host: &Host) -> Result<Step, Error> {
        if host.is_master() {
            return Err(super::supports::SEVERAL_MASTERS);
        }
        let flags = Variable::shown(self.flags(host, Vec::new())?);
        let mut run = self.setup.run(host, JOIN).env([("SEALER_KUBEADM_FLAGS", flags)]);
        // Somebody may have taken the node out of the cluster, of which the host itself knows nothing.
        let request = &self.setup.request;
        if request.facts.api.is_some() && !request.is_registered(host.address) {
            run = run.env([("SEALER_UNKNOWN", Variable::shown("yes"))]);
        }
        Ok(Step::run(id("kubeadm-join", host.address), [host.address], run).titled("kubeadm join"))
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
