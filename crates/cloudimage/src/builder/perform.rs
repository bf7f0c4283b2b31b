//! Performs a build, instruction by instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use content_store::Reference;
use content_transfer::Fetcher;
use kubefile::{Kubefile, Resolved, ResolvedInstruction, ResolvedKind, ResolvedSource, ResolvedTransfer};
use tokio_util::sync::CancellationToken;

use super::applications;
use super::base;
use super::cache::{Record, Workplace};
use super::copy::{self, Transfer};
use super::download;
use super::draft::{Draft, WrittenLayers};
use super::event::{BuildEvent, BuildEvents, StepOutcome};
use super::fetch_images::{ImageFetcher, PinnedNames};
use super::launch_paths;
use super::layers::{self, Job};
use super::options::{Backends, BuildOptions, Built, Context};
use super::plan::command_text;
use super::prepare::{self, Prepared};
use super::run::{self, Owned, Running};
use super::seal;
use crate::catalogue::{CarriedImage, Catalogue};
use crate::error::{Error, Result};
use crate::format;
use crate::image::Image;
use crate::images::Images;
use crate::layer::listing::Merged;
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
    let created = seal::timestamp(options.epoch())?;
    let work = Work { images, kubefile, context, options, backends, workplace: &workplace, created: &created };
    let built = unless_cancelled(&options.cancel, work.build_all(events)).await?;
    // From here on the build is not interrupted any more: an image is named, or it is not.
    let (images, options) = (images.clone(), options.clone());
    let sealed = tokio::task::spawn_blocking(move || seal::seal(&images, &built, &options, &created, &before));
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

/// What the builds for all platforms are made with.
struct Work<'a> {
    images: &'a Images,
    kubefile: &'a Kubefile,
    context: &'a Context,
    options: &'a BuildOptions,
    backends: &'a Backends<'a>,
    workplace: &'a Workplace,
    /// The time that documents get.
    created: &'a str,
}

impl Work<'_> {
    /// Builds for one platform after the other; the drafts are in the order of the platforms.
    async fn build_all(&self, events: BuildEvents<'_>) -> Result<Vec<(Draft, Catalogue)>> {
        base::provide(self.images, self.kubefile, self.options, self.backends.registry, events).await?;
        let (images, kubefile, options) = (self.images.clone(), self.kubefile.clone(), self.options.clone());
        let prepare = move || prepare::prepare(&images, &kubefile, &options);
        let prepared = tokio::task::spawn_blocking(prepare).await.map_err(Error::TaskPanicked)??;
        prepare::refuse_foreign(&prepared, self.backends.sandbox)?;
        let (written, pinned) = (WrittenLayers::default(), PinnedNames::default());
        let (mut built, mut warned) = (Vec::new(), BTreeSet::new());
        let total = prepared.len();
        for (at, Prepared { platform, resolved, base, left_out }) in prepared.into_iter().enumerate() {
            if total > 1 {
                events(BuildEvent::Platform { platform: platform.to_string(), index: at + 1, total });
            }
            for warning in resolved.warnings.iter().map(ToString::to_string).chain(left_out) {
                // Most are the same for every platform.
                if warned.insert(warning.clone()) {
                    events(BuildEvent::Warning { message: warning });
                }
            }
            let draft = Draft::new(self.images, self.context, &platform, &written);
            let mut builder = Builder { work: self, pinned: &pinned, base, draft };
            let catalogue = builder.run(&resolved, events).await?;
            built.push((builder.draft, catalogue));
        }
        Ok(built)
    }
}

/// The build for one platform.
struct Builder<'a> {
    work: &'a Work<'a>,
    pinned: &'a PinnedNames,
    /// What FROM finds.
    base: Option<(Image, Merged)>,
    draft: Draft,
}

