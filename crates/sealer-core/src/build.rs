//! Builds a cluster image from a Kubefile.

use std::path::PathBuf;

use cloudimage::{Backends, BuildOptions, Built, Context, ImageSource, LayerPlan};

use crate::{Error, Event, Events, Sealer};

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
    /// How; its `cancel` ends the build.
    pub options: BuildOptions,
}

impl BuildRequest {
    /// A build of this Kubefile (its text) from a context directory, with default options.
    #[must_use]
    pub fn new(kubefile: impl Into<String>, context: impl Into<PathBuf>) -> Self {
        Self { kubefile: kubefile.into(), context: context.into(), image_list: None, options: BuildOptions::default() }
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
    let context = Context::open(&request.context)?;
    let list = cloudimage::ImageList::new(&context, request.image_list.as_deref());
    let sources: Vec<&dyn ImageSource> = std::iter::once(&list as _).chain(sealer.image_sources()).collect();
    let backends = Backends::new(sealer.sandbox(), sealer.registry(), &sources);
    let tell = |build| events(Event::Build { build });
    let built = cloudimage::build(sealer.images(), &kubefile, &context, &request.options, &backends, &tell).await;
    built.map_err(|error| match error {
        cloudimage::Error::Cancelled => Error::BuildInterrupted,
        error => error.into(),
    })
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
