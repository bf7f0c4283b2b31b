//! What planning works from: the wanted cluster, the observed facts, the image and the secrets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::{Cluster, Clusterfile, Host};
use secret::Secret;

use crate::{ApplicationContent, Facts, HostFacts, LaunchCommand, LaunchFile, Marker, MarkerState, Secrets};

/// A wanted cluster and all that is known when its plan is made.
///
/// Planning is level-triggered: what exists is decided by [`Request::facts`], what shall exist by [`Request::wanted`],
/// and the steps lead from one to the other. A host among the facts that is not wanted leaves; when neither hosts nor
/// machines are wanted, the cluster is taken away.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The documents that describe the wanted cluster.
    pub wanted: &'a Clusterfile,
    /// What was observed on hosts and in the API.
    pub facts: &'a Facts,
    /// What image and state bring.
    pub payload: &'a Payload<'a>,
    /// Machines that the provider will change while the cluster goes on.
    pub updates: &'a [HostUpdate],
    /// The address by which the API server is reached from here, when it is not that of a master.
    pub public_address: Option<IpAddr>,
    /// The administrator's kubeconfig as it is kept now.
    pub kubeconfig: Option<&'a Secret>,
    /// What the provider says of a cluster whose control plane it runs itself; `None` before that was made, as in a dry
    /// run.
    pub managed: Option<&'a ManagedCluster>,
    /// How pods are moved away from hosts that leave or change.
    pub drain: Drain,
    /// How long the script of a plugin may take, in seconds.
    pub plugin_seconds: u64,
    /// The cluster as it is remembered, for what is known of hosts that leave: roles, labels and variables.
    pub known: Option<&'a Cluster>,
}

/// How long the script of a plugin may take when nothing else is said, in seconds.
const PLUGIN_SECONDS: u64 = 600;

/// How pods are moved away from a host that leaves or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// How long the pods of one host may take, in seconds.
    pub timeout_seconds: u64,
    /// Whether pods that do not leave in time, for example for a PodDisruptionBudget, are deleted nevertheless.
    pub force: bool,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout_seconds: 300, force: false }
    }
}

impl Drain {
    /// So many seconds for each host; `force` deletes what does not leave.
    #[must_use]
    pub fn new(timeout_seconds: u64, force: bool) -> Self {
        Self { timeout_seconds, force }
    }
}

/// What the image and the state directory bring to planning.
#[derive(Debug)]
#[non_exhaustive]
pub struct Payload<'a> {
    /// What the image holds.
    pub image: &'a ImageContents,
    /// Commands to run once the cluster is initialized, in the rootfs directory.
    pub launch: Vec<LaunchCommand>,
    /// Files of applications that are changed before.
    pub launch_files: Vec<LaunchFile>,
    /// Content of the application images that the cluster runs besides.
    pub applications: Vec<ApplicationContent>,
    /// Secrets made before planning.
    pub secrets: &'a Secrets,
}

/// What a cluster image holds, as far as planning reads it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ImageContents {
    /// The image's name as the user wrote it.
    pub name: String,
    /// Digest of the image, by which hosts ask for it.
    pub digest: String,
    /// Platform of the hosts for which it is read, for example `linux/amd64`.
    pub platform: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Paths of all regular files of the rootfs, relative to it.
    pub files: Vec<String>,
    /// Contents of the small rootfs files that planning reads: [`crate::Requirements::documents`] and
    /// [`crate::files_to_read`].
    pub documents: BTreeMap<String, Vec<u8>>,
    /// Variables that the image sets (`ENV`): defaults of the cluster's own.
    pub env: BTreeMap<String, String>,
    /// The variables of each application (`APPENV`), over those of the image.
    pub application_env: BTreeMap<String, BTreeMap<String, String>>,
    /// Original names of the carried container images.
    pub carried_images: Vec<String>,
    /// Bytes of the rootfs layers, compressed.
    pub rootfs_bytes: u64,
    /// Bytes of all blobs of the carried images.
    pub carried_bytes: u64,
    /// The same image for the other platforms that hosts of the cluster have.
    pub others: Vec<ImageContents>,
    /// Bytes of rootfs and carried images for all these platforms, each blob once; 0 when there is only one platform.
    pub all_bytes: u64,
}

