//! The steps that bring a host to where its runtime takes over, and those after it.

use std::net::{IpAddr, SocketAddr};

use clusterfile::{Host, RegistrySettings};

use super::setup::role;
use super::{Script, Setup, files, lvscare, paths};
use crate::plan::size;
use crate::{Content, Error, File, HostChange, MarkerState, PlannedHost, Step, Variable, Wait};

const NAMES: Script = Script::new(include_str!("scripts/names.sh"));
const REGISTRY: Script =
    Script::new(include_str!("scripts/registry.sh")).diagnose(include_str!("scripts/diagnose_registry.sh"));
const LVSCARE: Script =
    Script::new(include_str!("scripts/lvscare.sh")).diagnose(include_str!("scripts/diagnose_lvscare.sh"));
const ENGINE: Script =
    Script::new(include_str!("scripts/engine.sh")).diagnose(include_str!("scripts/diagnose_engine.sh"));
const LABEL: Script = Script::new(include_str!("scripts/label.sh"));
const LAUNCH: Script = Script::new(include_str!("scripts/launch.sh"));
const READY: Script = Script::new(include_str!("scripts/ready.sh"));
const DIAGNOSE_READY: Script = Script::new(include_str!("scripts/diagnose_ready.sh"));

/// How long a launch command may take, in seconds.
const LAUNCH_SECONDS: u64 = 1800;
/// The step that waits for all nodes.
const WAIT_READY: &str = "wait-ready";

/// The id of a step that exists once per host.
pub(crate) fn id(what: &str, host: IpAddr) -> String {
    format!("{what}@{host}")
}

