//! Lists, starts, stops, resizes and deletes instances.

use std::net::IpAddr;

use serde::Deserialize;

use super::super::answer::{list, number};
use super::super::{Action, Done, Listing, Parameters, Product, Tag};

/// Lists machines.
#[derive(Debug, Clone, Default)]
pub struct DescribeInstances {
    /// Only these, at most 100.
    pub instance_ids: Vec<String>,
    /// Only those in this VPC.
    pub vpc_id: Option<String>,
    /// Only those on this vSwitch.
    pub v_switch_id: Option<String>,
    /// Only those in this security group.
    pub security_group_id: Option<String>,
    /// Only those with all these tags; such a search sees at most 1,000.
    pub tags: Vec<Tag>,
    /// Where the page begins: the token of the page before.
    pub next_token: Option<String>,
}

/// A page of machines.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Instances {
    /// How many there are on all pages.
    pub total_count: u64,
    /// Token of the next page; empty after the last.
    pub next_token: String,
    /// Those of this page.
    #[serde(deserialize_with = "list")]
    pub instances: Vec<Instance>,
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Instance {
    /// Its id.
    pub instance_id: String,
    /// Its name in the console.
    pub instance_name: String,
    /// Its host name.
    pub host_name: String,
    /// What it is doing.
    pub status: InstanceStatus,
    /// Its type.
    pub instance_type: String,
    /// The image it was made from.
    pub image_id: String,
    /// The zone it runs in.
    pub zone_id: String,
    /// Virtual cores.
    #[serde(deserialize_with = "number")]
    pub cpu: f64,
    /// Memory in MiB.
    #[serde(deserialize_with = "number")]
    pub memory: f64,
    /// The key pair it was made with; empty if none.
    pub key_pair_name: String,
    /// When it was ordered, as `2026-11-23T16:00Z`.
    pub creation_time: String,
    /// Its security groups.
    #[serde(deserialize_with = "list")]
    pub security_group_ids: Vec<String>,
    /// Its tags.
    #[serde(deserialize_with = "list")]
    pub tags: Vec<Tag>,
    #[serde(deserialize_with = "list")]
    network_interfaces: Vec<Interface>,
    vpc_attributes: VpcAttributes,
    eip_address: BoundEip,
    #[serde(deserialize_with = "list")]
    public_ip_address: Vec<String>,
}

/// What a machine is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum InstanceStatus {
    /// It is being made.
    Pending,
    /// It is booting.
    Starting,
    /// It runs.
    Running,
    /// It is shutting down.
    Stopping,
    /// It stands still.
    Stopped,
    /// Something that is not known here.
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Interface {
    primary_ip_address: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VpcAttributes {
    vpc_id: String,
    #[serde(rename = "VSwitchId")]
    v_switch_id: String,
    #[serde(deserialize_with = "list")]
    private_ip_address: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BoundEip {
    ip_address: String,
    allocation_id: String,
}

impl Instance {
    /// Its address in the VPC. A new machine has none for a while.
    #[must_use]
    pub fn private_ip(&self) -> Option<IpAddr> {
        let primary = self.network_interfaces.iter().map(|interface| &interface.primary_ip_address);
        primary.chain(&self.vpc_attributes.private_ip_address).find_map(|text| text.parse().ok())
    }

    /// Its public address: the elastic one, or its own.
    #[must_use]
    pub fn public_ip(&self) -> Option<IpAddr> {
        [&self.eip_address.ip_address].into_iter().chain(&self.public_ip_address).find_map(|text| text.parse().ok())
    }

    /// Id of the elastic address that is bound to it.
    #[must_use]
    pub fn eip_id(&self) -> Option<&str> {
        Some(self.eip_address.allocation_id.as_str()).filter(|id| !id.is_empty())
    }

    /// Its VPC; empty for none.
    #[must_use]
    pub fn vpc_id(&self) -> &str {
        &self.vpc_attributes.vpc_id
    }

    /// Its vSwitch; empty for none.
    #[must_use]
    pub fn v_switch_id(&self) -> &str {
        &self.vpc_attributes.v_switch_id
    }

    /// The value of one of its tags.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }
}

impl Action for DescribeInstances {
    const NAME: &'static str = "DescribeInstances";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Instances;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .json_list("InstanceIds", &self.instance_ids)
            .optional("VpcId", self.vpc_id.as_ref())
            .optional("VSwitchId", self.v_switch_id.as_ref())
            .optional("SecurityGroupId", self.security_group_id.as_ref())
            .tags(&self.tags)
            .text("MaxResults", 100)
            .optional("NextToken", self.next_token.as_ref())
    }
}

impl Listing for DescribeInstances {
    type Item = Instance;

    fn turn(&mut self, answer: Instances, items: &mut Vec<Instance>) -> bool {
        items.extend(answer.instances);
        self.next_token = Some(answer.next_token).filter(|token| !token.is_empty());
        self.next_token.is_some()
    }
}

/// Deletes machines with their disks.
#[derive(Debug, Clone, Default)]
pub struct DeleteInstances {
    /// Their ids, 1 to 100.
    pub instance_ids: Vec<String>,
    /// Whether running ones are deleted, too.
    pub force: bool,
}

impl Action for DeleteInstances {
    const NAME: &'static str = "DeleteInstances";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().list("InstanceId", &self.instance_ids).flag("Force", self.force)
    }
}

/// Shuts machines down.
#[derive(Debug, Clone, Default)]
pub struct StopInstances {
    /// Their ids, 1 to 100.
    pub instance_ids: Vec<String>,
    /// Whether they are switched off instead.
    pub force: bool,
}

impl Action for StopInstances {
    const NAME: &'static str = "StopInstances";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().list("InstanceId", &self.instance_ids).flag("ForceStop", self.force)
    }
}

/// Starts machines that are stopped.
#[derive(Debug, Clone, Default)]
pub struct StartInstances {
    /// Their ids, 1 to 100.
    pub instance_ids: Vec<String>,
}

impl Action for StartInstances {
    const NAME: &'static str = "StartInstances";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new().list("InstanceId", &self.instance_ids)
    }
}

/// Gives a stopped machine another type.
#[derive(Debug, Clone, Default)]
pub struct ModifyInstanceSpec {
    /// Token of this act, at most 64 characters.
    pub client_token: String,
    /// Id of the machine.
    pub instance_id: String,
    /// The new type.
    pub instance_type: String,
}

impl Action for ModifyInstanceSpec {
    const NAME: &'static str = "ModifyInstanceSpec";
    const PRODUCT: Product = Product::Ecs;
    const REGIONAL: bool = false;
    type Answer = Done;

    fn parameters(&self) -> Parameters {
        Parameters::new()
            .token(&self.client_token)
            .text("InstanceId", &self.instance_id)
            .text("InstanceType", &self.instance_type)
    }
}
