//! Networks: VPCs, vSwitches and the zones they lie in.

use serde::Deserialize;

use super::answer::list;
use super::{Action, Done, Listing, Page, Parameters, Product, Tag};

/// Most items that a page of networks can have.
const PAGE: u32 = 50;

/// Makes a VPC. It cannot be used before it is `Available`.
#[derive(Debug, Clone, Default)]
pub struct CreateVpc {
    /// Token of this act, at most 64 characters.
    pub client_token: String,
    /// Its addresses, `a.b.c.d/len`; the cloud's default is 172.16.0.0/12.
    pub cidr_block: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A VPC was made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VpcCreated {
    /// Its id.
    pub vpc_id: String,
}

impl Action for CreateVpc {
    const NAME: &'static str = "CreateVpc";
    const PRODUCT: Product = Product::Vpc;
    type Answer = VpcCreated;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .token(&self.client_token)
            .optional("CidrBlock", self.cidr_block.as_ref())
            .optional("VpcName", self.name.as_ref())
            .tags(&self.tags)
    }
}

/// Lists VPCs.
#[derive(Debug, Clone)]
pub struct DescribeVpcs {
    /// Only this one.
    pub vpc_id: Option<String>,
    /// Only those with all these tags.
    pub tags: Vec<Tag>,
    /// Which page.
    pub page: Page,
}

impl Default for DescribeVpcs {
    fn default() -> Self {
        Self { vpc_id: None, tags: Vec::new(), page: Page::first(PAGE) }
    }
}

/// A page of VPCs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Vpcs {
    /// How many there are on all pages.
    pub total_count: u64,
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub vpcs: Vec<Vpc>,
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
    /// Ids of its vSwitches.
    #[serde(rename = "VSwitchIds", deserialize_with = "list")]
    pub v_switch_ids: Vec<String>,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}

impl Action for DescribeVpcs {
    const NAME: &'static str = "DescribeVpcs";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Vpcs;

    fn parameters(&self) -> Parameters {
        self.page.parameters(Parameters::new().optional("VpcId", self.vpc_id.as_ref()).tags(&self.tags))
    }
}

impl Listing for DescribeVpcs {
    type Item = Vpc;

    fn turn(&mut self, answer: Vpcs, items: &mut Vec<Vpc>) -> bool {
        let more = self.page.turn(answer.vpcs.len(), answer.total_count);
        items.extend(answer.vpcs);
        more
    }
}

/// Deletes a VPC that has nothing in it.
#[derive(Debug, Clone, Default)]
pub struct DeleteVpc {
    /// Its id.
    pub vpc_id: String,
}

impl Action for DeleteVpc {
    const NAME: &'static str = "DeleteVpc";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().text("VpcId", &self.vpc_id)
    }
}

/// Makes a vSwitch. It cannot be used before it is `Available`.
#[derive(Debug, Clone, Default)]
pub struct CreateVSwitch {
    /// Token of this act, at most 64 characters.
    pub client_token: String,
    /// The VPC it is part of.
    pub vpc_id: String,
    /// The zone it lies in.
    pub zone_id: String,
    /// Its addresses; the first and the last three are not for machines.
    pub cidr_block: String,
    /// Its name.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A vSwitch was made.
#[derive(Debug, Clone, Deserialize)]
pub struct VSwitchCreated {
    /// Its id.
    #[serde(rename = "VSwitchId")]
    pub v_switch_id: String,
}

impl Action for CreateVSwitch {
    const NAME: &'static str = "CreateVSwitch";
    const PRODUCT: Product = Product::Vpc;
    type Answer = VSwitchCreated;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .token(&self.client_token)
            .text("VpcId", &self.vpc_id)
            .text("ZoneId", &self.zone_id)
            .text("CidrBlock", &self.cidr_block)
            .optional("VSwitchName", self.name.as_ref())
            .tags(&self.tags)
    }
}

/// Lists vSwitches.
#[derive(Debug, Clone)]
pub struct DescribeVSwitches {
    /// Only this one.
    pub v_switch_id: Option<String>,
    /// Only those of this VPC.
    pub vpc_id: Option<String>,
    /// Only those with all these tags.
    pub tags: Vec<Tag>,
    /// Which page.
    pub page: Page,
}

impl Default for DescribeVSwitches {
    fn default() -> Self {
        Self { v_switch_id: None, vpc_id: None, tags: Vec::new(), page: Page::first(PAGE) }
    }
}

/// A page of vSwitches.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VSwitches {
    /// How many there are on all pages.
    pub total_count: u64,
    /// Those of this page.
    #[serde(rename = "VSwitches", deserialize_with = "list")]
    pub v_switches: Vec<VSwitch>,
}

/// A vSwitch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VSwitch {
    /// Its id.
    #[serde(rename = "VSwitchId")]
    pub v_switch_id: String,
    /// Its name.
    #[serde(rename = "VSwitchName")]
    pub v_switch_name: String,
    /// The VPC it is part of.
    pub vpc_id: String,
    /// The zone it lies in.
    pub zone_id: String,
    /// `Pending` or `Available`.
    pub status: String,
    /// Its addresses.
    pub cidr_block: String,
    /// How many of them are free.
    pub available_ip_address_count: u64,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
}

impl Action for DescribeVSwitches {
    const NAME: &'static str = "DescribeVSwitches";
    const PRODUCT: Product = Product::Vpc;
    type Answer = VSwitches;

    fn parameters(&self) -> Parameters {
        let parameters = Parameters::new()
            .optional("VSwitchId", self.v_switch_id.as_ref())
            .optional("VpcId", self.vpc_id.as_ref())
            .tags(&self.tags);
        self.page.parameters(parameters)
    }
}

impl Listing for DescribeVSwitches {
    type Item = VSwitch;

    fn turn(&mut self, answer: VSwitches, items: &mut Vec<VSwitch>) -> bool {
        let more = self.page.turn(answer.v_switches.len(), answer.total_count);
        items.extend(answer.v_switches);
        more
    }
}

/// Deletes a vSwitch that has no machine.
#[derive(Debug, Clone, Default)]
pub struct DeleteVSwitch {
    /// Its id.
    pub v_switch_id: String,
}

impl Action for DeleteVSwitch {
    const NAME: &'static str = "DeleteVSwitch";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().text("VSwitchId", &self.v_switch_id)
    }
}

/// Lists the zones of the region in which there can be vSwitches.
#[derive(Debug, Clone, Copy, Default)]
pub struct DescribeZones {}

/// The zones.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Zones {
    /// All of them.
    #[serde(deserialize_with = "list")]
    pub zones: Vec<Zone>,
}

/// A zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Zone {
    /// Its id, for example `cn-chengdu-a`.
    pub zone_id: String,
}

impl Action for DescribeZones {
    const NAME: &'static str = "DescribeZones";
    const PRODUCT: Product = Product::Vpc;
    type Answer = Zones;

    fn parameters(&self) -> Parameters {
        Parameters::new()
    }
}
