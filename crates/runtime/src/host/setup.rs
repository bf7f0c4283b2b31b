//! All that the steps of a Kubernetes on our hosts are made of.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use clusterfile::{Cluster, Host};

use super::control_plane::finished_masters;
use super::{ClusterNetwork, ContainerEngine, ControlPlane, Script, environment};
use crate::preflight::host::bad_hostname;
use crate::{Error, File, Marker, MarkerState, Request, Run, Variable};

/// What a runtime hands to this module: the request and what it decided itself.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) control_plane: ControlPlane<'a>,
    pub(crate) engine: ContainerEngine,
    pub(crate) network: ClusterNetwork,
    /// What all scripts of the runtime share.
    pub(crate) functions: &'static str,
    /// Where masters keep the administrator's kubeconfig.
    pub(crate) kubeconfig: &'static str,
    /// Where every host keeps the kubeconfig of its kubelet.
    pub(crate) kubelet_kubeconfig: &'static str,
    /// Settings of masters that only the runtime knows: a value by the name of each.
    pub(crate) own_settings: BTreeMap<&'static str, String>,
    /// The users of the registries, once they were needed: hashing a password takes a while.
    pub(crate) htpasswd: OnceLock<Option<String>>,
    /// The files of the rootfs that each host gets in another form than the image has them.
    pub(crate) rootfs: BTreeMap<IpAddr, Vec<File>>,
    /// Kubernetes' version, for summaries.
    pub(crate) version: String,
}

impl<'a> Setup<'a> {
    pub(crate) fn cluster(&self) -> &'a Cluster {
        self.request.cluster()
    }

    /// Whether some master was finished once: from then on the cluster exists.
    pub(crate) fn is_initialized(&self) -> bool {
        finished_masters(&self.request).next().is_some()
    }

    /// The variables of a host's scripts.
    fn environment(&self, host: &Host) -> BTreeMap<String, Variable> {
        let image = self.request.image_for(host.address);
        environment::of_host(self.cluster(), host, self.engine, &self.network, &image.env)
    }

    /// A script with the environment of a host.
    pub(crate) fn run(&self, host: &Host, script: Script) -> Run {
        let script = script.with_functions(self.functions);
        script.run(self.environment(host))
    }

    /// A script that calls kubectl, with the environment of a master.
    pub(crate) fn kubectl(&self, master: &Host, script: Script) -> Run {
        self.run(master, script.with_kubeconfig(self.kubeconfig))
    }

    /// The name under which a host is registered: its host name in small letters, or its address where the cluster wants
    /// that. A host that is part of the cluster keeps its name.
    ///
    /// It becomes a word of scripts on masters, so one that is no name is refused here too: preflight does not check hosts
    /// that are done.
    pub(crate) fn node_name(&self, host: IpAddr) -> Result<String, Error> {
        let known = self.request.facts.api.as_ref().and_then(|api| api.nodes.get(&host));
        let known = known.filter(|_| self.request.is_done(host)).map(|known| known.name == host.to_string());
        if known.unwrap_or_else(|| self.cluster().uses_addresses_as_names()) {
            return Ok(host.to_string());
        }
        let name = &self.request.host_facts(host)?.hostname;
        match bad_hostname(name) {
            Some(reason) => Err(Error::Facts {
                host,
                reason: format!("its host name `{name}` {reason}; `hostnamectl set-hostname NAME` changes it"),
            }),
            None => Ok(name.to_lowercase()),
        }
    }

    /// What a host's marker shall say. What is ours on a host was decided when it was claimed first.
    pub(super) fn marker(&self, host: &Host, state: MarkerState) -> Result<Marker, Error> {
        let facts = self.request.host_facts(host.address)?;
        let before = self.request.marker(host.address);
        let there = facts.engines.iter().any(|engine| engine == self.engine.name());
        // A control plane that was finished is never claimed as if nobody needed it.
        let finished = host.is_master() && self.request.was_finished(host.address);
        let mut marker = Marker::new(&self.request, host, if finished { MarkerState::Ready } else { state });
        marker.engine = self.engine.name().to_owned();
        marker.engine_ours = before.map_or(!there, |marker| marker.engine_ours);
        Ok(marker)
    }
}

/// What a host is in the cluster, as plans and markers say it.
pub(crate) fn role(host: &Host) -> &'static str {
    if host.is_master() { "master" } else { "node" }
}
