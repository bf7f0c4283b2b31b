//! The workflow of running an application image on a cluster that stands.

use std::sync::Arc;

use cloudimage::{KubeRange, Platform};
use clusterfile::{Cluster, Clusterfile};
use content_store::Digest;
use runtime::{ApplicationWork, Facts, ImageContents, Journal, Plan, Requirements, Secrets};

use super::record::{InstallState, InstalledImage, Record};
use super::{ApplicationError, Resolved};
use crate::executor::{self, Executor};
use crate::nodes::nodes;
use crate::observe::{Observed, gather_standing};
use crate::report::{Applied, Outcome, Planned, left_out};
use crate::run::Run;
use crate::takeover;
use crate::target::Target;
use crate::{ClusterState, Error, external_registry, operator_lock};

/// Name of the journal of what is done with applications.
const JOURNAL: &str = "applications.jsonl";

/// A cluster that stands, as it is remembered and observed.
pub(super) struct Standing {
    pub(super) state: ClusterState,
    pub(super) file: Clusterfile,
    pub(super) observed: Observed,
    pub(super) secrets: Secrets,
    pub(super) requirements: Requirements,
    pub(super) record: Record,
}

/// Runs an application image, or says that it runs as wanted already.
pub(crate) async fn run(run: &Run<'_>, mut target: Target<'_>) -> Result<Applied, Error> {
    let standing = Standing::of(run, target.cluster(), false).await?;
    let prepared = Prepared::of(run, &standing, &mut target).await?;
    let plan = Arc::new(prepared.plan(&standing)?);
    if !plan.is_empty()
        && let Some(missing) = external_registry::look_for(run, &target).await?
    {
        missing.push(run, &target).await?;
    }
    let after = InstalledImage { state: InstallState::Launched, ..prepared.installed.clone() };
    standing.perform(run, &plan, prepared.installed, Some(after)).await
}

/// What [`run`] would do.
pub(crate) async fn plan(run: &Run<'_>, mut target: Target<'_>) -> Result<Planned, Error> {
    let standing = Standing::of(run, target.cluster(), true).await?;
    let prepared = Prepared::of(run, &standing, &mut target).await?;
    let mut plan = prepared.plan(&standing)?;
    let missing = external_registry::look_for(run, &target).await?;
    plan.notes.extend(missing.map(|missing| missing.note()));
    let unreachable = left_out(&standing.file.cluster, &standing.observed.facts);
    Ok(Planned { unreachable, ..Planned::of(plan) })
}

impl Standing {
    /// Locks and observes a cluster of which something is remembered; logins and variables are those of `asked`.
    pub(super) async fn of(run: &Run<'_>, asked: &Cluster, only_to_plan: bool) -> Result<Self, Error> {
        let states = run.sealer.state();
        let none = || Error::NoCluster { cluster: asked.name.clone(), state: states.root().to_owned() };
        if states.clusterfile(&asked.name)?.is_none() {
            if asked.hosts.is_empty() {
                return Err(none());
            }
            // Another workstation may have made it.
            takeover::take_over(run.sealer, asked, run.options, run.events).await?;
        }
        let state = if only_to_plan { states.to_look_at() } else { states.clone() }.lock(&asked.name)?;
        let mut file = state.clusterfile()?.ok_or_else(none)?;
        let runtime = run.sealer.runtime_of(&file.cluster)?;
        let requirements = runtime.requirements();
        if requirements.without_hosts {
            let what = format!("running application images on a cluster of {}", runtime.name());
            return Err(Error::NotSupported { what });
        }
        let logins = asked.clone();
        let with_logins = |file: &mut Clusterfile| {
            for host in &mut file.cluster.hosts {
                host.ssh = logins.host(host.address).map_or_else(|| host.ssh.clone(), |asked| asked.ssh.clone());
            }
        };
        with_logins(&mut file);
        let mut observed = gather_standing(run, &state, &file.cluster, &requirements).await?;
        let (shared, is_newer) = takeover::renew_standing(run, &state, &file.cluster, &observed, &requirements).await?;
        if is_newer {
            file = state.clusterfile()?.ok_or_else(none)?;
            with_logins(&mut file);
            observed = gather_standing(run, &state, &file.cluster, &requirements).await?;
        }
        observed.shared = shared;
        for (key, _) in asked.env.iter() {
            file.cluster.set_env(key, &asked.env.values(key).join(";"));
        }
        let secrets = Secrets::load(state.path(), requirements.secrets)?.ok_or_else(none)?;
        let record = Record::read(&state)?;
        Ok(Self { state, file, observed, secrets, requirements, record })
    }

