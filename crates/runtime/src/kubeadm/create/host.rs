//! Which steps bring one host to where kubeadm takes over, and mark it as done?

use std::net::IpAddr;

use clusterfile::Host;

use super::super::steps::{on, write};
use super::super::{care, files, paths};
use super::Create;
use crate::plan::size;
use crate::{Action, Error, Marker, MarkerState, Step};

impl Create<'_> {
    /// Everything on a host before kubeadm.
    pub(super) fn prepare(&self, host: &Host) -> Result<Vec<Step>, Error> {
        let address = host.address;
        let master = host.is_master();
        let mut own = files::names(self.cluster, host, self.master.address);
        own.extend(files::registry_rules(self.cluster, self.master.address, self.payload.secrets));
        let api = self.version.config_api()?;
        let documents = self.documents_for(host)?;
        if master {
            own.extend(files::registry(self.cluster, address, self.payload.secrets));
            own.extend(files::control_plane(self.cluster, self.payload.secrets, &documents.init_file(api)));
        } else {
            own.extend(files::join(self.cluster, self.payload.secrets, &documents.join_file(api)));
            own.extend(care::files(self.cluster, self.master.address));
        }
        let claim = files::marker(&self.marker(host, MarkerState::Joining)?);
        let mut steps = vec![
            write(on("claim", address), "claim", address, vec![claim]),
            write(on("files", address), "files", address, own),
            self.names(host)?,
            self.content(host),
        ];
        if master {
            steps.push(self.registry(host)?);
        } else {
            steps.push(self.care(host)?);
        }
        let engine = (include_str!("../scripts/engine.sh"), Some(include_str!("../scripts/engine_why.sh")));
        steps.push(self.script(host, "engine", &self.engine.name, engine)?.step());
        let kubernetes = (include_str!("../scripts/kubernetes.sh"), None);
        steps.push(self.script(host, "init-kube", "kubernetes", kubernetes)?.step());
        Ok(steps)
    }

    fn names(&self, host: &Host) -> Result<Step, Error> {
        Ok(self.script(host, "names", "names", (include_str!("../scripts/names.sh"), None))?.step())
    }

    pub(super) fn content(&self, host: &Host) -> Step {
        let carried_images = host.is_master();
        let bytes = self.payload.rootfs_bytes + if carried_images { self.payload.carried_bytes } else { 0 };
        let sources = self.sources(host);
        // A master that is done serves already; one that is not does so once its registry runs.
        let waits = !sources.is_empty() && !self.is_done(self.master.address);
        let after = if waits { vec![on("registry", self.master.address)] } else { Vec::new() };
        let action = Action::Content {
            image: self.payload.image_digest.clone(),
            carried_images,
            rootfs: paths::rootfs(&self.cluster.name),
            bytes,
            sources,
        };
        Step {
            id: on("content", host.address),
            title: format!("content {}", size(bytes)),
            hosts: vec![host.address],
            after,
            action,
        }
    }

    /// Who has the content of a node already: the master, so that nothing is sent twice over the way from here.
    fn sources(&self, host: &Host) -> Vec<IpAddr> {
        // Those who fetch look for it at the usual port.
        let usual = self.cluster.registry.port == clusterfile::RegistrySettings::default().port;
        if usual && !host.is_master() { vec![self.master.address] } else { Vec::new() }
    }

    pub(super) fn registry(&self, host: &Host) -> Result<Step, Error> {
        let texts = (include_str!("../scripts/registry.sh"), Some(include_str!("../scripts/registry_why.sh")));
        let mut script = self.script(host, "registry", "registry", texts)?;
        script.env.insert("SEALER_REGISTRY_PORT".into(), self.cluster.registry.port.to_string());
        Ok(script.step())
    }

    fn care(&self, host: &Host) -> Result<Step, Error> {
        let texts = (include_str!("../scripts/care.sh"), Some(include_str!("../scripts/care_why.sh")));
        Ok(self.script(host, "lvscare", "lvscare", texts)?.step())
    }

    pub(super) fn finish(&self, host: &Host) -> Result<Step, Error> {
        let marker = files::marker(&self.marker(host, MarkerState::Ready)?);
        let step = write(on("finish", host.address), "finish", host.address, vec![marker]);
        Ok(Step { after: vec!["wait-ready".to_owned()], ..step })
    }

    /// What is ours on a host was decided when it was claimed first.
    pub(super) fn marker(&self, host: &Host, state: MarkerState) -> Result<Marker, Error> {
        let facts = self.host_facts(host.address)?;
        let before = facts.marker.as_ref().filter(|marker| self.is_ours(marker));
        Ok(Marker {
            cluster: self.cluster.name.clone(),
            image: self.payload.image_digest.clone(),
            role: if host.is_master() { "master" } else { "node" }.to_owned(),
            // A control plane that stood is never claimed as if nobody needed it.
            state: if host.is_master() && self.stood(host.address) { MarkerState::Ready } else { state },
            engine: self.engine.name.clone(),
            authority: self.payload.secrets.fingerprint(),
            engine_ours: before.map_or(!facts.engines.contains(&self.engine.name), |marker| marker.engine_ours),
        })
    }
}
