//! Lists the zones and the instance types that they have in stock.

use serde::Deserialize;

use super::super::answer::list;
use super::super::{Parameters, Product, Request};

/// Asks which types can be ordered in which zones of the region, paid by use: only in this zone, only of this `size`
/// (virtual cores and GiB of memory), only this type.
#[must_use]
pub fn describe_available_resource(
    zone: Option<&str>,
    size: Option<(u32, u32)>,
    instance_type: Option<&str>,
) -> Request<Stock> {
    let parameters = Parameters::new()
        .text("DestinationResource", "InstanceType")
        .text("IoOptimized", "optimized")
        .text("InstanceChargeType", "PostPaid")
        .optional("ZoneId", zone)
        .optional("Cores", size.map(|(cores, _)| cores))
        .optional("Memory", size.map(|(_, memory)| memory))
        .optional("InstanceType", instance_type);
    Request::new(Product::Ecs, "DescribeAvailableResource", parameters)
}

/// What can be ordered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Stock {
    /// Zone by zone.
    #[serde(rename = "AvailableZones", deserialize_with = "list")]
    pub zones: Vec<ZoneStock>,
}

/// What can be ordered in a zone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ZoneStock {
    /// The zone.
    pub zone_id: String,
    #[serde(deserialize_with = "list")]
    available_resources: Vec<Resources>,
}

/// A type that is offered in a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Offer {
    /// The type.
    pub value: String,
    /// `Available` or `SoldOut`.
    pub status: String,
    /// How many there are.
    pub status_category: StockLevel,
}

/// How much of something there is; greater is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "String")]
pub enum StockLevel {
    /// Nothing, and there will be no more.
    ClosedWithoutStock,
    /// Nothing now.
    WithoutStock,
    /// The server did not say.
    #[default]
    Unknown,
    /// A few, and there will be no more.
    ClosedWithStock,
    /// Enough.
    WithStock,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Resources {
    #[serde(deserialize_with = "list")]
    supported_resources: Vec<Offer>,
}

impl From<String> for StockLevel {
    fn from(text: String) -> Self {
        match text.as_str() {
            "WithStock" => Self::WithStock,
            "ClosedWithStock" => Self::ClosedWithStock,
            "WithoutStock" => Self::WithoutStock,
            "ClosedWithoutStock" => Self::ClosedWithoutStock,
            _ => Self::Unknown,
        }
    }
}

impl ZoneStock {
    /// The types that are offered in this zone.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.available_resources.iter().flat_map(|resources| &resources.supported_resources)
    }
}

impl Offer {
    /// Whether it may be worth a try.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.status != "SoldOut" && self.status_category >= StockLevel::Unknown
    }
}