    /// Performs a plan, and remembers what is known of the image meanwhile and afterwards (`None` when it is gone), here
    /// and in the cluster.
    pub(super) async fn perform(
        mut self,
        run: &Run<'_>,
        plan: &Arc<Plan>,
        during: InstalledImage,
        after: Option<InstalledImage>,
    ) -> Result<Applied, Error> {
        let directory = during.directory.clone();
        let Self { state, file, observed, requirements, record, .. } = &mut self;
        let claim = observed.shared.claim(plan);
        let executed = operator_lock::exclusively(run, state, claim, async |run| {
            executor::check(&run, plan, observed)?;
            if record.image(&directory) != Some(&during) {
                // What another operation did says nothing of this one.
                Journal::open(&state.file(JOURNAL))?.clear()?;
            }
            if !plan.is_empty() {
                record.put(during);
                record.write(state)?;
            }
            let provider = run.sealer.provider_for(&file.cluster)?;
            let executor = Executor { run, state, cluster: &file.cluster, provider, observed, journal: JOURNAL };
            let executed = executor.execute(plan).await?;
            match after {
                Some(after) if !plan.is_empty() => record.put(after),
                Some(_) => {}
                None => record.images.retain(|image| image.directory != directory),
            }
            record.write(state)?;
            Journal::open(&state.file(JOURNAL))?.clear()?;
            observed.shared.save(&run, state, &file.cluster, requirements, &observed.remotes, None).await?;
            Ok(executed)
        });
        let executed = executed.await?;
        let unreachable = left_out(&file.cluster, &observed.facts);
        let (report, is_empty) = (&executed.report, plan.is_empty());
        Ok(Applied {
            name: file.cluster.name.clone(),
            outcome: if is_empty { Outcome::Unchanged } else { Outcome::Changed },
            done: report.done,
            skipped: report.skipped,
            kubeconfig: state.file("kubeconfig").is_file().then(|| state.file("kubeconfig")),
            nodes: nodes(&file.cluster, &observed.facts, &executed.times),
            left: Vec::new(),
            unreachable,
            cluster: file.cluster.clone(),
        })
    }
}

/// An image that is about to be run.
struct Prepared {
    resolved: Resolved,
    /// What is asked for, on the cluster that stands.
    wanted: Clusterfile,
    contents: ImageContents,
    installed: InstalledImage,
    notes: Vec<String>,
}

impl Prepared {
    async fn of(run: &Run<'_>, standing: &Standing, target: &mut Target<'_>) -> Result<Self, Error> {
        let (facts, cluster) = (&standing.observed.facts, &standing.file.cluster);
        let shown = target.cluster().image.clone();
        check_kube_version(&shown, &target.image, cluster, facts)?;
        let resolved = target.launch.clone();
        if resolved.commands.is_empty() {
            return Err(
                ApplicationError::NothingToLaunch { image: shown, known: target.application_names.clone() }.into()
            );
        }
        // Registry and hosts are the cluster's; what is remembered tells which images the registry outside has.
        target.wanted.cluster = cluster.clone();
        target.wanted.cluster.image.clone_from(&shown);
        target.read_for(run, facts).await?;
        check_platforms(&shown, &target.image, cluster, facts)?;
        let image = &target.image;
        let all = std::iter::once(image).chain(&image.others);
        let directory = directory(&shown);
        let installed = InstalledImage {
            digest: image.digest.clone(),
            is_cluster_image: false,
            state: InstallState::Launching,
            applications: standing.record.running(&directory, &resolved.applications),
            directory,
            bytes: if image.others.is_empty() { image.rootfs_bytes + image.carried_bytes } else { image.all_bytes },
            platforms: all.map(|one| one.platform.clone()).collect(),
            launch: resolved.digest(cluster),
            has_helm: image.has("bin/helm"),
            image: shown,
        };
        let notes = target.notes.iter().chain(&resolved.notes).cloned().collect();
        Ok(Self { resolved, wanted: target.wanted.clone(), contents: target.image.clone(), installed, notes })
    }

