//! Lists instance types and the zones that have them in stock.

use serde::Deserialize;

use super::super::answer::{list, number};
use super::super::{Action, Listing, Parameters, Product};

/// Asks which types can be ordered in which zones of the region.
#[derive(Debug, Clone, Default)]
pub struct DescribeAvailableResource {
    /// Only in this zone.
    pub zone_id: Option<String>,
    /// Only types of so many virtual cores.
    pub cores: Option<u32>,
    /// Only types of so much memory, in GiB.
    pub memory: Option<f64>,
    /// Only this type.
    pub instance_type: Option<String>,
    /// `PostPaid` or `PrePaid`.
    pub instance_charge_type: Option<String>,
    /// Only types that take a system disk of this category.
    pub system_disk_category: Option<String>,
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
    /// How much there is in the zone altogether.
    pub status_category: StockLevel,
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

impl Action for DescribeAvailableResource {
    const NAME: &'static str = "DescribeAvailableResource";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Stock;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .text("DestinationResource", "InstanceType")
            .text("IoOptimized", "optimized")
            .optional("ZoneId", self.zone_id.as_ref())
            .optional("Cores", self.cores)
            .optional("Memory", self.memory)
            .optional("InstanceType", self.instance_type.as_ref())
            .optional("InstanceChargeType", self.instance_charge_type.as_ref())
            .optional("SystemDiskCategory", self.system_disk_category.as_ref())
    }
}

/// Lists types of machine, whether they are in stock or not.
#[derive(Debug, Clone, Default)]
pub struct DescribeInstanceTypes {
    /// Only these.
    pub instance_types: Vec<String>,
    /// Fewest virtual cores.
    pub minimum_cores: Option<u32>,
    /// Most virtual cores.
    pub maximum_cores: Option<u32>,
    /// Least memory in GiB.
    pub minimum_memory: Option<f64>,
    /// Most memory in GiB.
    pub maximum_memory: Option<f64>,
    /// Where the page begins: the token of the page before.
    pub next_token: Option<String>,
}

/// A page of types.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceTypes {
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub instance_types: Vec<InstanceType>,
    /// Token of the next page; empty after the last.
    pub next_token: String,
}

/// A type of machine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceType {
    /// Its name, for example `ecs.g6.large`.
    pub instance_type_id: String,
    /// Virtual cores.
    #[serde(deserialize_with = "number")]
    pub cpu_core_count: f64,
    /// Memory in GiB.
    #[serde(deserialize_with = "number")]
    pub memory_size: f64,
    /// `X86` or `ARM`.
    pub cpu_architecture: String,
}

impl Action for DescribeInstanceTypes {
    const NAME: &'static str = "DescribeInstanceTypes";
    const PRODUCT: Product = Product::Ecs;
    const REGIONAL: bool = false;
    type Answer = InstanceTypes;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .list("InstanceTypes", &self.instance_types)
            .optional("MinimumCpuCoreCount", self.minimum_cores)
            .optional("MaximumCpuCoreCount", self.maximum_cores)
            .optional("MinimumMemorySize", self.minimum_memory)
            .optional("MaximumMemorySize", self.maximum_memory)
            .text("MaxResults", 100)
            .optional("NextToken", self.next_token.as_ref())
    }
}

impl Listing for DescribeInstanceTypes {
    type Item = InstanceType;

    fn turn(&mut self, answer: InstanceTypes, items: &mut Vec<InstanceType>) -> bool {
        items.extend(answer.instance_types);
        self.next_token = Some(answer.next_token).filter(|token| !token.is_empty());
        self.next_token.is_some()
    }
}
