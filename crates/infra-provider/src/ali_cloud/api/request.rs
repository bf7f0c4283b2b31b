//! Defines a request: what the client can send, and the type of its answer.

use std::marker::PhantomData;

use serde::Deserialize;

use super::answer::list;
use super::{Parameters, Product};

/// A request that can be sent, also repeatedly: an action, its parameters, and the type of its answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request<A> {
    /// The action, for example `CreateVpc`.
    pub action: &'static str,
    /// The product that serves it.
    pub product: Product,
    /// Whether it takes `RegionId`, which the client then adds.
    pub regional: bool,
    /// The parameters, without those that every request has.
    pub parameters: Parameters,
    answer: PhantomData<fn() -> A>,
}

impl<A> Request<A> {
    /// Asks `product` for `action`, in a region.
    #[must_use]
    pub fn new(product: Product, action: &'static str, parameters: Parameters) -> Self {
        Self { action, product, regional: true, parameters, answer: PhantomData }
    }

    /// The same with the token that makes it safe to repeat, at most 64 characters.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { parameters: self.parameters.text("ClientToken", token), ..self }
    }
}

/// A request whose answer comes in pages.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    request: Request<Page<T>>,
    /// Number of the page that is asked for; none where pages are linked by tokens.
    number: Option<u32>,
}

impl<T> Listing<T> {
    /// A list whose pages are numbered and have `size` items; the cloud's own default would be 10.
    pub(super) fn numbered(product: Product, action: &'static str, parameters: Parameters, size: u32) -> Self {
        let parameters = parameters.text("PageNumber", 1).text("PageSize", size);
        Self { request: Request::new(product, action, parameters), number: Some(1) }
    }

    /// A list whose pages name the token of the next one, and have 100 items.
    pub(super) fn linked(product: Product, action: &'static str, parameters: Parameters) -> Self {
        Self { request: Request::new(product, action, parameters.text("MaxResults", 100)), number: None }
    }

    /// Asks for the page that comes next.
    #[must_use]
    pub fn request(&self) -> &Request<Page<T>> {
        &self.request
    }

    /// Adds the items of `page` to those of the pages before and goes to the next one; `false` if there is none.
    pub fn turn(&mut self, page: Page<T>, items: &mut Vec<T>) -> bool {
        let brought = page.items.len();
        items.extend(page.items);
        let parameters = std::mem::take(&mut self.request.parameters);
        let (parameters, more) = match &mut self.number {
            Some(number) => {
                *number += 1;
                // Some counted items may not be shown.
                (parameters.text("PageNumber", *number), brought > 0 && (items.len() as u64) < page.total_count)
            }
            None => {
                let more = !page.next_token.is_empty();
                (parameters.text("NextToken", page.next_token), more)
            }
        };
        self.request.parameters = parameters;
        more
    }
}

/// A page of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", default, bound = "T: serde::de::DeserializeOwned")]
pub struct Page<T> {
    /// How many items there are on all pages.
    pub total_count: u64,
    /// Token of the next page; empty after the last.
    pub next_token: String,
    /// Those of this page.
    #[serde(
        alias = "EipAddresses",
        alias = "Instances",
        alias = "KeyPairs",
        alias = "SecurityGroups",
        alias = "VSwitches",
        alias = "Vpcs",
        deserialize_with = "list"
    )]
    pub items: Vec<T>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { total_count: 0, next_token: String::new(), items: Vec::new() }
    }
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
