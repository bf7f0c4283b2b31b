//! What a host has to have of the cluster's settings, and the steps that bring it to a host of a cluster that stands.

use std::net::IpAddr;

use clusterfile::Host;
use sha2::{Digest as _, Sha256};

use super::prepare::{ENGINE, NAMES, REGISTRY, id};
use super::registry::{self, RegistryAccess};
use super::{Script, Setup, files, lvscare, rootfs};
use crate::{Error, File, Marker, MarkerState, Step, Variable};

const LABEL: Script = Script::new(include_str!("scripts/label.sh"));
const UNPACK_AGAIN: Script = Script::new("rm -f \"$SEALER_DATA/rootfs.digest\"\n");
const NO_REGISTRY: Script = Script::new(include_str!("scripts/no_registry.sh"));

/// The cluster's names in `/etc/hosts`.
const NAMES_GROUP: &str = "names";
/// Where the container engine looks for images.
const IMAGES_GROUP: &str = "images";
/// The container engine itself, as the image's script installs it.
const ENGINE_GROUP: &str = "engine";
/// The registry of a master.
pub(super) const REGISTRY_GROUP: &str = "registry";
/// The platforms whose content a registry serves, where there are several.
const PLATFORMS_GROUP: &str = "platforms";
/// The application images whose content a registry serves.
pub(super) const APPLICATIONS_GROUP: &str = "applications";
/// The way of a node to the API servers.
const LVSCARE_GROUP: &str = "lvscare";
/// Filled-in templates and what Config documents change in the rootfs.
pub(crate) const ROOTFS_GROUP: &str = "rootfs";
/// Labels and taints of a host's node.
pub(crate) const LABELS: &str = "labels";

/// Settings that belong together: the same digest means the same settings.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) digest: String,
    files: Vec<File>,
}

impl Group {
    fn of_files(name: &'static str, files: Vec<File>) -> Self {
        let texts = files.iter().flat_map(|file| [file.path.as_bytes(), b"\0", &file.content, b"\0"]);
        Self { name, digest: digest(texts), files }
    }

    fn of_text(name: &'static str, text: &str) -> Self {
        Self { name, digest: digest([text.as_bytes()]), files: Vec::new() }
    }
}

/// What settings are told apart by: the beginning of a SHA-256.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    parts.into_iter().for_each(|part| hasher.update(part));
    hex::encode(&hasher.finalize()[..8])
}