impl Builder<'_> {
    /// Performs every instruction and fetches the container images to carry.
    async fn run(&mut self, resolved: &Resolved, events: BuildEvents<'_>) -> Result<Catalogue> {
        let total = resolved.instructions.len();
        for (at, instruction) in resolved.instructions.iter().enumerate() {
            let (keyword, arguments) = instruction.title.split_once(' ').unwrap_or((&instruction.title, ""));
            let (keyword, arguments) = (keyword.to_owned(), arguments.to_owned());
            events(BuildEvent::Step { index: at + 1, total, keyword, arguments });
            let outcome = match self.perform(at + 1, instruction, events).await {
                Err(error) => return Err(download::with_missing(error, &resolved.instructions[at..]).await),
                Ok(outcome) => outcome,
            };
            events(BuildEvent::StepDone { index: at + 1, outcome });
        }
        self.finish(resolved)?;
        let missing = launch_paths::missing(&self.draft.extension, &self.draft.rootfs.merged);
        missing.into_iter().for_each(|message| events(BuildEvent::Warning { message }));
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
            ResolvedKind::From { .. } => self.start_from(),
            ResolvedKind::Copy(transfer) => self.copy(instruction, transfer, false, events).await,
            ResolvedKind::Add(transfer) => self.copy(instruction, transfer, true, events).await,
            ResolvedKind::App { declared_by, name, sources } => {
                let transfer = applications::transfer(name, sources, line)?;
                let outcome = self.copy(instruction, &transfer, false, events).await?;
                applications::declare(&mut self.draft, *declared_by, name, line)?;
                Ok(outcome)
            }
            ResolvedKind::Run { command, environment } => {
                let images = self.draft.images.clone();
                let running = Running {
                    images: &images,
                    rootfs: &self.draft.rootfs,
                    options: self.work.options,
                    title: &instruction.title,
                    spool: self.work.workplace.path(),
                    index,
                    line,
                    command,
                    environment: environment.clone(),
                };
                let (record, cached) = run::run(&running, self.work.backends.sandbox, events).await?;
                self.add(&instruction.title, &record, cached, events)
            }
            other => {
                self.record(other, line)?;
                if !matches!(other, ResolvedKind::Arg(_)) {
                    self.draft.note(&instruction.title, self.work.created, false);
                }
                Ok(StepOutcome::Recorded)
            }
        }
    }

    fn start_from(&mut self) -> Result<StepOutcome> {
        let Some((image, merged)) = self.base.take() else {
            return Ok(StepOutcome::Base { size: 0, carried_images: 0 });
        };
        self.draft.start_from(&image, merged);
        let applications = image.extension().applications.iter().map(|application| application.name.clone()).collect();
        self.work.kubefile.check_apps(&applications)?;
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
        let spool = self.work.workplace.path().to_owned();
        let mut downloads = Vec::new();
        for source in &transfer.sources {
            if let ResolvedSource::Url(url) = source {
                let (limit, sum) = (self.work.options.download_limit(), transfer.checksum.as_deref());
                downloads.push(download::download(url, line, &spool, limit, sum).await?);
            }
        }
        for message in copy::emptied(self.work.context, transfer, line) {
            events(BuildEvent::Warning { message });
        }
        let transfer = Transfer { line, transfer: transfer.clone(), downloads, unpack, spool: spool.clone() };
        let job = Job {
            images: &self.draft.images,
            rootfs: &self.draft.rootfs,
            options: self.work.options,
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
        self.draft.note(title, self.work.created, record.layer.is_some());
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
            ResolvedKind::KubeVersion(range) => applications::kube_version(draft, range, line)?,
            _ => {}
        }
        Ok(())
    }

    /// What is known only after the last instruction.
    fn finish(&mut self, resolved: &Resolved) -> Result<()> {
        applications::check(&self.draft)?;
        let draft = &mut self.draft;
        draft.labels.extend(self.work.options.labels.clone());
        draft.labels.insert(format::VERSION_LABEL.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        draft.extension.arguments.extend(resolved.arguments.clone());
        draft.extension.kind = applications::kind(draft, self.work.options.kind)?;
        draft.extension.labels.clone_from(&draft.labels);
        Ok(())
    }

    /// Finds and fetches the container images to carry, and unites them with those of the base.
    async fn carry(&mut self, events: BuildEvents<'_>) -> Result<Catalogue> {
        let archived: Vec<CarriedImage> = std::mem::take(&mut self.draft.archived);
        let inherited = std::mem::take(&mut self.draft.inherited);
        let mut wanted = self.wanted(&inherited, &archived, events).await?;
        if self.work.options.lite && !wanted.is_empty() {
            let message = format!("{} container images are named and not carried: it is a lite build", wanted.len());
            events(BuildEvent::Warning { message });
            wanted.clear();
        }
        events(BuildEvent::Images {
            named: wanted.len(),
            in_archives: archived.len(),
            inherited: inherited.images.len(),
        });
        let store = &self.draft.rootfs.store;
        let fetcher = ImageFetcher {
            store,
            fetcher: Fetcher::new(store, content_transfer::Options::default()),
            registry: self.work.backends.registry,
            platform: &self.draft.rootfs.platform,
            inherited: &inherited,
            pinned: self.pinned,
            events,
        };
        let fetched = fetcher.fetch_all(wanted.into_values().collect()).await?;
        drop(fetcher);
        let mut catalogue = inherited;
        catalogue.unite(archived);
        catalogue.unite(fetched);
        Ok(catalogue)
    }

    /// The container images to fetch, by their whole names.
    async fn wanted(
        &self,
        inherited: &Catalogue,
        archived: &[CarriedImage],
        events: BuildEvents<'_>,
    ) -> Result<BTreeMap<String, WantedImage>> {
        let rootfs = self.draft.rootfs.view();
        let mut wanted: BTreeMap<String, WantedImage> = BTreeMap::new();
        for source in self.work.backends.sources {
            for image in source.find(&rootfs).await? {
                let reference: Reference = image.name.parse()?;
                let name = reference.to_string();
                // The base's own build has fetched what its files name.
                if !(image.from_base && inherited.image(&name).is_some()) {
                    wanted.entry(name).or_insert(image);
                }
            }
        }
        for image in archived {
            wanted.remove(&image.reference);
        }
        for ignored in &self.work.options.ignored_images {
            let reference: Reference = ignored.parse()?;
            if wanted.remove(&reference.to_string()).is_none() {
                events(BuildEvent::Warning { message: format!("nothing asks for {ignored}, which is to be ignored") });
            }
        }
        Ok(wanted)
    }
}
