//! Orders instances.

use clusterfile::Secret;
use serde::Deserialize;

use super::super::answer::list;
use super::super::{Parameters, Product, Request, Tag};

/// Makes and starts machines of one kind, as many of `amount` as there are; none is a failure. They are paid by use.
#[derive(Debug, Clone, Default)]
pub struct RunInstances {
    /// The image; or leave it out and name a family.
    pub image_id: Option<String>,
    /// The family of which the newest image is taken.
    pub image_family: Option<String>,
    /// The type, for example `ecs.g6.large`.
    pub instance_type: String,
    /// The security group.
    pub security_group_id: String,
    /// The vSwitch, which decides zone and VPC.
    pub v_switch_id: String,
    /// How many, 1 to 100.
    pub amount: u32,
    /// Name in the console; `prefix[begin,bits]suffix` numbers them.
    pub instance_name: String,
    /// A host name for each.
    pub host_names: Vec<String>,
    /// How one logs in.
    pub log_in: LogIn,
    /// The system disk.
    pub system_disk: Disk,
    /// Data disks; they go with the machine.
    pub data_disks: Vec<Disk>,
    /// Tags of machines, disks and primary interfaces, at most 20.
    pub tags: Vec<Tag>,
}

/// How one logs in to a new machine as root.
#[derive(Debug, Clone, Default)]
pub enum LogIn {
    /// As the image says.
    #[default]
    Image,
    /// With this key pair.
    KeyPair(String),
    /// With this password: 8 to 30 characters of three classes.
    Password(Secret),
}

/// A disk of a new machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Its size in GiB.
    pub size: u32,
    /// Its category, for example `cloud_essd`.
    pub category: String,
}

/// Machines were ordered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Started {
    /// Their ids; `DescribeInstances` may not know them yet.
    #[serde(rename = "InstanceIdSets", deserialize_with = "list")]
    pub instance_ids: Vec<String>,
}

/// Name of the action of [`RunInstances`].
pub(in super::super::super) const RUN: &str = "RunInstances";

impl RunInstances {
    /// The request for these machines.
    #[must_use]
    pub fn request(&self) -> Request<Started> {
        let parameters = Parameters::new()
            .optional("ImageId", self.image_id.as_ref())
            .optional("ImageFamily", self.image_family.as_ref())
            .text("InstanceType", &self.instance_type)
            .text("SecurityGroupId", &self.security_group_id)
            .text("VSwitchId", &self.v_switch_id)
            .text("Amount", self.amount)
            .text("MinAmount", 1)
            .text("InstanceName", &self.instance_name)
            .list("HostNames", &self.host_names)
            .tags(&self.tags)
            .text("InstanceChargeType", "PostPaid");
        let parameters = match &self.log_in {
            LogIn::Image => parameters,
            LogIn::KeyPair(name) => parameters.text("KeyPairName", name),
            LogIn::Password(password) => parameters.secret("Password", password),
        };
        let parameters = self.system_disk.parameters("SystemDisk", parameters);
        let parameters = self.data_disks.iter().zip(1_u32..).fold(parameters, |all, (disk, n)| {
            let name = format!("DataDisk.{n}");
            disk.parameters(&name, all).text(format!("{name}.DeleteWithInstance"), true)
        });
        Request::new(Product::Ecs, RUN, parameters)
    }
}

impl Disk {
    fn parameters(&self, name: &str, parameters: Parameters) -> Parameters {
        parameters.text(format!("{name}.Size"), self.size).text(format!("{name}.Category"), &self.category)
    }
}
