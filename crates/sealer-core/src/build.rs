//! Builds a cluster image from a Kubefile.

use std::path::{Path, PathBuf};

use cloudimage::source::read_image_list;
use cloudimage::{Backends, BuildOptions, Built, Context, FixedList, ImageSource, LayerPlan};

use crate::image_logins::ImageLogins;
use crate::{Error, Event, Events, Sealer};

/// What upstream calls a list of images with logins, in the context.
const IMAGE_LOGINS: &str = "imageListWithAuth.yaml";

/// What to build.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BuildRequest {
    /// The Kubefile's text.
    pub kubefile: String,
    /// The directory that COPY reads from.
    pub context: PathBuf,
    /// A list of container images to carry, besides `manifests/imageList` of the context.
    pub image_list: Option<PathBuf>,
    /// A list of container images with the logins for their registries (YAML, as upstream's `imageListWithAuth.yaml`).
    /// It never becomes part of an image.
    pub image_list_with_auth: Option<PathBuf>,
    /// A list of container images that are not fetched, whoever asks for them.
    pub ignored_image_list: Option<PathBuf>,
    /// How; its `cancel` ends the build.
    pub options: BuildOptions,
}

impl BuildRequest {
    /// A build of this Kubefile (its text) from a context directory, with default options.
    #[must_use]
    pub fn new(kubefile: impl Into<String>, context: impl Into<PathBuf>) -> Self {
        Self {
            kubefile: kubefile.into(),
            context: context.into(),
            image_list: None,
            image_list_with_auth: None,
            ignored_image_list: None,
            options: BuildOptions::default(),
        }
    }
}

/// Builds a cluster image: parse, base, layers, carried images, seal, tag.
///
/// # Errors
///
/// [`Error::Kubefile`] with all errors of the file at once; [`Error::Image`] for what fails later;
/// [`Error::BuildInterrupted`] when it was cancelled. An image that is not complete gets no name.
pub async fn build(sealer: &Sealer, request: &BuildRequest, events: Events<'_>) -> Result<Built, Error> {
    let kubefile = kubefile::parse(&request.kubefile)?;
    let mut context = Context::open(&request.context)?;
    let logins = request.image_list_with_auth.as_deref().map(|path| logins(sealer, path)).transpose()?;
    match &request.image_list_with_auth {
        Some(path) => context = context.without(path)?,
        None if context.directory().join(IMAGE_LOGINS).is_file() => {
            let message = format!(
                "{IMAGE_LOGINS} of the context is not copied, and not read unless the build is given it as its list with logins"
            );
            events(Event::Warning { message });
        }
        None => {}
    }
    let mut options = request.options.clone();
    if let Some(path) = &request.ignored_image_list {
        options.ignored_images.extend(read_image_list(path)?.into_iter().map(|image| image.name));
    }
    let list = cloudimage::ImageList::new(&context, request.image_list.as_deref());
    let with_logins = logins.as_ref().map(|logins| FixedList::new(logins.images.clone()));
    let own = with_logins.iter().map(|list| list as &dyn ImageSource);
    let sources: Vec<&dyn ImageSource> = own.chain([&list as _]).chain(sealer.image_sources()).collect();
    let registry = logins.as_ref().map_or(sealer.registry().as_ref(), |logins| &logins.registry as _);
    let backends = Backends::new(sealer.sandbox(), registry, &sources);
    let tell = |build| events(Event::Build { build });
    let built = cloudimage::build(sealer.images(), &kubefile, &context, &options, &backends, &tell).await;
    built.map_err(|error| match error {
        cloudimage::Error::Cancelled => Error::BuildInterrupted,
        error => error.into(),
    })
}

fn logins(sealer: &Sealer, path: &Path) -> Result<ImageLogins, Error> {
    ImageLogins::read(path, &sealer.settings().registry, sealer.registry().clone())
}

/// The layers that [`build`] would make; touches neither store nor network.
///
/// # Errors
///
/// As [`build`], for the errors of the Kubefile.
pub fn plan_build(request: &BuildRequest) -> Result<LayerPlan, Error> {
    let kubefile = kubefile::parse(&request.kubefile)?;
    Ok(cloudimage::plan_build(&kubefile, &request.options)?)
}
