//! Lists images.

use serde::Deserialize;

use super::super::answer::{list, number};
use super::super::{Action, Listing, Page, Parameters, Product};

/// Lists images that machines can be made from.
#[derive(Debug, Clone)]
pub struct DescribeImages {
    /// Only these, at most 100.
    pub image_ids: Vec<String>,
    /// Only those of this family.
    pub image_family: Option<String>,
    /// Only those of this name; `*` stands for anything.
    pub image_name: Option<String>,
    /// `system`, `self`, `others` or `marketplace`.
    pub image_owner_alias: Option<String>,
    /// `x86_64` or `arm64`.
    pub architecture: Option<String>,
    /// Only those that this type of machine can boot.
    pub instance_type: Option<String>,
    /// Which page.
    pub page: Page,
}

impl Default for DescribeImages {
    fn default() -> Self {
        Self {
            image_ids: Vec::new(),
            image_family: None,
            image_name: None,
            image_owner_alias: None,
            architecture: None,
            instance_type: None,
            page: Page::first(100),
        }
    }
}

/// A page of images.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Images {
    /// How many there are on all pages.
    pub total_count: u64,
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub images: Vec<Image>,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Image {
    /// Its id.
    pub image_id: String,
    /// Its name.
    pub image_name: String,
    /// Its family; empty for none.
    pub image_family: String,
    /// `Available` when it can be used.
    pub status: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The system on it, for a person to read.
    #[serde(rename = "OSName")]
    pub os_name: String,
    /// `linux` or `windows`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// Smallest system disk in GiB.
    #[serde(deserialize_with = "number")]
    pub size: f64,
    /// When it was made, as `2026-11-23T16:00:00Z`.
    pub creation_time: String,
}

impl Action for DescribeImages {
    const NAME: &'static str = "DescribeImages";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Images;

    fn parameters(&self) -> Parameters {
        let ids = Some(self.image_ids.join(",")).filter(|ids| !ids.is_empty());
        let parameters = Parameters::new()
            .optional("ImageId", ids)
            .optional("ImageFamily", self.image_family.as_ref())
            .optional("ImageName", self.image_name.as_ref())
            .optional("ImageOwnerAlias", self.image_owner_alias.as_ref())
            .optional("Architecture", self.architecture.as_ref())
            .optional("InstanceType", self.instance_type.as_ref());
        self.page.parameters(parameters)
    }
}

impl Listing for DescribeImages {
    type Item = Image;

    fn turn(&mut self, answer: Images, items: &mut Vec<Image>) -> bool {
        let more = self.page.turn(answer.images.len(), answer.total_count);
        items.extend(answer.images);
        more
    }
}
