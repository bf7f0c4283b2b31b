//! The steps that launch what an image brings, and those that bring application images to a cluster that stands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use clusterfile::{Cluster, Clusterfile, Host};

use super::prepare::id;
use super::registry::authorization;
use super::rootfs::Source;
use super::settings::{APPLICATIONS_GROUP, REGISTRY_GROUP, digest};
use super::{ClusterNetwork, ContainerEngine, Script, Setup, environment, paths};
use crate::plan::size;
use crate::request::architecture;
use crate::{
    ApplicationContent, Content, Error, Facts, File, HostChange, ImageContents, LaunchCommand, LaunchFile, Marker,
    MarkerState, Plan, PlannedHost, Run, Secrets, Step, Variable,
};

const LAUNCH: Script = Script::new(include_str!("scripts/launch.sh"));
const ORIGINALS: Script = Script::new(include_str!("scripts/originals.sh"));

/// How long a launch command may take, in seconds.
const LAUNCH_SECONDS: u64 = 1800;

/// What is done with an image on a cluster that stands: it is launched, or what it launched is taken away.
#[derive(Debug)]
pub struct ApplicationWork<'a> {
    /// The cluster as it is remembered.
    pub cluster: &'a Cluster,
    /// What was observed on its hosts and in its API.
    pub facts: &'a Facts,
    /// The cluster's secrets.
    pub secrets: &'a Secrets,
    /// Where masters keep the administrator's kubeconfig.
    pub admin_kubeconfig: &'static str,
    /// The image's name.
    pub image: &'a str,
    /// The documents and the image by which its templates are filled in and its commands get variables; `None` when it is
    /// taken away.
    pub launched: Option<(&'a Clusterfile, &'a ImageContents)>,
    /// What the image brings; `None` for the cluster's own image, which is there.
    pub content: Option<&'a ApplicationContent>,
    /// The application images that the cluster runs afterwards.
    pub applications: &'a [ApplicationContent],
    /// Whether the image brings its own helm.
    pub has_helm: bool,
    /// The commands, in order.
    pub commands: &'a [LaunchCommand],
    /// Files of its applications that are changed before.
    pub files: &'a [LaunchFile],
    /// Whether its files are removed from the hosts in the end.
    pub forgets: bool,
}

/// Plans to launch an image on a cluster that stands, or to take away what it launched. Kubernetes itself is not touched.
///
/// # Errors
///
/// [`Error::ApiSilent`] and [`Error::InvalidCluster`] for a cluster that cannot run anything now, [`Error::NoHelm`].
pub fn plan_application(work: &ApplicationWork<'_>) -> Result<Plan, Error> {
    let masters = work.masters()?;
    let (through, marker) = masters[0];
    work.check_helm(through.address)?;
    let mut plan = Plan::new(&work.cluster.name);
    plan.summary = format!("{} {}", if work.forgets { "remove" } else { "run" }, work.image);
    let contents = work.contents(&masters);
    let registries: Vec<String> = contents.iter().map(|step| step.id.clone()).collect();
    plan.steps.extend(contents);
    let network = ClusterNetwork::of_marker(work.cluster, marker);
    let engine = ContainerEngine::named(&marker.engine).unwrap_or(ContainerEngine::Containerd);
    let rootfs = paths::rootfs(&work.cluster.name);
    let payload = work.content.map(|content| paths::application(&work.cluster.name, &content.directory));
    let (mut filled_in, mut image_env) = (Vec::new(), BTreeMap::new());
    if let Some((wanted, image)) = work.launched {
        let source = Source { wanted, image, engine, network: &network };
        filled_in = source.files_of(through, payload.as_ref().unwrap_or(&rootfs))?;
        image_env.clone_from(&image.env);
    }
    let launching = Launching {
        commands: work.commands,
        files: work.files,
        filled_in,
        payload,
        rootfs,
        restores: work.launched.is_some(),
    };
    let env = environment::of_host(work.cluster, through, engine, &network, &image_env);
    let run = |script: Script| script.with_kubeconfig(work.admin_kubeconfig).run(env.clone());
    // Pods pull their images from any of the masters.
    plan.steps.extend(launching.steps(through, run, &registries, &[]));
    plan.steps.extend(work.settle(&masters, plan.steps.last().map(|step| &step.id)));
    let listed = |host: &Host| plan.steps.iter().any(|step| !step.cluster_wide && step.hosts.contains(&host.address));
    let listed: Vec<_> = masters.iter().filter(|(host, _)| listed(host)).map(|(host, _)| host.address).collect();
    plan.hosts = listed.into_iter().map(|host| PlannedHost::new(host, HostChange::Alter, "master")).collect();
    plan.notes = work.notes();
    Ok(plan)
}

