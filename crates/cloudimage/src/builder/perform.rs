//! Performs a build, instruction by instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use content_store::Reference;
use content_transfer::Fetcher;
use kubefile::{Base, Kubefile, Resolved, ResolvedInstruction, ResolvedKind, ResolvedSource, ResolvedTransfer};
use tokio_util::sync::CancellationToken;

use super::applications;
use super::cache::{Record, Workplace};
use super::copy::Transfer;
use super::download;
use super::draft::Draft;
use super::event::{BuildEvent, BuildEvents, StepOutcome};
use super::fetch_images::ImageFetcher;
use super::layers::{self, Job};
use super::options::{Backends, BuildOptions, Built, Context};
use super::plan::command_text;
use super::run::{self, Owned, Running};
use super::seal;
use crate::catalogue::{CarriedImage, Catalogue};
use crate::error::{Error, Result};
use crate::format;
use crate::images::Images;
use crate::source::WantedImage;

/// How long after a failure the request to cancel may still arrive that was its cause.
///
/// What ends this process may end other work first, which then fails before the caller has heard.
const CANCEL_GRACE: Duration = Duration::from_millis(50);

/// Builds a cluster image and, when the options say so, names it.
///
/// Nothing is named before everything is in the store; blobs of a build that failed are freed with the next garbage.
/// Prefer [`BuildOptions::cancel`] to dropping the future, which may come while the image is being named.
///
/// # Errors
/// [`Error`] names the instruction's line and what failed; unfetchable container images are all in one error.
/// [`Error::Cancelled`] when it was cancelled before its image was whole.
pub async fn build(
    images: &Images,
    kubefile: &Kubefile,
    context: &Context,
    options: &BuildOptions,
    backends: &Backends<'_>,
    events: BuildEvents<'_>,
) -> Result<Built> {
    if let Some(tag) = &options.tag {
        images.check_name(tag)?;
    }
    let _guard = images.content().gc_guard()?;
    let workplace = Workplace::open(images)?;
    let before: BTreeSet<_> = images.content().blobs()?.into_iter().map(|blob| blob.digest).collect();
    let mut builder = Builder {
        kubefile,
        options,
        backends,
        workplace: &workplace,
        created: seal::timestamp(options.epoch())?,
        draft: Draft::new(images, context),
    };
    let catalogue = unless_cancelled(&options.cancel, builder.run(events)).await?;
    // From here on the build is not interrupted any more: an image is named, or it is not.
    let (draft, options, created) = (builder.draft, options.clone(), builder.created);
    let sealed = tokio::task::spawn_blocking(move || seal::seal(&draft, &catalogue, &options, &created, &before));
    sealed.await.map_err(Error::TaskPanicked)?
}

/// Ends the work when the token is cancelled, by dropping it: the sandbox kills a RUN under way.
async fn unless_cancelled<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    match cancel.run_until_cancelled(work).await {
        Some(Err(error)) => match tokio::time::timeout(CANCEL_GRACE, cancel.cancelled()).await {
            Ok(()) => Err(Error::Cancelled),
            Err(_) => Err(error),
        },
        Some(done) => done,
        None => Err(Error::Cancelled),
    }
}

/// Replaces variables; those of the base image are known to its children.
async fn expand(images: &Images, kubefile: &Kubefile, options: &BuildOptions) -> Result<Resolved> {
    let mut variables = super::predefined(&options.platform);
    let resolved = kubefile.expand(&options.build_args, &variables)?;
    let base = resolved.instructions.iter().find_map(|instruction| match &instruction.kind {
        ResolvedKind::From { base: Base::Image(name), platform } => Some((name.clone(), platform.clone())),
        _ => None,
    });
    let Some((name, platform)) = base else {
        return Ok(resolved);
    };
    let platform = platform.map_or_else(|| Ok(options.platform.clone()), |platform| platform.parse())?;
    let images = images.clone();
    let base =
        tokio::task::spawn_blocking(move || images.get_for(&name, &platform)).await.map_err(Error::TaskPanicked)??;
    let inherited = base.config().and_then(|config| config.config.env.clone()).unwrap_or_default();
    for variable in &inherited {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    if inherited.is_empty() { Ok(resolved) } else { Ok(kubefile.expand(&options.build_args, &variables)?) }
}

struct Builder<'a> {
    kubefile: &'a Kubefile,
    options: &'a BuildOptions,
    backends: &'a Backends<'a>,
    workplace: &'a Workplace,
    /// The time that documents get.
    created: String,
    draft: Draft,
}

