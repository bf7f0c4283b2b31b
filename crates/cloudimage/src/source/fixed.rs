//! Names a fixed list of images.

use async_trait::async_trait;

use super::{ImageSource, RootfsView, WantedImage};
use crate::error::Result;

/// The same names, whatever is built.
#[derive(Debug, Clone, Default)]
pub struct FixedList {
    images: Vec<WantedImage>,
}

impl FixedList {
    /// A list of these names.
    pub fn new(images: impl IntoIterator<Item = WantedImage>) -> Self {
        Self { images: images.into_iter().collect() }
    }
}

#[async_trait]
impl ImageSource for FixedList {
    async fn find(&self, _: &RootfsView) -> Result<Vec<WantedImage>> {
        Ok(self.images.clone())
    }
}