/// A machine that its provider will change, for example to another size; it may be stopped and started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostUpdate {
    /// The machine's host.
    pub host: IpAddr,
    /// What changes, for a person, for example `4 CPU, 8 GiB -> 4 CPU, 16 GiB`.
    pub summary: String,
    /// Whether an earlier run stopped in the middle: the host is drained already.
    pub begun: bool,
}

/// A cluster whose control plane its provider runs: a managed Kubernetes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ManagedCluster {
    /// URL of its API server.
    pub endpoint: String,
    /// A kubeconfig that the provider gave.
    pub kubeconfig: Secret,
}

impl<'a> Request<'a> {
    /// A request without changes of machines; what else is known is set in its fields.
    #[must_use]
    pub fn new(wanted: &'a Clusterfile, facts: &'a Facts, payload: &'a Payload<'a>) -> Self {
        Self {
            wanted,
            facts,
            payload,
            updates: &[],
            public_address: None,
            kubeconfig: None,
            managed: None,
            drain: Drain::default(),
            plugin_seconds: PLUGIN_SECONDS,
            known: None,
        }
    }

    /// The wanted cluster itself.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        &self.wanted.cluster
    }

    /// Whether the cluster shall be taken away: neither hosts nor machines are wanted.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.cluster().hosts.is_empty() && self.cluster().machines.is_empty()
    }

    /// The marker of this very cluster on a host; `None` when it carries none, or another cluster's.
    #[must_use]
    pub fn marker(&self, host: IpAddr) -> Option<&'a Marker> {
        let marker = self.facts.hosts.get(&host)?.marker.as_ref()?;
        marker.is_of(&self.cluster().name, self.payload.secrets).then_some(marker)
    }

    /// Whether a host was finished with this very image, whatever the API says.
    #[must_use]
    pub fn is_finished(&self, host: IpAddr) -> bool {
        self.was_finished(host) && self.marker(host).is_some_and(|marker| marker.image == self.payload.image.digest)
    }

    /// Whether a node is as wanted: finished with this very image, and registered in the API.
    #[must_use]
    pub fn is_done(&self, host: IpAddr) -> bool {
        self.is_finished(host) && self.is_registered(host)
    }

    /// Whether the API says that a host is a node of the cluster.
    #[must_use]
    pub fn is_registered(&self, host: IpAddr) -> bool {
        self.facts.api.as_ref().is_some_and(|api| api.nodes.contains_key(&host))
    }

    /// A wanted host that was finished in another role than the one it shall have, with its marker.
    #[must_use]
    pub fn of_other_role(&self) -> Option<(&'a Host, &'a Marker)> {
        let marked = |host: &'a Host| Some((host, self.marker(host.address)?));
        self.cluster()
            .hosts
            .iter()
            .filter_map(marked)
            .find(|(host, marker)| marker.state == MarkerState::Ready && (marker.role == "master") != host.is_master())
    }

    /// Whether the API knows a host as another machine than the one that is at its address now.
    #[must_use]
    pub fn is_installed_anew(&self, host: IpAddr) -> bool {
        let known = self.facts.api.as_ref().and_then(|api| api.nodes.get(&host)).map(|node| &node.machine_id);
        let now = self.facts.hosts.get(&host).map(|facts| &facts.machine_id);
        known.zip(now).is_some_and(|(known, now)| !known.is_empty() && !now.is_empty() && known != now)
    }

    /// Whether a host was finished once, with whatever image.
    #[must_use]
    pub fn was_finished(&self, host: IpAddr) -> bool {
        self.marker(host).is_some_and(|marker| marker.state == MarkerState::Ready)
    }

    /// Wanted hosts that are not done and can be reached, masters first.
    pub fn not_done(&self) -> impl Iterator<Item = &'a Host> {
        let request = *self;
        let cluster = self.cluster();
        let nodes = cluster.nodes().filter(|host| !host.is_master());
        let hosts = cluster.masters().chain(nodes);
        let unreachable = move |address: &IpAddr| request.facts.unreachable.contains_key(address);
        hosts.filter(move |host| !request.is_done(host.address) && !unreachable(&host.address))
    }

    /// Hosts of this cluster that are not wanted any more, with their markers, by address.
    pub fn leaving(&self) -> impl DoubleEndedIterator<Item = (IpAddr, &'a Marker)> {
        let request = *self;
        let known = self.facts.hosts.keys().copied();
        let unwanted = known.filter(move |address| request.cluster().host(*address).is_none());
        unwanted.filter_map(move |address| Some((address, request.marker(address)?)))
    }

    /// The image for the platform of a host; that of the first master for one that it is not made for.
    #[must_use]
    pub fn image_for(&self, host: IpAddr) -> &'a ImageContents {
        let image = self.payload.image;
        let machine = self.facts.hosts.get(&host).map_or("", |facts| facts.arch.as_str());
        image.for_machine(machine).unwrap_or(image)
    }

    /// The facts of a host.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NoFacts`] when it was not asked.
    pub fn host_facts(&self, host: IpAddr) -> Result<&'a HostFacts, crate::Error> {
        self.facts.hosts.get(&host).ok_or(crate::Error::NoFacts { host })
    }
}

