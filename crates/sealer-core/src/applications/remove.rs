//! Takes away again what an image launched on a cluster.

use std::sync::Arc;

use clusterfile::Cluster;
use runtime::{ApplicationWork, LaunchCommand, Plan};
use tokio::task::spawn_blocking;

use super::ApplicationError;
use super::record::{InstallState, InstalledApplication, InstalledImage};
use super::work::Standing;
use crate::report::{Applied, Planned, left_out};
use crate::run::Run;
use crate::{ApplyOptions, Error, Events, Login, Sealer, scale};

/// Which application or image is removed, and how.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RemoveApplication {
    /// The cluster; the only one there is when it is not named.
    pub cluster: Option<String>,
    /// An application, or an image with all that it launched.
    pub name: String,
    /// Commands in place of those that are known.
    pub commands: Vec<String>,
    /// How to log in on the hosts.
    pub login: Login,
}

impl RemoveApplication {
    /// An application or image by its name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Removes an application, or all that an image launched, by the commands that undo it.
///
/// After any failure the same call again continues. Container images stay in the registries of the cluster.
///
/// # Errors
///
/// [`ApplicationError::NotInstalled`], [`ApplicationError::NoRemoval`] and [`ApplicationError::NotConfirmed`] before
/// anything is changed; [`Error::Unfinished`] when a command failed.
pub async fn remove_application(
    sealer: &Sealer,
    request: &RemoveApplication,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Applied, Error> {
    let run = Run { sealer, options, events };
    let standing = Standing::of(&run, &asked(sealer, request)?, false).await?;
    let Removal { plan, during, after } = Removal::of(&standing, request)?;
    let plan = Arc::new(plan);
    let (consent, asked) = (options.consent.clone(), Arc::clone(&plan));
    let agreed = run.until_cancelled("asking for consent", async {
        let aborted = |source| Error::Aborted { act: "asking for consent", source };
        spawn_blocking(move || consent.decides(&asked)).await.map_err(aborted)
    });
    if !agreed.await? {
        let cluster = plan.cluster.clone();
        return Err(ApplicationError::NotConfirmed { cluster, name: request.name.clone() }.into());
    }
    standing.perform(&run, &plan, during, after).await
}

/// What [`remove_application`] would do.
///
/// # Errors
///
/// As [`remove_application`]; consent is not asked for.
pub async fn plan_removal(
    sealer: &Sealer,
    request: &RemoveApplication,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Planned, Error> {
    let run = Run { sealer, options, events };
    let standing = Standing::of(&run, &asked(sealer, request)?, true).await?;
    let Removal { plan, .. } = Removal::of(&standing, request)?;
    let unreachable = left_out(&standing.file.cluster, &standing.observed.facts);
    Ok(Planned { unreachable, ..Planned::of(plan) })
}

fn asked(sealer: &Sealer, request: &RemoveApplication) -> Result<Cluster, Error> {
    let mut cluster = scale::current(sealer, request.cluster.as_deref(), None)?.cluster;
    request.login.overlay(&mut cluster);
    Ok(cluster)
}

/// How something is removed.
struct Removal {
    plan: Plan,
    /// What is remembered of the image meanwhile, and afterwards.
    during: InstalledImage,
    after: Option<InstalledImage>,
}

impl Removal {
    fn of(standing: &Standing, request: &RemoveApplication) -> Result<Self, Error> {
        let (image, gone, stay) = chosen(standing, &request.name)?;
        let commands = commands(&gone, request)?;
        // The cluster's own image is not taken for one that never launched anything.
        let after = (!stay.is_empty() || image.is_cluster_image)
            .then(|| InstalledImage { applications: stay, ..image.clone() });
        let mut record = standing.record.clone();
        match &after {
            Some(after) => record.put(after.clone()),
            None => record.images.retain(|known| known.directory != image.directory),
        }
        let content = image.content();
        let mut plan = runtime::plan_application(&ApplicationWork {
            cluster: &standing.file.cluster,
            facts: &standing.observed.facts,
            secrets: &standing.secrets,
            admin_kubeconfig: standing.requirements.admin_kubeconfig.unwrap_or_default(),
            image: &image.image,
            launched: None,
            content: content.as_ref(),
            applications: &record.contents(),
            has_helm: image.has_helm,
            commands: &commands,
            files: &[],
            forgets: after.is_none(),
        })?;
        plan.summary = format!("remove {}", request.name);
        let during = InstalledImage { state: InstallState::Removing, ..image.clone() };
        Ok(Self { plan, during, after })
    }
}

/// The image that is meant, what of it is removed, and what stays.
fn chosen<'s>(
    standing: &'s Standing,
    name: &str,
) -> Result<(&'s InstalledImage, Vec<&'s InstalledApplication>, Vec<InstalledApplication>), Error> {
    let images = || standing.record.images.iter().filter(|image| !image.applications.is_empty());
    let familiar =
        |name: &str| name.parse::<content_store::Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar());
    if let Some(image) = images().find(|image| familiar(&image.image) == familiar(name)) {
        return Ok((image, image.applications.iter().collect(), Vec::new()));
    }
    let has = |image: &&InstalledImage| image.applications.iter().any(|application| application.name == name);
    let (cluster, name) = (standing.file.cluster.name.clone(), name.to_owned());
    let having: Vec<&InstalledImage> = images().filter(has).collect();
    match having[..] {
        [image] => {
            let (gone, stay): (Vec<_>, Vec<_>) =
                image.applications.iter().partition(|application| application.name == name);
            Ok((image, gone, stay.into_iter().cloned().collect()))
        }
        [] => {
            let names =
                images().flat_map(|image| image.applications.iter().map(|application| application.name.clone()));
            let known =
                images().map(|image| image.image.clone()).chain(names.filter(|name| !name.is_empty())).collect();
            Err(ApplicationError::NotInstalled { cluster, name, known }.into())
        }
        _ => {
            let images: Vec<&str> = having.iter().map(|image| image.image.as_str()).collect();
            let reason = format!("{} all launched an application {name}; name one of the images", images.join(" and "));
            Err(ApplicationError::Contradiction { reason }.into())
        }
    }
}

/// The commands that remove these applications, the last one first.
fn commands(
    gone: &[&InstalledApplication],
    request: &RemoveApplication,
) -> Result<Vec<LaunchCommand>, ApplicationError> {
    if !request.commands.is_empty() {
        return Ok(request.commands.iter().map(LaunchCommand::from).collect());
    }
    let mut commands = Vec::new();
    for application in gone.iter().rev() {
        let InstalledApplication { name, commands: launched, removal, .. } = application;
        let name = if name.is_empty() { &request.name } else { name };
        let unknown = || ApplicationError::NoRemoval { name: name.clone(), commands: launched.clone() };
        let known = removal.as_ref().ok_or_else(unknown)?.iter();
        commands.extend(
            known.map(|(command, directory)| LaunchCommand::from(command).within(directory, Default::default())),
        );
    }
    Ok(commands)
}