impl Builder<'_> {
    /// Performs every instruction and fetches the container images to carry.
    async fn run(&mut self, events: BuildEvents<'_>) -> Result<Catalogue> {
        let resolved = expand(&self.draft.images, self.kubefile, self.options).await?;
        for warning in &resolved.warnings {
            events(BuildEvent::Warning { message: warning.to_string() });
        }
        let total = resolved.instructions.len();
        for (at, instruction) in resolved.instructions.iter().enumerate() {
            let (keyword, arguments) = instruction.title.split_once(' ').unwrap_or((&instruction.title, ""));
            let (keyword, arguments) = (keyword.to_owned(), arguments.to_owned());
            events(BuildEvent::Step { index: at + 1, total, keyword, arguments });
            let outcome = self.perform(at + 1, instruction, events).await?;
            events(BuildEvent::StepDone { index: at + 1, outcome });
        }
        self.finish(&resolved)?;
        self.carry(events).await
    }

    async fn perform(
        &mut self,
        index: usize,
        instruction: &ResolvedInstruction,
        events: BuildEvents<'_>,
    ) -> Result<StepOutcome> {
        let line = instruction.span.line;
        match &instruction.kind {
            ResolvedKind::From { base, platform } => self.start_from(base, platform.as_deref(), events).await,
            ResolvedKind::Copy(transfer) => self.copy(instruction, transfer, false, events).await,
            ResolvedKind::Add(transfer) => self.copy(instruction, transfer, true, events).await,
            ResolvedKind::App { declared_by, name, sources } => {
                let transfer = applications::transfer(name, sources, line)?;
                let outcome = self.copy(instruction, &transfer, false, events).await?;
                applications::declare(&mut self.draft, *declared_by, name);
                Ok(outcome)
            }
            ResolvedKind::Run { command, environment } => {
                let images = self.draft.images.clone();
                let running = Running {
                    images: &images,
                    rootfs: &self.draft.rootfs,
                    options: self.options,
                    title: &instruction.title,
                    spool: self.workplace.path(),
                    index,
                    line,
                    command,
                    environment: environment.clone(),
                };
                let (record, cached) = run::run(&running, self.backends.sandbox, events).await?;
                self.add(&instruction.title, &record, cached, events)
            }
            other => {
                self.record(other, line)?;
                if !matches!(other, ResolvedKind::Arg(_)) {
                    self.draft.note(&instruction.title, &self.created, false);
                }
                Ok(StepOutcome::Recorded)
            }
        }
    }

    async fn start_from(
        &mut self,
        base: &Base,
        platform: Option<&str>,
        events: BuildEvents<'_>,
    ) -> Result<StepOutcome> {
        let Base::Image(name) = base else { return Ok(StepOutcome::Base { size: 0, carried_images: 0 }) };
        let platform = platform.map_or_else(|| Ok(self.options.platform.clone()), str::parse)?;
        let (images, name) = (self.draft.images.clone(), name.clone());
        let read = tokio::task::spawn_blocking(move || {
            let (image, left_out) = images.get_base(&name, &platform)?;
            let merged = image.merged()?;
            Ok::<_, Error>((image, merged, left_out))
        });
        let (image, merged, left_out) = read.await.map_err(Error::TaskPanicked)??;
        left_out.into_iter().for_each(|message| events(BuildEvent::Warning { message }));
        self.draft.start_from(&image, merged);
        let applications = image.extension().applications.iter().map(|application| application.name.clone()).collect();
        self.kubefile.check_apps(&applications)?;
        Ok(StepOutcome::Base { size: image.rootfs_bytes(), carried_images: image.catalogue().images.len() })
    }

    async fn copy(
        &mut self,
        instruction: &ResolvedInstruction,
        transfer: &ResolvedTransfer,
        unpack: bool,
        events: BuildEvents<'_>,
    ) -> Result<StepOutcome> {
        let line = instruction.span.line;
        let spool = self.workplace.path().to_owned();
        let mut downloads = Vec::new();
        for source in &transfer.sources {
            if let ResolvedSource::Url(url) = source {
                downloads.push(download::download(url, line, &spool, self.options.download_limit()).await?);
            }
        }
        let transfer = Transfer { line, transfer: transfer.clone(), downloads, unpack, spool: spool.clone() };
        let job = Job {
            images: &self.draft.images,
            rootfs: &self.draft.rootfs,
            options: self.options,
            title: &instruction.title,
            spool: &spool,
        };
        let job = Owned::new(&job);
        let copied = tokio::task::spawn_blocking(move || layers::copy(&job.job(), &transfer));
        let (record, cached) = copied.await.map_err(Error::TaskPanicked)??;
        self.add(&instruction.title, &record, cached, events)
    }

    fn add(&mut self, title: &str, record: &Record, cached: bool, events: BuildEvents<'_>) -> Result<StepOutcome> {
        for message in &record.remarks {
            events(BuildEvent::Warning { message: message.clone() });
        }
        self.draft.add(record)?;
        self.draft.note(title, &self.created, record.layer.is_some());
        Ok(StepOutcome::Layer {
            digest: record.layer.as_ref().map(|layer| layer.digest),
            files: record.files,
            size: record.layer.as_ref().map_or(0, |layer| layer.size),
            cached,
            archived_images: record.carried.len(),
        })
    }

    /// Performs an instruction that only changes what the image says about itself.
    fn record(&mut self, kind: &ResolvedKind, line: usize) -> Result<()> {
        let draft = &mut self.draft;
        match kind {
            ResolvedKind::Cmd(command) => draft.extension.launch.cmds.push(command_text(command)),
            ResolvedKind::Cmds(commands) => draft.extension.launch.cmds.extend(commands.iter().cloned()),
            ResolvedKind::Env(values) => {
                for (name, value) in values {
                    draft.set_variable(name, value);
                    draft.extension.env.insert(name.clone(), value.clone());
                }
            }
            ResolvedKind::Label(values) => draft.labels.extend(values.iter().cloned()),
            ResolvedKind::Maintainer(text) => draft.author = Some(text.clone()),
            ResolvedKind::AppCmds { name, commands } => {
                applications::change(draft, name, line, |application| application.cmds.clone_from(commands))?
            }
            ResolvedKind::AppEnv { name, values } => {
                applications::change(draft, name, line, |application| application.env.extend(values.iter().cloned()))?;
            }
            ResolvedKind::Launch(names) => applications::launch(draft, names, line)?,
            ResolvedKind::KubeVersion(range) => {
                drop(draft.labels.insert(format::KUBE_VERSION_LABEL.to_owned(), range.clone()))
            }
            _ => {}
        }
        Ok(())
    }

    /// What is known only after the last instruction.
    fn finish(&mut self, resolved: &Resolved) -> Result<()> {
        applications::check(&self.draft)?;
        let draft = &mut self.draft;
        draft.labels.extend(self.options.labels.clone());
        draft.labels.insert(format::VERSION_LABEL.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        draft.extension.arguments.extend(resolved.arguments.clone());
        draft.extension.kind = applications::kind(draft);
        draft.extension.labels.clone_from(&draft.labels);
        Ok(())
    }

    /// Finds and fetches the container images to carry, and unites them with those of the base.
    async fn carry(&mut self, events: BuildEvents<'_>) -> Result<Catalogue> {
        let rootfs = self.draft.rootfs.view();
        let mut wanted: BTreeMap<String, WantedImage> = BTreeMap::new();
        for source in self.backends.sources {
            for image in source.find(&rootfs).await? {
                let reference: Reference = image.name.parse()?;
                let name = reference.to_string();
                // The base's own build has fetched what its files name.
                if !(image.from_base && self.draft.inherited.image(&name).is_some()) {
                    wanted.entry(name).or_insert(image);
                }
            }
        }
        let archived: Vec<CarriedImage> = std::mem::take(&mut self.draft.archived);
        for image in &archived {
            wanted.remove(&image.reference);
        }
        let inherited = std::mem::take(&mut self.draft.inherited);
        events(BuildEvent::Images {
            named: wanted.len(),
            in_archives: archived.len(),
            inherited: inherited.images.len(),
        });
        let store = &self.draft.rootfs.store;
        let fetcher = ImageFetcher {
            store,
            fetcher: Fetcher::new(store, content_transfer::Options::default()),
            registry: self.backends.registry,
            platform: &self.options.platform,
            inherited: &inherited,
            events,
        };
        let fetched = fetcher.fetch_all(wanted.into_values().collect()).await?;
        drop(fetcher);
        let mut catalogue = inherited;
        catalogue.unite(archived);
        catalogue.unite(fetched);
        Ok(catalogue)
    }
}
