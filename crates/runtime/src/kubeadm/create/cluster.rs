//! Which steps make one cluster of hosts that are prepared?

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::Host;

use super::super::steps::{complete, on};
use super::super::{config, environment};
use super::Create;
use crate::{Action, Error, Step};

impl Create<'_> {
    pub(super) fn init(&self) -> Result<Step, Error> {
        let texts = (include_str!("../scripts/init.sh"), Some(include_str!("../scripts/init_why.sh")));
        let coredns = self.carries_coredns();
        let mut script = self.script(self.master, "kubeadm-init", "kubeadm init", texts)?;
        script.id = "kubeadm-init".to_owned();
        let mut skipped: Vec<&str> = Vec::new();
        if !coredns {
            skipped.push("addon/coredns");
        }
        script.env.insert("SEALER_KUBEADM_FLAGS".into(), self.flags(self.master.address, skipped)?);
        let stands = self.stood(self.master.address);
        script.env.insert("SEALER_STANDS".into(), if stands { "yes" } else { "no" }.to_owned());
        Ok(script.step())
    }

    pub(super) fn token(&self) -> Result<Step, Error> {
        let mut script =
            self.script(self.master, "token", "renew the token", (include_str!("../scripts/token.sh"), None))?;
        script.id = "bootstrap-token".to_owned();
        Ok(script.step())
    }

    pub(super) fn join(&self, host: &Host) -> Result<Step, Error> {
        let texts = (include_str!("../scripts/join.sh"), Some(include_str!("../scripts/join_why.sh")));
        let mut script = self.script(host, "kubeadm-join", "kubeadm join", texts)?;
        script.env.insert("SEALER_KUBEADM_FLAGS".into(), self.flags(host.address, Vec::new())?);
        // Somebody may have taken the node out of the cluster, of which the host itself knows nothing.
        let unknown = self.facts.api.as_ref().is_some_and(|api| !api.nodes.contains_key(&host.address));
        if unknown {
            script.env.insert("SEALER_UNKNOWN".into(), "yes".into());
        }
        Ok(script.step())
    }

    /// Our own preflight has run already. Kubeadm's is left out where it cannot run, for want of crictl.
    pub(super) fn flags(&self, host: IpAddr, mut skipped: Vec<&str>) -> Result<String, Error> {
        let crictl = self.payload.files.iter().any(|file| file == "bin/crictl")
            || self.host_facts(host)?.tools.iter().any(|tool| tool == "crictl");
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

    pub(super) fn label(&self, host: &Host) -> Result<Step, Error> {
        let title = format!("labels and taints of {}", host.address);
        let mut script = self.script(self.master, "label", &title, (include_str!("../scripts/label.sh"), None))?;
        script.id = on("label", host.address);
        let labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        script.env.insert("SEALER_NODE".into(), self.node_name(host.address)?);
        script.env.insert("SEALER_LABELS".into(), labels.join("\n"));
        script.env.insert("SEALER_TAINTS".into(), host.taints.join("\n"));
        Ok(script.step())
    }

    pub(super) fn launch(&self, index: usize, command: &str) -> Result<Step, Error> {
        let mut script = self.script(self.master, "launch", command, (include_str!("../scripts/launch.sh"), None))?;
        script.id = format!("launch-{}", index + 1);
        script.env.insert("SEALER_LAUNCH".into(), command.to_owned());
        script.timeout_seconds = 1800;
        script.show_output = true;
        Ok(script.step())
    }

    pub(super) fn wait(&self) -> Result<Step, Error> {
        let hosts = std::iter::once(self.master).chain(self.cluster.nodes());
        let names = hosts.map(|host| self.node_name(host.address)).collect::<Result<Vec<_>, _>>()?;
        let mut env: BTreeMap<String, String> = environment::ours(self.cluster, &self.engine);
        env.insert("SEALER_NODES".into(), names.join(" "));
        let until = "every node is Ready";
        let action = Action::Wait {
            script: complete(include_str!("../scripts/ready.sh"), &env),
            until: until.to_owned(),
            timeout_seconds: 600,
            diagnose: Some(complete(include_str!("../scripts/ready_why.sh"), &env)),
        };
        Ok(Step {
            id: "wait-ready".to_owned(),
            title: until.to_owned(),
            hosts: vec![self.master.address],
            after: Vec::new(),
            action,
        })
    }

    pub(super) fn carries_coredns(&self) -> bool {
        let mut images = self.payload.carried_images.iter().filter_map(|name| config::image_parts(name));
        images.any(|(_, image, _)| image == "coredns")
    }
}
