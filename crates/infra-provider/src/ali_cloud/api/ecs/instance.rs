//! Lists, starts, stops, resizes and deletes instances.

use std::net::IpAddr;

use serde::Deserialize;

use super::super::answer::{list, number};
use super::super::{Done, Listing, Parameters, Product, Request, Tag};

/// Lists machines: only these, at most 100, unless there are none; those with all these tags. A search by tags sees at
/// most 1,000.
#[must_use]
pub fn describe_instances(ids: &[String], tags: &[Tag]) -> Listing<Instance> {
    let parameters = Parameters::new().json_list("InstanceIds", ids).tags(tags);
    Listing::linked(Product::Ecs, "DescribeInstances", parameters)
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
    /// The zone it runs in.
    pub zone_id: String,
    /// Virtual cores.
    #[serde(deserialize_with = "number")]
    pub cpu: f64,
    /// Memory in MiB.
    #[serde(deserialize_with = "number")]
    pub memory: f64,
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
    allocation_id: String,
}

impl Instance {
    /// Its address in the VPC. A new machine has none for a while.
    #[must_use]
    pub fn private_ip(&self) -> Option<IpAddr> {
        let primary = self.network_interfaces.iter().map(|interface| &interface.primary_ip_address);
        primary.chain(&self.vpc_attributes.private_ip_address).find_map(|text| text.parse().ok())
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

/// Deletes 1 to 100 machines with their disks, also running ones.
#[must_use]
pub fn delete_instances(ids: &[String]) -> Request<Done> {
    let parameters = Parameters::new().list("InstanceId", ids).text("Force", true);
    Request::new(Product::Ecs, "DeleteInstances", parameters)
}

/// Shuts 1 to 100 machines down.
#[must_use]
pub fn stop_instances(ids: &[String]) -> Request<Done> {
    Request::new(Product::Ecs, "StopInstances", Parameters::new().list("InstanceId", ids))
}

/// Starts 1 to 100 machines that are stopped.
#[must_use]
pub fn start_instances(ids: &[String]) -> Request<Done> {
    Request::new(Product::Ecs, "StartInstances", Parameters::new().list("InstanceId", ids))
}

/// Gives a stopped machine another type.
#[must_use]
pub fn modify_instance_spec(id: &str, instance_type: &str) -> Request<Done> {
    let parameters = Parameters::new().text("InstanceId", id).text("InstanceType", instance_type);
    let mut request = Request::new(Product::Ecs, "ModifyInstanceSpec", parameters);
    request.regional = false;
    request
}
