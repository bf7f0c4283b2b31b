//! Networks: VPCs and vSwitches.

use serde::Deserialize;

use super::answer::list;
use super::{Done, Listing, Parameters, Product, Request, Tag};

/// Most items that a page of networks can have.
const PAGE: u32 = 50;

/// Makes a VPC. It cannot be used before it is `Available`.
#[must_use]
pub fn create_vpc(name: &str, tags: &[Tag]) -> Request<VpcCreated> {
    Request::new(Product::Vpc, "CreateVpc", Parameters::new().text("VpcName", name).tags(tags))
}

/// A VPC was made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VpcCreated {
    /// Its id.
    pub vpc_id: String,
}

/// Lists VPCs, or only this one; those with all these tags.
#[must_use]
pub fn describe_vpcs(id: Option<&str>, tags: &[Tag]) -> Listing<Vpc> {
    Listing::numbered(Product::Vpc, "DescribeVpcs", Parameters::new().optional("VpcId", id).tags(tags), PAGE)
}

/// A VPC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Vpc {
    /// Its id.
    pub vpc_id: String,
    /// Its name.
    pub vpc_name: String,
    /// `Pending` or `Available`.
    pub status: String,
    /// Its addresses.
    pub cidr_block: String,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}

/// Deletes a VPC that has nothing in it.
#[must_use]
pub fn delete_vpc(id: &str) -> Request<Done> {
    Request::new(Product::Vpc, "DeleteVpc", Parameters::new().text("VpcId", id))
}

/// Makes a vSwitch of these addresses (the first and the last three are not for machines) in a zone of a VPC. It cannot
/// be used before it is `Available`.
#[must_use]
pub fn create_vswitch(vpc: &str, zone: &str, cidr: &str, name: &str, tags: &[Tag]) -> Request<VSwitchCreated> {
    let parameters = Parameters::new().text("VpcId", vpc).text("ZoneId", zone).text("CidrBlock", cidr);
    Request::new(Product::Vpc, "CreateVSwitch", parameters.text("VSwitchName", name).tags(tags))
}

/// A vSwitch was made.
#[derive(Debug, Clone, Deserialize)]
pub struct VSwitchCreated {
    /// Its id.
    #[serde(rename = "VSwitchId")]
    pub v_switch_id: String,
}

/// Lists vSwitches, or only this one; those of this VPC, with all these tags.
#[must_use]
pub fn describe_vswitches(id: Option<&str>, vpc: Option<&str>, tags: &[Tag]) -> Listing<VSwitch> {
    let parameters = Parameters::new().optional("VSwitchId", id).optional("VpcId", vpc).tags(tags);
    Listing::numbered(Product::Vpc, "DescribeVSwitches", parameters, PAGE)
}

/// A vSwitch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VSwitch {
    /// Its id.
    #[serde(rename = "VSwitchId")]
    pub v_switch_id: String,
    /// The VPC it is part of.
    pub vpc_id: String,
    /// The zone it lies in.
    pub zone_id: String,
    /// `Pending` or `Available`.
    pub status: String,
    /// Its addresses.
    pub cidr_block: String,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}

/// Deletes a vSwitch that has no machine.
#[must_use]
pub fn delete_vswitch(id: &str) -> Request<Done> {
    Request::new(Product::Vpc, "DeleteVSwitch", Parameters::new().text("VSwitchId", id))
}
