//! Builds, stores, moves and mounts cluster images.

mod build;
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

pub use build::{BuildEvent, BuildOptions, Built, Context, Effect, LayerPlan, PlannedStep, Seams, StepOutcome, build, plan_build};
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
pub use source::{FixedList, ImageList, ImageSource, WantedImage};
pub use unpack::unpack;
