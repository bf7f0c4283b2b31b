//! Finds the container images that a cluster image needs.

#[cfg(feature = "testing")]
pub mod contract;
mod fixed;
mod list;
mod rootfs;

use std::fmt;

use async_trait::async_trait;

pub use fixed::FixedList;
pub use list::{ImageList, read_image_list};
pub use rootfs::RootfsView;

use crate::error::Result;

/// Names container images that a cluster image needs.
#[async_trait]
pub trait ImageSource: Send + Sync + fmt::Debug {
    /// The names that `rootfs` and whatever else the source looks at ask for, in a stable order; a name may come twice.
    ///
    /// # Errors
    /// When what it reads cannot be read or understood; an absent optional file is no error.
    async fn find(&self, rootfs: &RootfsView) -> Result<Vec<WantedImage>>;
}

/// A container image that is needed, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WantedImage {
    /// The name as written.
    pub name: String,
    /// Where it is written, for example `manifests/imageList:3`.
    pub source: String,
    /// Whether a file of the base image names it. It is then not asked for again when the base carries it.
    pub from_base: bool,
}

impl WantedImage {
    /// An image that this build asks for.
    pub fn new(name: impl Into<String>, source: impl Into<String>) -> Self {
        Self { name: name.into(), source: source.into(), from_base: false }
    }
}

/// A container image that could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unfetchable {
    /// The image.
    pub image: WantedImage,
    /// Why not.
    pub reason: String,
}

impl fmt::Display for Unfetchable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (from {}): {}", self.image.name, self.image.source, self.reason)
    }
}
