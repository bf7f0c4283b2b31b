//! The steps that bring a host to where its runtime takes over, and those after it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use clusterfile::Host;

use super::registry::authorization;
use super::settings::REGISTRY_GROUP;
use super::setup::role;
use super::{Script, Setup, paths};
use crate::plan::size;
use crate::{Content, Error, File, HostChange, Marker, MarkerState, PlannedHost, Step, Variable, Wait};

pub(super) const NAMES: Script = Script::new(include_str!("scripts/names.sh"));
pub(super) const REGISTRY: Script =
    Script::new(include_str!("scripts/registry.sh")).diagnose(include_str!("scripts/diagnose_registry.sh"));
pub(super) const ENGINE: Script =
    Script::new(include_str!("scripts/engine.sh")).diagnose(include_str!("scripts/diagnose_engine.sh"));
const READY: Script = Script::new(include_str!("scripts/ready.sh"));
const DIAGNOSE_READY: Script = Script::new(include_str!("scripts/diagnose_ready.sh"));

/// The id of a step that exists once per host.
pub(crate) fn id(what: &str, host: IpAddr) -> String {
    format!("{what}@{host}")
}

impl Setup<'_> {
    /// What a plan says of hosts that come.
    pub(crate) fn joining_summary(&self, hosts: &[&Host]) -> String {
        let image = self.request.payload.image;
        let count = hosts.len();
        let verb = if count == 1 { "host joins" } else { "hosts join" };
        let mut bytes = Vec::new();
        if hosts.iter().any(|host| host.is_master()) {
            bytes.push(format!("{} to each master", size(image.served_bytes())));
        }
        let nodes = hosts.iter().filter(|host| !host.is_master());
        let of_node: BTreeSet<u64> = nodes.map(|node| self.request.image_for(node.address).rootfs_bytes).collect();
        if !of_node.is_empty() {
            let sizes: Vec<String> = of_node.into_iter().map(size).collect();
            bytes.push(format!("{} to each node", sizes.join(" or ")));
        }
        format!("{count} {verb}, image {}, kubernetes {} ({})", image.name, self.version, bytes.join(", "))
    }

    /// How a plan lists a host.
    pub(crate) fn planned(&self, host: &Host, change: HostChange) -> PlannedHost {
        PlannedHost::new(host.address, change, role(host))
    }

    /// Everything on a host before its runtime, with files that the runtime needs there.
    pub(crate) fn prepare(&self, host: &Host, own: Vec<File>) -> Result<Vec<Step>, Error> {
        let address = host.address;
        let claim = self.marker(host, MarkerState::Joining)?.file();
        let mut small = self.files(host);
        small.extend(own);
        let step = |what: &str, script| Step::run(id(what, address), [address], self.run(host, script));
        let mut steps = vec![Step::write(id("claim", address), [address], vec![claim]).titled("claim")];
        steps.extend(self.plugins(host, &["Originally"]));
        steps.push(Step::write(id("files", address), [address], small).titled("files"));
        steps.push(step("names", NAMES).titled("names"));
        // Once the host can look the name up.
        steps.extend(self.host_name(host));
        steps.push(self.content(host));
        steps.extend(self.write_rootfs(host));
        if self.control_plane.has_registry(address) {
            steps.extend(self.application_contents(host));
            steps.push(self.start_registry(host));
        }
        steps.extend(self.plugins_before_engine(host));
        if !host.is_master() {
            steps.push(self.start_lvscare(host));
        }
        steps.push(step("engine", ENGINE).titled(self.engine.name()));
        Ok(steps)
    }

    /// The image's content: for the host of a registry with all that it serves.
    pub(super) fn content(&self, host: &Host) -> Step {
        let image = self.request.payload.image;
        let serves = self.control_plane.has_registry(host.address);
        let own = self.request.image_for(host.address);
        let bytes = if serves { image.served_bytes() } else { own.rootfs_bytes };
        let mut content = Content::new(&image.digest, paths::rootfs(&self.cluster().name), bytes);
        if serves {
            let others = image.platforms().into_iter().filter(|platform| *platform != own.platform);
            content = content.with_carried_images().with_platforms(others);
        }
        let sources = self.sources(host.address);
        // A master that is finished serves already; one that is not does so once its registry runs.
        let starting = sources.iter().filter(|source| !self.request.was_finished(source.ip()));
        let after: Vec<String> = starting.map(|source| id("registry", source.ip())).collect();
        content.plain_http = self.cluster().registry.is_plain_http();
        content.authorization = authorization(&self.cluster().registry).map(|value| Variable::hidden(value.expose()));
        let step = Step::content(id("content", host.address), [host.address], content.from_sources(sources));
        step.titled(format!("content {}", size(bytes))).after(after)
    }

    /// Who has the content of a host already, so that nothing is sent twice over the way from here: the masters of the
    /// cluster as it is, or the one on which it is initialized.
    fn sources(&self, host: IpAddr) -> Vec<SocketAddr> {
        if self.cluster().registry.external.is_some() {
            return Vec::new();
        }
        let entry = self.control_plane.entry().address;
        let finished =
            |address: &IpAddr| self.request.is_finished(*address) && self.control_plane.has_registry(*address);
        let standing = self.control_plane.masters().map(|master| master.address).filter(finished);
        let mut sources: Vec<IpAddr> = standing.collect();
        if !sources.contains(&entry) && self.serves(entry) {
            sources.insert(0, entry);
        }
        sources.retain(|source| *source != host);
        sources.into_iter().map(|source| self.control_plane.registry(source)).collect()
    }

    /// Whether a master serves this image's content now, or does so before hosts join.
    fn serves(&self, master: IpAddr) -> bool {
        let has_one = |marker: &Marker| marker.settings.contains_key(REGISTRY_GROUP);
        let serves_now = self.request.is_finished(master) && self.request.marker(master).is_some_and(has_one);
        serves_now || (!self.is_initialized() && self.control_plane.has_registry(master))
    }

    /// Waits on a host until its own node is Ready.
    pub(crate) fn ready(&self, host: &Host) -> Result<Step, Error> {
        let mut env = super::environment::ours(self.cluster(), self.engine);
        env.insert("SEALER_NODE".into(), Variable::shown(self.node_name(host.address)?));
        let without_network = if self.cluster().network.without_cni { "yes" } else { "no" };
        env.insert("SEALER_WITHOUT_NETWORK".into(), Variable::shown(without_network));
        let text = |script: Script| {
            script.with_functions(self.functions).with_kubeconfig(self.kubelet_kubeconfig).complete(&env)
        };
        let until = if self.cluster().network.without_cni { "there" } else { "Ready" };
        let wait = Wait::new(text(READY), until).diagnose(text(DIAGNOSE_READY));
        let mut step = Step::wait(id("ready", host.address), [host.address], wait);
        step.cluster_wide = false;
        Ok(step)
    }

    /// Marks a host as finished.
    pub(crate) fn finish(&self, host: &Host) -> Result<Step, Error> {
        let marker = self.finished_marker(host)?.file();
        Ok(Step::write(id("finish", host.address), [host.address], vec![marker]).titled("finish"))
    }
}
