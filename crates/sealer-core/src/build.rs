//! How does a Kubefile become a cluster image?

use std::path::PathBuf;

use cloudimage::{BuildOptions, Built, Context, ImageSource, LayerPlan, LinuxSandbox, Seams};

use crate::{Error, Event, Events, Sealer};

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The Kubefile's text.
    pub kubefile: String,
    /// The directory that COPY reads from.
    pub context: PathBuf,
    /// A list of container images to carry, besides `manifests/imageList` of the context.
    pub image_list: Option<PathBuf>,
    /// How.
    pub options: BuildOptions,
}

/// Builds a cluster image: parse, base, layers, carried images, seal, tag.
///
/// # Errors
///
/// [`Error::Kubefile`] with all errors of the file at once; [`Error::Image`] for what fails later.
/// Nothing half built is named.
///
/// To cancel a build, drop it: a RUN under way and everything that it started is killed, no layer of it is kept.
pub async fn build(sealer: &Sealer, request: &BuildRequest, events: Events<'_>) -> Result<Built, Error> {
    let kubefile = kubefile::parse(&request.kubefile)?;
    let context = Context::open(&request.context)?;
    let list = cloudimage::ImageList::new(&context, request.image_list.as_deref());
    let sources: [&dyn ImageSource; 1] = [&list];
    let seams = Seams { sandbox: &LinuxSandbox, registry: sealer.registry(), sources: &sources };
    let mut tell = |build| events(Event::Build { build });
    Ok(cloudimage::build(sealer.images(), &kubefile, &context, &request.options, &seams, &mut tell).await?)
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
