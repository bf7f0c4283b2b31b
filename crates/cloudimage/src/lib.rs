//! Builds, stores, moves and mounts cluster images: everything that a Kubernetes cluster needs, in one OCI image.
//!
//! For programs that make or read cluster images. A program that also wants clusters from them uses `sealer-core`, which re-exports
//! this crate.
//!
//! # Steps
//!
//! 1. [`Images::open`] a root directory: content, unpacked layers and caches are below it.
//! 2. [`build`] a Kubefile over a [`Context`] into an image. What it touches outside comes in as [`Backends`]: a [`Sandbox`] for
//!    RUN, a registry for carried images, [`ImageSource`]s that name them. [`plan_build`] says what it would do.
//! 3. Look at images: [`Images::list`], [`Images::inspect`], [`Images::get`]; read their files with [`Image::read_files`].
//! 4. Move them: [`Images::push`] to registries and [`Images::pull`] from there; [`Images::save`] and [`Images::load`] OCI archives;
//!    [`unpack`] a rootfs on a host.
//!
//! ```
//! use cloudimage::{Backends, BuildOptions, Context, ImageList, ImageSource, Images, LinuxSandbox, build};
//! use registry_client::{Https, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (root, files) = (directory.path().join("root"), directory.path().join("files"));
//! # std::fs::create_dir(&files)?;
//! std::fs::write(files.join("app.yaml"), "kind: Deployment\n")?;
//!
//! let images = Images::open(&root)?;
//! let context = Context::open(&files)?;
//! let kubefile = kubefile::parse("FROM scratch\nCOPY app.yaml manifests/\nCMD kubectl apply -f manifests\n")?;
//! let registry = Https::new(Options::default())?; // Asked for carried images only; there are none.
//! let list = ImageList::new(&context, None);
//! let sources: [&dyn ImageSource; 1] = [&list];
//! let sandbox = LinuxSandbox::default();
//! let backends = Backends::new(&sandbox, &registry, &sources);
//! let built = build(&images, &kubefile, &context, &BuildOptions::named("shop:1.4"), &backends, &|_event| {}).await?;
//!
//! let image = images.get("shop:1.4")?;
//! assert_eq!(image.index_digest(), &built.digest);
//! assert_eq!(image.read_files(&["manifests/app.yaml"], 1000)?["manifests/app.yaml"], b"kind: Deployment\n");
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
//! layers; `cache/build/` are results of earlier builds, and the directories of builds at work; `cache/uploads/` are unfinished uploads. Everything but `content/` can
//! be deleted at any time.
//!
//! # Features
//!
//! `testing`: stand-ins for the outside (`sandbox::ScriptedSandbox`) and the contract suites of [`Sandbox`] and [`ImageSource`].
//!
//! # Errors
//!
//! [`Error`] names what failed and on which object; errors of a build name the line of the Kubefile. A build ends with
//! [`Error::Cancelled`] when the token in its options is cancelled.

mod assemble;
mod base_image;
mod builder;
mod catalogue;
mod contents;
mod diff;
mod docker_archive;
mod documents;
mod durable;
mod error;
mod extension;
mod filter;
pub mod format;
mod history;
mod image;
mod images;
mod inspect;
mod joined;
mod kube_range;
mod layer;
mod manifest_list;
mod manifests_for;
mod merge;
mod mount;
mod platform;
mod prune;
mod registry_cache;
mod remove;
pub mod sandbox;
mod served;
pub mod source;
mod transfer;
mod unpack;
mod verify;

pub use base_image::{BaseImageOptions, BaseImageVersions, WrittenBaseImage, base_image_versions, write_base_image};
pub use builder::{
    Backends, BuildEvent, BuildEvents, BuildOptions, Built, Context, Effect, LayerPlan, PlannedStep, StepOutcome,
    build, plan_build,
};
pub use catalogue::{CarriedBlob, CarriedImage, Catalogue};
pub use diff::{Change, Difference, FileChange, ImageChange, diff};
pub use documents::{Config, History, ProcessConfig, Rootfs};
pub use error::{Error, Result};
pub use extension::{Application, BuildClient, Extension, ImageKind, Launch, LaunchCommand};
pub use filter::Filter;
pub use history::HistoryStep;
pub use image::{Image, Layer};
pub use images::{Images, Removed};
pub use inspect::{Inspection, Sizes, Summary};
pub use kube_range::KubeRange;
pub use layer::Compression;
pub use manifest_list::{EntryOptions, ListedManifest, ManifestList};
pub use manifests_for::manifests_for;
pub use merge::{Conflict, MergedImage};
pub use mount::Mounted;
pub use platform::Platform;
pub use prune::{Amount, PruneOptions, Pruned};
pub use registry_cache::Imported;
pub use sandbox::{LinuxSandbox, Sandbox};
pub use served::carried_names;
pub use source::{FixedList, ImageList, ImageSource, RootfsView, WantedImage};
pub use transfer::{
    ArchiveFormat, ArchiveProgress, BlobOutcome, Moved, Platforms, PullOptions, PullPolicy, Pulled, PushOptions,
    Pushed, ReadArchive, SaveOptions, Saved, TransferEvent, TransferEvents,
};
pub use unpack::unpack;
pub use verify::{Damage, Verification, VerifyProgress};