impl Setup<'_> {
    /// Everything that a host has to have of the cluster's settings.
    pub(crate) fn groups(&self, host: &Host) -> Vec<Group> {
        let cluster = self.cluster();
        let engine = format!("{} {}", self.engine.name(), cluster.registry.used_host());
        let mut groups = vec![
            Group::of_files(NAMES_GROUP, files::names(cluster, host, &self.given_name(host), &self.control_plane)),
            self.images_group(),
            Group::of_text(ENGINE_GROUP, &engine),
        ];
        if self.control_plane.has_registry(host.address) {
            groups.push(self.registry_group(host));
            let platforms = self.request.payload.image.platforms();
            if platforms.len() > 1 {
                groups.push(Group::of_text(PLATFORMS_GROUP, &platforms.join(" ")));
            }
            let held = super::applications::setting(&self.request.payload.applications);
            groups.extend(held.map(|digest| Group { name: APPLICATIONS_GROUP, digest, files: Vec::new() }));
        }
        if !host.is_master() {
            groups.push(Group::of_files(LVSCARE_GROUP, lvscare::files(cluster, &self.control_plane)));
        }
        let rootfs = self.rootfs_files(host);
        if !rootfs.is_empty() {
            let digest = rootfs::digest(&rootfs, self.request.payload.secrets);
            groups.push(Group { name: ROOTFS_GROUP, digest, files: Vec::new() });
        }
        if !host.labels.is_empty() || !host.taints.is_empty() {
            groups.push(Group::of_text(LABELS, &format!("{:?} {:?}", host.labels, host.taints)));
        }
        groups
    }

    fn rootfs_files(&self, host: &Host) -> Vec<File> {
        self.rootfs.get(&host.address).cloned().unwrap_or_default()
    }

    /// Writes what is not as the image has it into the unpacked rootfs; none when there is nothing.
    pub(super) fn write_rootfs(&self, host: &Host) -> Option<Step> {
        let files = self.rootfs_files(host);
        let step = || Step::write(id("rootfs", host.address), [host.address], files.clone()).titled("rootfs files");
        (!files.is_empty()).then(step)
    }

    /// Everybody can read the marker: of a login it has only what tells it from others.
    fn images_group(&self) -> Group {
        let (cluster, secrets) = (self.cluster(), self.request.payload.secrets);
        let files = |authorization| {
            let access = RegistryAccess::of(cluster, &self.control_plane, authorization);
            let images = self.engine.image_files(&access);
            files::authorities(cluster, secrets).into_iter().chain(images).collect()
        };
        let shown = Group::of_files(IMAGES_GROUP, files(registry::login_digest(&cluster.registry, secrets)));
        Group { files: files(registry::authorization(&cluster.registry)), ..shown }
    }

    /// The certificate itself does not count: it is for all masters, and one that has come or gone changes nothing for
    /// the registry of another.
    fn registry_group(&self, host: &Host) -> Group {
        let (registry, secrets) = (&self.cluster().registry, self.request.payload.secrets);
        let unit = files::registry_unit(self.cluster(), host.address);
        let names = format!("{:?} {:?}", registry.certificate_names, registry.certificate_addresses);
        let login = registry::login_digest(registry, secrets);
        let login = login.iter().map(|login| login.expose().as_bytes());
        let digest = digest([&unit.content[..], names.as_bytes()].into_iter().chain(login));
        Group { name: REGISTRY_GROUP, digest, files: Vec::new() }
    }

    /// The files of a group. Those of a registry are made only where they are written: hashing a password takes a while.
    fn files_of(&self, host: &Host, group: Group) -> Vec<File> {
        if group.name != REGISTRY_GROUP {
            return group.files;
        }
        let (registry, secrets) = (&self.cluster().registry, self.request.payload.secrets);
        let htpasswd = self.htpasswd.get_or_init(|| registry::htpasswd(registry, secrets));
        files::registry(self.cluster(), host.address, secrets, htpasswd.as_deref())
    }

    /// All files that a host gets before its runtime.
    pub(super) fn files(&self, host: &Host) -> Vec<File> {
        self.groups(host).into_iter().flat_map(|group| self.files_of(host, group)).collect()
    }

    /// The names of the groups in which a host differs from what its marker says it has.
    pub(crate) fn changed(&self, host: &Host) -> Vec<&'static str> {
        let Some(marker) = self.request.marker(host.address) else { return Vec::new() };
        let groups = self.groups(host);
        let differs = |group: &&Group| marker.settings.get(group.name) != Some(&group.digest);
        let mut changed: Vec<_> = groups.iter().filter(differs).map(|group| group.name).collect();
        // What a host has, and shall not have any more.
        for gone in [REGISTRY_GROUP, APPLICATIONS_GROUP, ROOTFS_GROUP, LABELS] {
            if marker.settings.contains_key(gone) && !groups.iter().any(|group| group.name == gone) {
                changed.push(gone);
            }
        }
        changed
    }

    /// The steps that bring these groups of settings to a host that is part of the cluster.
    pub(crate) fn alter(&self, host: &Host, changed: &[&'static str]) -> Result<Vec<Step>, Error> {
        let address = host.address;
        let groups = self.groups(host).into_iter().filter(|group| changed.contains(&group.name));
        let files: Vec<File> = groups.flat_map(|group| self.files_of(host, group)).collect();
        let has = |name| changed.contains(&name);
        let step =
            |what: &'static str, script| Step::run(id(what, address), [address], self.run(host, script)).titled(what);
        let mut steps = vec![self.changing(host, changed)?];
        let new_registry = has(REGISTRY_GROUP) && self.control_plane.has_registry(address);
        // A node of a platform that the cluster did not have finds its container images nowhere else.
        if has(ROOTFS_GROUP) {
            // What another Config or another variable changed before is as in the image again.
            // The journal must not take it for what was done for other files.
            let wanted = self.groups(host).into_iter().find(|group| group.name == ROOTFS_GROUP);
            let wanted = wanted.map(|group| group.digest).unwrap_or_default();
            let run = self.run(host, UNPACK_AGAIN).env([("SEALER_SETTING", Variable::shown(wanted))]);
            steps.push(Step::run(id("unpack-again", address), [address], run).titled("rootfs as in the image"));
        }
        if (new_registry && !self.had_registry(address)) || has(PLATFORMS_GROUP) || has(ROOTFS_GROUP) {
            steps.push(self.content(host));
        }
        if has(ROOTFS_GROUP) {
            steps.extend(self.write_rootfs(host));
        }
        if self.control_plane.has_registry(address) && (new_registry || has(APPLICATIONS_GROUP)) {
            steps.extend(self.application_contents(host));
        }
        if !files.is_empty() {
            steps.push(Step::write(id("settings", address), [address], files).titled("settings"));
        }
        if has(NAMES_GROUP) {
            steps.push(step("names", NAMES));
        }
        if new_registry {
            steps.push(self.start_registry(host));
        } else if has(REGISTRY_GROUP) {
            steps.push(step("no-registry", NO_REGISTRY).titled("no registry"));
        }
        if has(LVSCARE_GROUP) {
            steps.push(self.start_lvscare(host));
        }
        if has(ENGINE_GROUP) {
            steps.push(step("engine", ENGINE).titled(self.engine.name()));
        }
        if has(LABELS) {
            steps.push(self.label(host)?);
        }
        Ok(steps)
    }

    /// Has a marker say that these settings are neither as before nor as wanted; then a change that is interrupted, and
    /// taken back, is one too.
    fn changing(&self, host: &Host, changed: &[&'static str]) -> Result<Step, Error> {
        let mut marker = match self.request.marker(host.address) {
            Some(marker) => marker.clone(),
            None => self.marker(host, MarkerState::Ready)?,
        };
        for name in changed.iter().copied() {
            // A registry that is noted is taken to run.
            if name != REGISTRY_GROUP || marker.settings.contains_key(name) {
                marker.settings.insert(name.to_owned(), "changing".to_owned());
            }
        }
        let step = Step::write(id("changing", host.address), [host.address], vec![marker.file()]);
        Ok(step.titled("note what changes"))
    }

    /// Whether a registry runs on a host already, as its marker says.
    fn had_registry(&self, host: IpAddr) -> bool {
        self.request.marker(host).is_some_and(|marker| marker.settings.contains_key(REGISTRY_GROUP))
    }

    /// Orders the steps that change hosts so that pulls go on: others look for images at a new registry once it runs; one
    /// that goes, or starts again with other settings, does so once every host knows; and those one after another.
    pub(crate) fn order_registries(&self, steps: &mut [Step]) {
        let hosts_with = |what: &str| -> Vec<IpAddr> {
            let hosts = steps.iter().flat_map(|step| step.hosts.iter().map(move |host| (step, *host)));
            hosts.filter(|(step, host)| step.id == id(what, *host)).map(|(_, host)| host).collect()
        };
        let (settings, registries, ending) =
            (hosts_with("settings"), hosts_with("registry"), hosts_with("no-registry"));
        let (old, new): (Vec<_>, Vec<_>) = registries.into_iter().partition(|host| self.had_registry(*host));
        let mut wait = |what: &str, host: IpAddr, before: Vec<String>| {
            let step = steps.iter_mut().find(|step| step.id == id(what, host));
            step.into_iter().for_each(|step| step.after_end_of.extend(before.iter().cloned()));
        };
        for host in settings.iter().filter(|host| !new.contains(host)) {
            wait("settings", *host, new.iter().map(|new| id("registry", *new)).collect());
        }
        let others = |own: IpAddr| settings.iter().filter(move |host| **host != own).map(|host| id("settings", *host));
        for (index, host) in old.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| id("registry", old[before]));
            wait("registry", *host, others(*host).chain(before).collect());
        }
        for host in ending {
            wait("no-registry", host, others(host).collect());
        }
    }

    pub(super) fn start_registry(&self, host: &Host) -> Step {
        let port = ("SEALER_REGISTRY_PORT", Variable::shown(self.cluster().registry.port.to_string()));
        let run = self.run(host, REGISTRY).env([port]);
        Step::run(id("registry", host.address), [host.address], run).titled("registry")
    }

    /// Whether a host's node has labels or taints to get or to lose.
    pub(crate) fn has_labels(&self, host: &Host) -> bool {
        let set = self.request.marker(host.address).is_some_and(|marker| !marker.labels.is_empty());
        set || !host.labels.is_empty() || !host.taints.is_empty()
    }

    /// Sets the labels and taints of a host's node, on a master, and takes away those that we set before and that are not
    /// wanted any more.
    pub(crate) fn label(&self, host: &Host) -> Result<Step, Error> {
        let through = self.control_plane.successor();
        let marker = self.request.marker(host.address).cloned().unwrap_or_default();
        let mut labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let gone = marker.labels.iter().filter(|key| !host.labels.contains_key(*key));
        labels.extend(gone.map(|key| format!("{key}-")));
        let mut taints = host.taints.clone();
        let wanted = set_taints(host);
        taints.extend(marker.taints.iter().filter(|taint| !wanted.contains(taint)).map(|taint| format!("{taint}-")));
        let run = self.kubectl(through, LABEL).env([
            ("SEALER_NODE", Variable::shown(self.node_name(host.address)?)),
            ("SEALER_LABELS", Variable::shown(labels.join("\n"))),
            ("SEALER_TAINTS", Variable::shown(taints.join("\n"))),
        ]);
        let step = Step::run(id("label", host.address), [through.address], run).independent();
        Ok(step.titled(format!("labels and taints of {}", host.address)))
    }

    /// What the marker of a host says when all of its settings are there.
    pub(super) fn finished_marker(&self, host: &Host) -> Result<Marker, Error> {
        let mut marker = self.marker(host, MarkerState::Ready)?;
        marker.settings = self.groups(host).into_iter().map(|group| (group.name.to_owned(), group.digest)).collect();
        if host.is_master() {
            marker.settings.extend(self.own_settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        marker.labels = host.labels.keys().cloned().collect();
        marker.taints = set_taints(host);
        Ok(marker)
    }
}

/// The taints that a host has to have, each as `key:Effect`; one that ends in `-` is one to take away.
fn set_taints(host: &Host) -> Vec<String> {
    let set = host.taints.iter().filter(|taint| !taint.ends_with('-'));
    set.filter_map(|taint| {
        let (key, effect) = taint.rsplit_once(':')?;
        Some(format!("{}:{effect}", key.split('=').next().unwrap_or(key)))
    })
    .collect()
}
