//! Builds, stores, moves and mounts cluster images.
//!
//! # Steps
//!
//! 1. [`Images::open`] a root directory: content, unpacked layers and caches are below it.
//! 2. [`build`] a Kubefile over a [`Context`] into an image. What it touches outside comes in as [`Backends`]: a [`Sandbox`] for
//!    RUN, a registry for carried images, [`ImageSource`]s that name them. [`plan_build`] says what it would do.
//! 3. Look at images: [`Images::list`], [`Images::inspect`], [`Images::get`]; read their files with [`Image::read_files`].
//! 4. Move them: [`Images::save`] and [`Images::load`] OCI archives; [`unpack`] a rootfs on a host.
//!
//! ```no_run
//! use cloudimage::{BuildOptions, Context, ImageList, Images, LinuxSandbox, Backends, build};
//! use registry_client::{Https, Options};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let images = Images::open("/var/lib/sealer".as_ref())?;
//! let context = Context::open(".".as_ref())?;
//! let kubefile = kubefile::parse("FROM scratch\nCOPY . .\n")?;
//! let options = BuildOptions { tag: Some("shop:1.4".to_owned()), ..BuildOptions::default() };
//! let registry = Https::new(Options::default())?;
//! let list = ImageList::new(&context, None);
//! let backends = Backends { sandbox: &LinuxSandbox, registry: &registry, sources: &[&list] };
//! let built = build(&images, &kubefile, &context, &options, &backends, &|_event| {}).await?;
//! assert_eq!(images.get("shop:1.4")?.index_digest(), &built.digest);
//! # Ok(())
//! # }
//! ```
//!
//! # What an image is
//!
//! An OCI image index with one image manifest for each platform, whose layers are the rootfs, and beside it an artifact
//! manifest whose config is the [`Catalogue`] of carried container images and whose layers are all their blobs, unchanged.
//! [`mod@format`] has the media types and annotations. The same inputs give the same digest: entries are sorted, times are
//! [`BuildOptions::source_date_epoch`] or 1970, owners are root unless `--chown` says otherwise.
//!
//! What the rootfs layout makes of a build:
//! - `COPY file manifests` makes `manifests/file`, also when `manifests` does not exist yet: the directories of upstream's
//!   rootfs layout are directories. Otherwise a destination is one when it ends in `/`, exists as one, or has several sources.
//! - Archives of container images (as docker and skopeo write them) that land in `images/*.tar*` are taken out of the layer:
//!   their content travels in the catalogue, under the names that they give it. Other files in `images/` stay.
//! - Container images named in `manifests/imageList`, in the context or in the merged rootfs, are fetched and carried; what the base
//!   image's list names and the base carries is not fetched again.
//!
//! # On disk
//!
//! `content/` is the content store; `layers/<digest>/` are layers unpacked for RUN; `cache/listing/` are lists of the paths in
//! layers; `cache/build/` are results of earlier builds, and the directories of builds at work. Everything but `content/` can
//! be deleted at any time.
//!
//! # Errors
//!
//! [`Error`] names what failed and on which object; errors of a build name the line of the Kubefile.

mod builder;
mod catalogue;
mod contents;
mod documents;
mod durable;
mod error;
mod extension;
pub mod format;
mod image;
mod images;
mod inspect;
mod layer;
mod platform;
pub mod sandbox;
pub mod source;
mod transfer;
mod unpack;

pub use builder::{
    Backends, BuildEvent, BuildEvents, BuildOptions, Built, Context, Effect, LayerPlan, PlannedStep, StepOutcome,
    build, plan_build,
};
pub use catalogue::{CarriedBlob, CarriedImage, Catalogue};
pub use documents::{Config, History, ProcessConfig, Rootfs};
pub use error::{Error, Result};
pub use extension::{Application, BuildClient, Extension, ImageKind, Launch};
pub use image::{Image, Layer, manifests};
pub use images::{Images, Removed};
pub use inspect::{Inspection, Sizes, Summary};
pub use layer::Compression;
pub use platform::Platform;
pub use sandbox::{LinuxSandbox, Sandbox};
pub use source::{FixedList, ImageList, ImageSource, RootfsView, WantedImage};
pub use unpack::unpack;
