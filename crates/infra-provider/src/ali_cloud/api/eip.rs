//! Elastic addresses: public addresses that are bound to a machine and outlive it.

use serde::Deserialize;

use super::answer::list;
use super::{Done, Listing, Parameters, Product, Request, Tag};

/// Allocates an elastic address that is paid by traffic, of a bandwidth of 1 to 200 Mbit/s. It is not released with the
/// machine it is bound to.
#[must_use]
pub fn allocate_eip_address(bandwidth: u32, name: &str, tags: &[Tag]) -> Request<EipAllocated> {
    let parameters = Parameters::new().text("Bandwidth", bandwidth).text("InternetChargeType", "PayByTraffic");
    Request::new(Product::Vpc, "AllocateEipAddress", parameters.text("Name", name).tags(tags))
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

/// Lists elastic addresses, or only this one; those with all these tags.
#[must_use]
pub fn describe_eip_addresses(id: Option<&str>, tags: &[Tag]) -> Listing<Eip> {
    let parameters = Parameters::new().optional("AllocationId", id).tags(tags);
    Listing::numbered(Product::Vpc, "DescribeEipAddresses", parameters, 100)
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
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}

/// Name of the action of [`associate_eip_address`].
pub(in super::super) const ASSOCIATE: &str = "AssociateEipAddress";

/// Binds an elastic address to a running machine.
#[must_use]
pub fn associate_eip_address(id: &str, instance: &str) -> Request<Done> {
    let parameters = Parameters::new().text("AllocationId", id).text("InstanceId", instance);
    Request::new(Product::Vpc, ASSOCIATE, parameters.text("InstanceType", "EcsInstance"))
}

/// Takes an elastic address away from its machine, whatever the machine does.
#[must_use]
pub fn unassociate_eip_address(id: &str) -> Request<Done> {
    let parameters = Parameters::new().text("AllocationId", id).text("Force", true);
    Request::new(Product::Vpc, "UnassociateEipAddress", parameters)
}

/// Gives an elastic address back; it must not be bound.
#[must_use]
pub fn release_eip_address(id: &str) -> Request<Done> {
    Request::new(Product::Vpc, "ReleaseEipAddress", Parameters::new().text("AllocationId", id))
}
