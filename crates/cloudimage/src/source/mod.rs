//! Finds the container images that a cluster image needs.

#[cfg(feature = "testing")]
pub mod contract;
mod fixed;
mod list;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use async_trait::async_trait;

pub use fixed::FixedList;
pub(crate) use list::IMAGE_LIST;
pub use list::ImageList;

use crate::error::Result;

/// Names container images that a cluster image needs.
#[async_trait]
pub trait ImageSource: Send + Sync + fmt::Debug {
    /// The names, in a stable order; a name may come twice.
    ///
    /// # Errors
    /// When what it reads cannot be read or understood; an absent optional file is no error.
    async fn find(&self, rootfs: &Rootfs<'_>) -> Result<Vec<WantedImage>>;
}

/// A container image that is needed, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedImage {
    /// The name as written.
    pub name: String,
    /// Where it is written, for example `manifests/imageList:3`.
    pub source: String,
}

/// What an [`ImageSource`] may look at: the build context and what this build adds to the rootfs.
#[derive(Debug)]
pub struct Rootfs<'a> {
    /// The context directory.
    pub context: &'a Path,
    /// Files added by this build that sources may want, by path: today `manifests/imageList`.
    pub added: &'a BTreeMap<String, Vec<u8>>,
}

/// A container image that could not be had.
#[derive(Debug)]
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
