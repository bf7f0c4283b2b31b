//! VPCs, vSwitches and security groups.

use std::time::Duration;

use super::{Cidr, over};

/// A network of the account.
#[derive(Debug, Clone)]
pub(crate) struct Vpc {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) cidr: Cidr,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created: String,
    pub(crate) ready_at: Duration,
    /// A vSwitch was deleted and is not forgotten before this.
    pub(crate) busy_until: Duration,
    pub(crate) foreign: bool,
}

impl Vpc {
    pub(crate) fn status(&self, now: Duration) -> &'static str {
        if over(self.ready_at, now) { "Available" } else { "Pending" }
    }
}

/// A part of a VPC in one zone.
#[derive(Debug, Clone)]
pub(crate) struct VSwitch {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) vpc: String,
    pub(crate) zone: String,
    pub(crate) cidr: Cidr,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created: String,
    pub(crate) ready_at: Duration,
    pub(crate) foreign: bool,
}

impl VSwitch {
    pub(crate) fn status(&self, now: Duration) -> &'static str {
        if over(self.ready_at, now) { "Available" } else { "Pending" }
    }
}

/// Rules for the machines of a VPC.
#[derive(Debug, Clone)]
pub(crate) struct SecurityGroup {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) vpc: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created: String,
    pub(crate) rules: Vec<Rule>,
    pub(crate) foreign: bool,
}

/// Who may reach which ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) protocol: String,
    pub(crate) ports: String,
    /// A network or a group.
    pub(crate) source: String,
    pub(crate) from_group: bool,
    pub(crate) policy: String,
    pub(crate) priority: u32,
}