    /// The steps; none when the image runs as wanted.
    fn plan(&self, standing: &Standing) -> Result<Plan, Error> {
        let Self { resolved, installed, .. } = self;
        let known = standing.record.image(&installed.directory);
        let is_same = |known: &InstalledImage| {
            known.state == InstallState::Launched
                && (&known.digest, &known.launch) == (&installed.digest, &installed.launch)
                // Nothing of it was removed since.
                && installed.applications.iter().all(|one| known.applications.contains(one))
        };
        let mut plan = if known.is_some_and(is_same) {
            Plan::new(&standing.file.cluster.name)
        } else {
            let mut after = standing.record.clone();
            after.put(installed.clone());
            runtime::plan_application(&ApplicationWork {
                cluster: &standing.file.cluster,
                facts: &standing.observed.facts,
                secrets: &standing.secrets,
                admin_kubeconfig: standing.requirements.admin_kubeconfig.unwrap_or_default(),
                image: &installed.image,
                launched: Some((&self.wanted, &self.contents)),
                content: installed.content().as_ref(),
                applications: &after.contents(),
                has_helm: installed.has_helm,
                commands: &resolved.commands,
                files: &resolved.files,
                forgets: false,
            })?
        };
        plan.notes.splice(0..0, self.notes.iter().cloned());
        Ok(plan)
    }
}

/// Refuses a cluster whose Kubernetes the image does not support.
fn check_kube_version(
    image: &str,
    contents: &ImageContents,
    cluster: &Cluster,
    facts: &Facts,
) -> Result<(), ApplicationError> {
    let Some(range) = contents.labels.get(cloudimage::format::KUBE_VERSION_LABEL) else { return Ok(()) };
    let (image, text) = (image.to_owned(), range.clone());
    let range: KubeRange = match range.parse() {
        Ok(range) => range,
        Err(reason) => return Err(ApplicationError::KubeRange { image, range: text, reason }),
    };
    // An API that is silent is told about by planning.
    match facts.api.as_ref().map(|api| &api.version) {
        Some(version) if !range.contains(version) => {
            let (cluster, version) = (cluster.name.clone(), version.clone());
            Err(ApplicationError::KubeVersion { image, range: text, cluster, version })
        }
        _ => Ok(()),
    }
}

/// Refuses an image that a master cannot hold.
fn check_platforms(
    image: &str,
    contents: &ImageContents,
    cluster: &Cluster,
    facts: &Facts,
) -> Result<(), ApplicationError> {
    let masters = cluster.masters().filter_map(|master| Some((master, facts.hosts.get(&master.address)?)));
    for (master, known) in masters {
        if contents.for_machine(&known.arch).is_none() {
            let platform = Platform::of_machine(&known.arch).to_string();
            return Err(ApplicationError::Platform { image: image.to_owned(), platform, host: master.address });
        }
    }
    Ok(())
}

/// One for each repository: another tag of the same image takes its place.
fn directory(image: &str) -> String {
    let repository = image
        .parse::<content_store::Reference>()
        .map_or_else(|_| image.to_owned(), |name| format!("{}/{}", name.registry(), name.repository()));
    Digest::of(repository.as_bytes()).hex()[..16].to_owned()
}
