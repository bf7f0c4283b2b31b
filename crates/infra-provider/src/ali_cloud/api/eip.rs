//! Elastic addresses: public addresses that are bound to a machine and outlive it.

use serde::Deserialize;

use super::answer::list;
use super::{Action, Done, Listing, Page, Parameters, Product, Tag};

/// Allocates an elastic address. It is not released with the machine it is bound to.
#[derive(Debug, Clone, Default)]
pub struct AllocateEipAddress {
    /// Token of this act, at most 64 characters.
    pub client_token: String,
    /// Its bandwidth in Mbit/s (paid by traffic: 1 to 200; the cloud's default is 5).
    pub bandwidth: Option<u32>,
    /// `PayByTraffic` or `PayByBandwidth`.
    pub internet_charge_type: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// An elastic address was allocated.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EipAllocated {
    /// Its id.
    pub allocation_id: String,
    /// The address.
    #[serde(default)]
    pub eip_address: String,
}

impl Action for AllocateEipAddress {
    const NAME: &'static str = "AllocateEipAddress";
    const PRODUCT: Product = Product::Vpc;
    type Answer = EipAllocated;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .token(&self.client_token)
            .optional("Bandwidth", self.bandwidth)
            .optional("InternetChargeType", self.internet_charge_type.as_ref())
            .optional("Name", self.name.as_ref())
            .tags(&self.tags)
    }
}

/// Lists elastic addresses.
#[derive(Debug, Clone)]
pub struct DescribeEipAddresses {
    /// Only this one.
    pub allocation_id: Option<String>,
    /// Only those with all these tags.
    pub tags: Vec<Tag>,
    /// Which page.
    pub page: Page,
}

impl Default for DescribeEipAddresses {
    fn default() -> Self {
        Self { allocation_id: None, tags: Vec::new(), page: Page::first(100) }
    }
}

/// A page of elastic addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Eips {
    /// How many there are on all pages.
    pub total_count: u64,
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub eip_addresses: Vec<Eip>,
}

/// An elastic address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Eip {
    /// Its id.
    pub allocation_id: String,
    /// The address.
    pub ip_address: String,
    /// `Available`, `Associating`, `InUse`, `Unassociating` or `Releasing`.
    pub status: String,
    /// The machine it is bound to; empty if none.
    pub instance_id: String,
    /// Its name.
    pub name: String,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}

impl Action for DescribeEipAddresses {
    const NAME: &'static str = "DescribeEipAddresses";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Eips;

    fn parameters(&self) -> Parameters {
        let parameters = Parameters::new().optional("AllocationId", self.allocation_id.as_ref()).tags(&self.tags);
        self.page.parameters(parameters)
    }
}

impl Listing for DescribeEipAddresses {
    type Item = Eip;

    fn turn(&mut self, answer: Eips, items: &mut Vec<Eip>) -> bool {
        let more = self.page.turn(answer.eip_addresses.len(), answer.total_count);
        items.extend(answer.eip_addresses);
        more
    }
}

/// Binds an elastic address to a running machine.
#[derive(Debug, Clone, Default)]
pub struct AssociateEipAddress {
    /// Token of this act, at most 64 characters.
    pub client_token: String,
    /// Id of the address.
    pub allocation_id: String,
    /// Id of the machine.
    pub instance_id: String,
}

impl Action for AssociateEipAddress {
    const NAME: &'static str = "AssociateEipAddress";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .token(&self.client_token)
            .text("AllocationId", &self.allocation_id)
            .text("InstanceId", &self.instance_id)
            .text("InstanceType", "EcsInstance")
    }
}

/// Takes an elastic address away from its machine.
#[derive(Debug, Clone, Default)]
pub struct UnassociateEipAddress {
    /// Id of the address.
    pub allocation_id: String,
    /// Whether it is taken away in any state of the machine.
    pub force: bool,
}

impl Action for UnassociateEipAddress {
    const NAME: &'static str = "UnassociateEipAddress";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().text("AllocationId", &self.allocation_id).flag("Force", self.force)
    }
}

/// Gives an elastic address back; it must not be bound.
#[derive(Debug, Clone, Default)]
pub struct ReleaseEipAddress {
    /// Id of the address.
    pub allocation_id: String,
}

impl Action for ReleaseEipAddress {
    const NAME: &'static str = "ReleaseEipAddress";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().text("AllocationId", &self.allocation_id)
    }
}