impl<'a> ApplicationWork<'a> {
    /// The finished masters that can be reached, with their markers; the one whose API answers first.
    fn masters(&self) -> Result<Vec<(&'a Host, &'a Marker)>, Error> {
        let cluster = self.cluster;
        let marked = |host: &'a Host| {
            let marker = self.facts.hosts.get(&host.address)?.marker.as_ref()?;
            let ready = marker.state == MarkerState::Ready && marker.is_of(&cluster.name, self.secrets);
            ready.then_some((host, marker))
        };
        let mut masters: Vec<_> = cluster.masters().filter_map(marked).collect();
        let through = self.facts.api.as_ref().and_then(|api| api.through);
        masters.sort_by_key(|(host, _)| Some(host.address) != through);
        match masters.first() {
            None => Err(Error::InvalidCluster {
                cluster: cluster.name.clone(),
                reason: "none of its masters is finished and can be reached; `sealer apply` its Clusterfile first"
                    .to_owned(),
            }),
            Some((host, _)) if self.facts.api.is_none() => {
                Err(Error::ApiSilent { host: host.address, cluster: cluster.name.clone() })
            }
            Some(_) => Ok(masters),
        }
    }

    fn check_helm(&self, host: IpAddr) -> Result<(), Error> {
        check_helm(self.commands, self.has_helm, self.facts, self.image, host)
    }

    /// The masters that serve container images: none when these come from a registry outside.
    fn registries(&self, masters: &[(&Host, &Marker)]) -> Vec<IpAddr> {
        let registry = &self.cluster.registry;
        if registry.external.is_some() {
            return Vec::new();
        }
        let serving = masters.iter().filter(|(_, marker)| marker.settings.contains_key(REGISTRY_GROUP));
        let mut serving: Vec<IpAddr> = serving.map(|(host, _)| host.address).collect();
        if serving.is_empty() {
            let count = if registry.high_availability { masters.len() } else { 1 };
            serving = masters.iter().take(count).map(|(host, _)| host.address).collect();
        }
        serving
    }

    /// The image's content: to every registry, and its files to the master that launches it.
    fn contents(&self, masters: &[(&Host, &Marker)]) -> Vec<Step> {
        let Some(content) = self.content else { return Vec::new() };
        let through = masters[0].0.address;
        let registries = self.registries(masters);
        let first = registries.first().copied();
        let others = registries.iter().copied().filter(|host| Some(*host) != first);
        let with_images = first.into_iter().chain(others).map(|host| (host, true));
        let without = (!registries.contains(&through)).then_some((through, false));
        let step = |(host, carried): (IpAddr, bool)| {
            let sources =
                first.filter(|first| *first != host).map(|first| SocketAddr::new(first, self.cluster.registry.port));
            let after = sources.map(|source| application_id(content, source.ip()));
            content_step(self.cluster, self.facts, content, host, carried, sources.into_iter().collect()).after(after)
        };
        with_images.chain(without).map(step).collect()
    }

    /// Notes on the masters which application images they hold, and removes the files of one that is gone.
    fn settle(&self, masters: &[(&Host, &Marker)], before: Option<&String>) -> Vec<Step> {
        let registries = self.registries(masters);
        let mut steps = Vec::new();
        for (host, marker) in masters {
            let address = host.address;
            if let Some(content) = self.content.filter(|_| self.forgets) {
                let directory = format!("{}/applications/{}", paths::data(&self.cluster.name), content.directory);
                let run = Run::new(format!("set -eu\nrm -rf '{directory}'\n"));
                steps.push(
                    Step::run(id("remove-files", address), [address], run)
                        .titled("remove its files")
                        .after(before.cloned()),
                );
            }
            let mut wanted = Marker::clone(marker);
            wanted.settings.remove(APPLICATIONS_GROUP);
            if registries.contains(&address) {
                wanted
                    .settings
                    .extend(setting(self.applications).map(|digest| (APPLICATIONS_GROUP.to_owned(), digest)));
            }
            if wanted != **marker {
                let step = Step::write(id("note", address), [address], vec![wanted.file()]);
                steps.push(step.titled("note what it holds").after(before.cloned()));
            }
        }
        steps
    }

    fn notes(&self) -> Vec<String> {
        let silent = self.cluster.masters().filter(|host| self.facts.unreachable.contains_key(&host.address));
        silent
            .map(|host| format!("{} cannot be reached: the next `sealer apply` brings it what it lacks", host.address))
            .collect()
    }
}

