//! Defines an action: what the client can call.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Parameters, Product};

/// One action of a product: what is asked, and the shape of the answer.
pub trait Action: Send + Sync {
    /// Its name, for example `CreateVpc`.
    const NAME: &'static str;
    /// The product that serves it.
    const PRODUCT: Product;
    /// Whether it takes `RegionId`, which the client then adds.
    const REGIONAL: bool = true;
    /// What a successful answer holds.
    type Answer: DeserializeOwned + Send;

    /// The parameters, without those that every request has.
    fn parameters(&self) -> Parameters;
}

/// An action whose answer comes in pages.
pub trait Listing: Action {
    /// What the pages hold.
    type Item: Send;

    /// Adds the items of `answer` to `items` and turns the request to the page after it; `false` if there is none.
    fn turn(&mut self, answer: Self::Answer, items: &mut Vec<Self::Item>) -> bool;
}

/// The answer of an action that tells nothing but its success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Done {}

/// A label on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Tag {
    /// Its name.
    #[serde(alias = "Key", alias = "TagKey", default)]
    pub key: String,
    /// Its value; as a filter, an empty one means any.
    #[serde(alias = "Value", alias = "TagValue", default)]
    pub value: String,
}

impl Tag {
    /// A tag of these texts.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Which page of a numbered listing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    number: u32,
    size: u32,
    seen: u64,
}

impl Page {
    /// The first page of `size` items; the cloud's own default would be 10.
    #[must_use]
    pub fn first(size: u32) -> Self {
        Self { number: 1, size, seen: 0 }
    }

    pub(super) fn parameters(self, parameters: Parameters) -> Parameters {
        parameters.text("PageNumber", self.number).text("PageSize", self.size)
    }

    /// Goes to the next page; `false` after a page that brought nothing, or when all of `total` have come.
    pub(super) fn turn(&mut self, brought: usize, total: u64) -> bool {
        self.number += 1;
        self.seen += brought as u64;
        brought > 0 && self.seen < total
    }
}