/// What container images call a machine of `uname -m`.
pub(crate) fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" | "amd64" => "amd64",
        "aarch64" | "arm64" => "arm64",
        "armv5l" | "armv5tel" | "armv6l" | "armv7l" | "armv8l" => "arm",
        "i386" | "i486" | "i586" | "i686" => "386",
        other => other,
    }
}

impl<'a> Payload<'a> {
    /// An image and secrets, without launch commands; what else there is is set in its fields.
    #[must_use]
    pub fn new(image: &'a ImageContents, secrets: &'a Secrets) -> Self {
        Self { image, launch: Vec::new(), launch_files: Vec::new(), applications: Vec::new(), secrets }
    }

    /// The same with commands that are run once the cluster is initialized.
    #[must_use]
    pub fn with_launch<C: Into<LaunchCommand>>(mut self, commands: impl IntoIterator<Item = C>) -> Self {
        self.launch = commands.into_iter().map(Into::into).collect();
        self
    }
}

impl ImageContents {
    /// An image of which only the name is known: enough to take a cluster away.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The contents for a machine of which `uname -m` says this; none when the image is not for it.
    #[must_use]
    pub fn for_machine(&self, machine: &str) -> Option<&Self> {
        let wanted = architecture(machine);
        let is_for = |contents: &&Self| contents.platform.is_empty() || contents.architecture() == wanted;
        std::iter::once(self).chain(&self.others).find(is_for)
    }

    /// Platforms for which there are contents, sorted; none when the platform is not known.
    pub(crate) fn platforms(&self) -> Vec<&str> {
        let mut all: Vec<&str> = std::iter::once(self).chain(&self.others).map(|one| one.platform.as_str()).collect();
        all.retain(|platform| !platform.is_empty());
        all.sort_unstable();
        all
    }

    pub(crate) fn architecture(&self) -> &str {
        self.platform.split('/').nth(1).unwrap_or_default()
    }

    /// Bytes that the host of a registry holds: what it unpacks and serves, for every platform.
    pub(crate) fn served_bytes(&self) -> u64 {
        if self.others.is_empty() { self.rootfs_bytes.saturating_add(self.carried_bytes) } else { self.all_bytes }
    }

    /// Whether its rootfs has this file.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file == path)
    }
}

impl HostUpdate {
    /// A change of which nothing has begun.
    #[must_use]
    pub fn new(host: IpAddr, summary: impl Into<String>) -> Self {
        Self { host, summary: summary.into(), begun: false }
    }

    /// A change in whose middle an earlier run stopped.
    #[must_use]
    pub fn begun(mut self) -> Self {
        self.begun = true;
        self
    }
}

impl ManagedCluster {
    /// A managed cluster as its provider describes it.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, kubeconfig: Secret) -> Self {
        Self { endpoint: endpoint.into(), kubeconfig }
    }
}

#[cfg(test)]
mod tests {
    use super::architecture;

    #[test]
    fn machines_have_the_architecture_of_their_images() {
        for (machine, meant) in [
            ("x86_64", "amd64"),
            ("aarch64", "arm64"),
            ("armv5tel", "arm"),
            ("armv5l", "arm"),
            ("armv8l", "arm"),
            ("i486", "386"),
            ("i586", "386"),
            ("s390x", "s390x"),
        ] {
            assert_eq!(architecture(machine), meant, "{machine}");
        }
    }
}