/// What the marker of a registry's host says of the application images that it holds.
pub(super) fn setting(applications: &[ApplicationContent]) -> Option<String> {
    let images: BTreeSet<&str> = applications.iter().map(|content| content.image.as_str()).collect();
    (!images.is_empty()).then(|| digest(images.into_iter().map(str::as_bytes)))
}

fn application_id(content: &ApplicationContent, host: IpAddr) -> String {
    id(&format!("application-{}", content.directory), host)
}

fn content_step(
    cluster: &Cluster,
    facts: &Facts,
    held: &ApplicationContent,
    host: IpAddr,
    carried: bool,
    sources: Vec<SocketAddr>,
) -> Step {
    let rootfs = paths::application(&cluster.name, &held.directory);
    let mut content = Content::new(&held.image, rootfs, held.bytes).from_sources(sources);
    if carried {
        let own = facts.hosts.get(&host).map_or("", |facts| architecture(&facts.arch));
        let others = held.platforms.iter().filter(|platform| platform.split('/').nth(1) != Some(own));
        content = content.with_carried_images().with_platforms(others);
    }
    content.plain_http = cluster.registry.is_plain_http();
    content.authorization = authorization(&cluster.registry).map(|value| Variable::hidden(value.expose()));
    Step::content(application_id(held, host), [host], content)
        .titled(format!("application content {}", size(held.bytes)))
}

/// Refuses commands that call a helm which is nowhere.
pub(super) fn check_helm(
    commands: &[LaunchCommand],
    has_helm: bool,
    facts: &Facts,
    image: &str,
    host: IpAddr,
) -> Result<(), Error> {
    let on_host = facts.hosts.get(&host).is_some_and(|facts| facts.tools.iter().any(|tool| tool == "helm"));
    match commands.iter().find(|command| command.calls_helm()).filter(|_| !has_helm && !on_host) {
        Some(LaunchCommand { command, .. }) => {
            Err(Error::NoHelm { command: command.clone(), image: image.to_owned(), host })
        }
        None => Ok(()),
    }
}

/// Commands that are run in an unpacked image.
struct Launching<'a> {
    commands: &'a [LaunchCommand],
    files: &'a [LaunchFile],
    /// Templates that were filled in.
    filled_in: Vec<File>,
    /// Where the image is unpacked, if it is not the cluster's own.
    payload: Option<String>,
    /// Where the cluster's own is.
    rootfs: String,
    /// Whether files that were changed before become as the image has them.
    restores: bool,
}

