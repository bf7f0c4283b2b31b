//! Orders instances.

use std::net::Ipv4Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clusterfile::Secret;
use serde::Deserialize;

use super::super::answer::list;
use super::super::{Action, Parameters, Product, Tag};

/// Makes and starts machines of one kind: all of `amount`, or none, unless `min_amount` allows fewer.
#[derive(Debug, Clone, Default)]
pub struct RunInstances {
    /// Token of this act, at most 64 characters.
    pub client_token: String,
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
    /// How few are still a success.
    pub min_amount: Option<u32>,
    /// Name in the console; `prefix[begin,bits]suffix` numbers them.
    pub instance_name: Option<String>,
    /// Host name; also a pattern.
    pub host_name: Option<String>,
    /// A host name for each; excludes `host_name`.
    pub host_names: Vec<String>,
    /// Whether numbers are added behind a name that has no pattern.
    pub unique_suffix: bool,
    /// How one logs in.
    pub log_in: LogIn,
    /// The system disk; the image's own size and the type's own category if left out.
    pub system_disk: Option<Disk>,
    /// Data disks; they go with the machine.
    pub data_disks: Vec<Disk>,
    /// Tags of machines, disks and primary interfaces, at most 20.
    pub tags: Vec<Tag>,
    /// What cloud-init is told, at most 16 KB.
    pub user_data: Option<Secret>,
    /// Bandwidth of a public address of its own in Mbit/s.
    pub internet_max_bandwidth_out: Option<u32>,
    /// Address of the first machine; the others get the following ones.
    pub private_ip_address: Option<Ipv4Addr>,
    /// `PostPaid` or `PrePaid`.
    pub instance_charge_type: Option<String>,
    /// `SpotAsPriceGo` and the like.
    pub spot_strategy: Option<String>,
    /// When they end by themselves, at least half an hour ahead, as `2026-11-23T16:00:00Z`.
    pub auto_release_time: Option<String>,
    /// Only check; success is the failure of class [`DryRun`](super::super::Class::DryRun).
    pub dry_run: bool,
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
    pub size: Option<u32>,
    /// Its category, for example `cloud_essd`.
    pub category: Option<String>,
    /// `PL0` to `PL3`, for `cloud_essd`.
    pub performance_level: Option<String>,
}

/// Machines were ordered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Started {
    /// Their ids; `DescribeInstances` may not know them yet.
    #[serde(rename = "InstanceIdSets", deserialize_with = "list")]
    pub instance_ids: Vec<String>,
}

impl Action for RunInstances {
    const NAME: &'static str = "RunInstances";
    const PRODUCT: Product = Product::Ecs;
    type Answer = Started;

    fn parameters(&self) -> Parameters {
        let parameters = Parameters::new()
            .token(&self.client_token)
            .optional("ImageId", self.image_id.as_ref())
            .optional("ImageFamily", self.image_family.as_ref())
            .text("InstanceType", &self.instance_type)
            .text("SecurityGroupId", &self.security_group_id)
            .text("VSwitchId", &self.v_switch_id)
            .text("Amount", self.amount)
            .optional("MinAmount", self.min_amount)
            .optional("InstanceName", self.instance_name.as_ref())
            .optional("HostName", self.host_name.as_ref())
            .list("HostNames", &self.host_names)
            .flag("UniqueSuffix", self.unique_suffix)
            .tags(&self.tags)
            .optional("InternetMaxBandwidthOut", self.internet_max_bandwidth_out)
            .optional("PrivateIpAddress", self.private_ip_address)
            .optional("InstanceChargeType", self.instance_charge_type.as_ref())
            .optional("SpotStrategy", self.spot_strategy.as_ref())
            .optional("AutoReleaseTime", self.auto_release_time.as_ref())
            .flag("DryRun", self.dry_run);
        self.secrets(self.disks(parameters))
    }
}

impl RunInstances {
    fn disks(&self, mut parameters: Parameters) -> Parameters {
        if let Some(disk) = &self.system_disk {
            parameters = disk.parameters("SystemDisk", parameters);
        }
        for (disk, n) in self.data_disks.iter().zip(1_u32..) {
            let name = format!("DataDisk.{n}");
            parameters = disk.parameters(&name, parameters).text(format!("{name}.DeleteWithInstance"), true);
        }
        parameters
    }

    fn secrets(&self, parameters: Parameters) -> Parameters {
        let parameters = match &self.log_in {
            LogIn::Image => parameters,
            LogIn::KeyPair(name) => parameters.text("KeyPairName", name),
            LogIn::Password(password) => parameters.secret("Password", password),
        };
        match &self.user_data {
            Some(data) => parameters.secret("UserData", &STANDARD.encode(data.expose()).into()),
            None => parameters,
        }
    }
}

impl Disk {
    fn parameters(&self, name: &str, parameters: Parameters) -> Parameters {
        parameters
            .optional(format!("{name}.Size"), self.size)
            .optional(format!("{name}.Category"), self.category.as_ref())
            .optional(format!("{name}.PerformanceLevel"), self.performance_level.as_ref())
    }
}