impl Setup<'_> {
    /// What a plan says of hosts that come.
    pub(crate) fn summary(&self, hosts: &[&Host]) -> String {
        let image = self.request.payload.image;
        let count = hosts.len();
        let verb = if count == 1 { "host joins" } else { "hosts join" };
        let mut bytes = Vec::new();
        if hosts.iter().any(|host| host.is_master()) {
            bytes.push(format!("{} to each master", size(image.rootfs_bytes + image.carried_bytes)));
        }
        if hosts.iter().any(|host| !host.is_master()) {
            bytes.push(format!("{} to each node", size(image.rootfs_bytes)));
        }
        format!("{count} {verb}, image {}, kubernetes {} ({})", image.name, self.version, bytes.join(", "))
    }

    /// How a plan lists a host that comes.
    pub(crate) fn planned(&self, host: &Host) -> PlannedHost {
        PlannedHost::new(host.address, HostChange::Join, role(host))
    }

    /// Everything on a host before its runtime, with files that the runtime needs there.
    pub(crate) fn prepare(&self, host: &Host, own: Vec<File>) -> Result<Vec<Step>, Error> {
        let (cluster, address) = (self.cluster(), host.address);
        let secrets = self.request.payload.secrets;
        let claim = self.marker(host, MarkerState::Joining)?.file();
        let authority = files::authority(cluster, secrets);
        let mut small = files::names(cluster, host, &self.control_plane);
        let registries = self.control_plane.registries();
        let image_files = self.engine.image_files(&cluster.registry, registries, &authority.path);
        small.push(authority);
        small.extend(image_files);
        if host.is_master() {
            small.extend(files::registry(cluster, address, secrets));
        }
        small.extend(own);
        if !host.is_master() {
            small.extend(lvscare::files(cluster, &self.control_plane));
        }
        let step = |what: &str, script| Step::run(id(what, address), [address], self.run(host, script));
        let mut steps = vec![
            Step::write(id("claim", address), [address], vec![claim]).titled("claim"),
            Step::write(id("files", address), [address], small).titled("files"),
            step("names", NAMES).titled("names"),
            self.content(host),
        ];
        if host.is_master() {
            let port = ("SEALER_REGISTRY_PORT", Variable::shown(cluster.registry.port.to_string()));
            let run = self.run(host, REGISTRY).env([port]);
            steps.push(Step::run(id("registry", address), [address], run).titled("registry"));
        } else {
            steps.push(step("lvscare", LVSCARE).titled("lvscare"));
        }
        steps.push(step("engine", ENGINE).titled(self.engine.name()));
        Ok(steps)
    }

    fn content(&self, host: &Host) -> Step {
        let image = self.request.payload.image;
        let bytes = image.rootfs_bytes + if host.is_master() { image.carried_bytes } else { 0 };
        let mut content = Content::new(&image.digest, paths::rootfs(&self.cluster().name), bytes);
        let mut after = Vec::new();
        if host.is_master() {
            content = content.with_carried_images();
        } else {
            let sources = self.sources();
            // A master that is done serves already; one that is not does so once its registry runs.
            let starting = sources.iter().filter(|source| !self.request.is_done(source.ip()));
            after.extend(starting.map(|source| id("registry", source.ip())));
            content = content.from_sources(sources);
        }
        let step = Step::content(id("content", host.address), [host.address], content);
        step.titled(format!("content {}", size(bytes))).after(after)
    }

    /// Who has the content of a node already: the masters, so that nothing is sent twice over the way from here.
    fn sources(&self) -> Vec<SocketAddr> {
        // Those who fetch look for it at the usual port.
        let usual = self.cluster().registry.port == RegistrySettings::default().port;
        if usual { self.control_plane.registries().collect() } else { Vec::new() }
    }

    /// The labels and taints of hosts that have some, set on one master after these steps.
    pub(crate) fn labels(&self, hosts: &[&Host], after: &[String]) -> Result<Vec<Step>, Error> {
        let marked = hosts.iter().filter(|host| !host.labels.is_empty() || !host.taints.is_empty());
        let step = |host: &&&Host| {
            let entry = self.entry();
            let labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let run = self.kubectl(entry, LABEL).env([
                ("SEALER_NODE", Variable::shown(self.node_name(host.address)?)),
                ("SEALER_LABELS", Variable::shown(labels.join("\n"))),
                ("SEALER_TAINTS", Variable::shown(host.taints.join("\n"))),
            ]);
            let step = Step::run(id("label", host.address), [entry.address], run).after(after);
            Ok(step.titled(format!("labels and taints of {}", host.address)))
        };
        marked.map(|host| step(&host)).collect()
    }

    /// The launch commands, one after another on one master; the first after these steps.
    pub(crate) fn launch(&self, after: &[String]) -> Vec<Step> {
        let entry = self.entry();
        let commands = self.request.payload.launch.iter().enumerate();
        let step = |(index, command): (usize, &String)| {
            let run = self.kubectl(entry, LAUNCH).env([("SEALER_LAUNCH", Variable::shown(command))]);
            let run = run.timeout_seconds(LAUNCH_SECONDS).show_output();
            let step = Step::run(format!("launch-{}", index + 1), [entry.address], run).titled(command);
            if index == 0 { step.after(after) } else { step }
        };
        commands.map(step).collect()
    }

    /// Waits on one master until every wanted host is a Ready node.
    pub(crate) fn wait_ready(&self, after: &[String]) -> Result<Step, Error> {
        let cluster = self.cluster();
        let nodes = cluster.nodes().filter(|host| !host.is_master());
        let hosts = self.control_plane.masters().chain(nodes);
        let names = hosts.map(|host| self.node_name(host.address)).collect::<Result<Vec<_>, _>>()?;
        let mut env = super::environment::ours(cluster, self.engine);
        env.insert("SEALER_NODES".into(), Variable::shown(names.join(" ")));
        let text =
            |script: Script| script.with_functions(self.functions).with_kubeconfig(self.kubeconfig).complete(&env);
        let wait = Wait::new(text(READY), "every node is Ready").diagnose(text(DIAGNOSE_READY));
        Ok(Step::wait(WAIT_READY, [self.entry().address], wait).after(after))
    }

    /// Marks a host as finished, once all are Ready.
    pub(crate) fn finish(&self, host: &Host) -> Result<Step, Error> {
        let marker = self.marker(host, MarkerState::Ready)?.file();
        let step = Step::write(id("finish", host.address), [host.address], vec![marker]);
        Ok(step.titled("finish").after([WAIT_READY]))
    }
}