impl Launching<'_> {
    /// One step after another on a master; the first after these steps.
    fn steps(&self, through: &Host, run: impl Fn(Script) -> Run, finished: &[String], ended: &[String]) -> Vec<Step> {
        let host = through.address;
        let payload = self.payload.as_ref().map(|path| ("SEALER_PAYLOAD", Variable::shown(path)));
        let of_applications = self
            .commands
            .iter()
            .any(|command| command.command.contains("application/apps") || !command.directory.is_empty());
        let mut steps = Vec::new();
        if !self.files.is_empty() || (self.restores && of_applications) {
            let changed: BTreeSet<&str> = self.files.iter().map(|file| file.application.as_str()).collect();
            let changed = changed.into_iter().collect::<Vec<_>>().join("\n");
            let run = run(ORIGINALS).env(payload.clone()).env([("SEALER_CHANGED", Variable::shown(changed))]);
            steps.push(Step::run("original-files", [host], run).titled("original files of applications"));
        }
        if !self.files.is_empty() || !self.filled_in.is_empty() {
            let root = self.payload.as_ref().unwrap_or(&self.rootfs);
            let file = |file: &LaunchFile| File::secret(format!("{root}/{}", file.path), file.content.as_bytes());
            let files = self.filled_in.iter().cloned().chain(self.files.iter().map(file)).collect();
            let step = Step::write("application-files", [host], files);
            steps.push(step.titled("files of applications"));
        }
        for (index, LaunchCommand { command, directory, env, defaults }) in self.commands.iter().enumerate() {
            let mut run = run(LAUNCH).env([("SEALER_LAUNCH", Variable::shown(command))]).env(payload.clone());
            run = run.env(own(defaults).filter(|(name, _)| through.env.get(name).is_none())).env(own(env));
            if !directory.is_empty() {
                run = run.env([("SEALER_DIRECTORY", Variable::shown(directory))]);
            }
            let run = run.timeout_seconds(LAUNCH_SECONDS).show_output();
            steps.push(Step::run(format!("launch-{}", index + 1), [host], run).titled(command));
        }
        if let Some(first) = steps.first_mut() {
            first.after.extend_from_slice(finished);
            first.after_end_of.extend_from_slice(ended);
        }
        steps
    }
}

/// Variables of an application that reach a shell.
fn own(env: &BTreeMap<String, String>) -> impl Iterator<Item = (String, Variable)> {
    let reach = env.iter().filter(|(name, _)| environment::is_shell_name(name) && !environment::is_own_variable(name));
    reach.map(|(name, value)| (name.clone(), Variable::hidden(value)))
}

impl Setup<'_> {
    /// The launch commands, one after another on one master; the first after these steps. Files of applications that an
    /// earlier launch has changed are given back first.
    pub(crate) fn launch(&self, finished: &[String], ended: &[String]) -> Result<Vec<Step>, Error> {
        let (through, payload) = (self.control_plane.successor(), self.request.payload);
        let has_helm = payload.image.has("bin/helm");
        check_helm(&payload.launch, has_helm, self.request.facts, &payload.image.name, through.address)?;
        let rootfs = paths::rootfs(&self.cluster().name);
        let (commands, files) = (&payload.launch, &payload.launch_files);
        let launching = Launching { commands, files, filled_in: Vec::new(), payload: None, rootfs, restores: true };
        Ok(launching.steps(through, |script| self.kubectl(through, script), finished, ended))
    }

    /// The content of application images for a host whose registry shall serve them.
    pub(super) fn application_contents(&self, host: &Host) -> Vec<Step> {
        let standing = self
            .control_plane
            .registries()
            .filter(|source| source.ip() != host.address && self.request.is_finished(source.ip()));
        let sources: Vec<SocketAddr> = standing.collect();
        let applications = self.request.payload.applications.iter();
        applications
            .map(|held| content_step(self.cluster(), self.request.facts, held, host.address, true, sources.clone()))
            .collect()
    }
}
