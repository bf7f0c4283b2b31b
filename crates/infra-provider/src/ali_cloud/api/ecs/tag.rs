//! Adds tags to resources.

use serde::Deserialize;

use super::super::answer::list;
use super::super::{Action, Done, Listing, Parameters, Product, Tag};

/// Puts tags on resources of the compute service.
#[derive(Debug, Clone, Default)]
pub struct TagResources {
    /// `instance`, `securitygroup`, `keypair`, `disk` or `eni`.
    pub resource_type: String,
    /// Their ids, 1 to 50.
    pub resource_ids: Vec<String>,
    /// The tags, 1 to 20.
    pub tags: Vec<Tag>,
}

impl Action for TagResources {
    const NAME: &'static str = "TagResources";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .text("ResourceType", &self.resource_type)
            .list("ResourceId", &self.resource_ids)
            .tags(&self.tags)
    }
}

/// Lists tags of resources of the compute service, of one type.
#[derive(Debug, Clone, Default)]
pub struct ListTagResources {
    /// As for [`TagResources::resource_type`].
    pub resource_type: String,
    /// Only these, at most 50.
    pub resource_ids: Vec<String>,
    /// Only those with all these tags.
    pub tags: Vec<Tag>,
    /// Where the page begins: the token of the page before.
    pub next_token: Option<String>,
}

/// A page of tags.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaggedResources {
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub tag_resources: Vec<TaggedResource>,
    /// Token of the next page; empty after the last.
    pub next_token: String,
}

/// One tag of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaggedResource {
    /// Id of the resource.
    pub resource_id: String,
    /// Its type.
    pub resource_type: String,
    /// Name of the tag.
    pub tag_key: String,
    /// Value of the tag.
    pub tag_value: String,
}

impl Action for ListTagResources {
    const NAME: &'static str = "ListTagResources";
    const PRODUCT: Product = Product::Ecs;
    type Answer = TaggedResources;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .text("ResourceType", &self.resource_type)
            .list("ResourceId", &self.resource_ids)
            .tags(&self.tags)
            .optional("NextToken", self.next_token.as_ref())
    }
}

impl Listing for ListTagResources {
    type Item = TaggedResource;

    fn turn(&mut self, answer: TaggedResources, items: &mut Vec<TaggedResource>) -> bool {
        items.extend(answer.tag_resources);
        self.next_token = Some(answer.next_token).filter(|token| !token.is_empty());
        self.next_token.is_some()
    }
}
