//! Holds everything that exists, and its state.

mod address;
mod instance;
mod network;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use address::{Cidr, Eip, EipState};
pub(crate) use instance::{Disk, Instance, Phase};
pub(crate) use network::{Rule, SecurityGroup, VSwitch, Vpc};

use crate::failure::{Failure, Outcome};
use crate::options::Options;

/// A public key by name.
#[derive(Debug, Clone)]
pub(crate) struct KeyPair {
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) public_key: Option<String>,
    pub(crate) fingerprint: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) foreign: bool,
}

/// Everything of the account. An action works on a copy, which counts only when the action succeeds.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) options: Arc<Options>,
    pub(crate) vpcs: Vec<Vpc>,
    pub(crate) vswitches: Vec<VSwitch>,
    pub(crate) groups: Vec<SecurityGroup>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) eips: Vec<Eip>,
    pub(crate) key_pairs: Vec<KeyPair>,
    /// Disks that outlived their instance.
    pub(crate) disks: Vec<Disk>,
    /// Instances that were ever made.
    pub(crate) instances_made: usize,
    /// Whether instances wait for somebody to make them real.
    pub(crate) hooked: bool,
    /// Instances whose machines are to be made or destroyed, and addresses that were bound.
    pub(crate) tasks: Vec<Task>,
    next_id: u64,
    next_eip: u32,
}

/// Something to do outside of the double.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    Start(String),
    Release(String),
    Bind { instance: String, eip: std::net::Ipv4Addr },
}

impl World {
    pub(crate) fn new(options: Arc<Options>) -> World {
        let next_eip = u32::from(options.first_eip);
        World {
            options,
            vpcs: Vec::new(),
            vswitches: Vec::new(),
            groups: Vec::new(),
            instances: Vec::new(),
            eips: Vec::new(),
            key_pairs: Vec::new(),
            disks: Vec::new(),
            instances_made: 0,
            hooked: false,
            tasks: Vec::new(),
            next_id: 0,
            next_eip,
        }
    }

    /// An id as the cloud makes them: a prefix and twenty letters and digits.
    pub(crate) fn fresh_id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}-{}{}", letters(self.next_id, 10), letters(self.next_id ^ 0x5eed, 10))
    }

    /// The next address of the outside.
    pub(crate) fn fresh_eip(&mut self) -> std::net::Ipv4Addr {
        self.next_eip += 1;
        std::net::Ipv4Addr::from(self.next_eip - 1)
    }

    /// Zones of a region.
    pub(crate) fn zones(&self, region: &str) -> Vec<String> {
        self.options.zones.iter().map(|letter| format!("{region}-{letter}")).collect()
    }

    pub(crate) fn vpc(&mut self, region: &str, id: &str) -> Outcome<&mut Vpc> {
        let found = self.vpcs.iter_mut().find(|vpc| vpc.id == id && is_in(&vpc.region, region));
        found.ok_or_else(|| Failure::not_found("InvalidVpcId.NotFound", id))
    }

    pub(crate) fn vswitch(&mut self, region: &str, id: &str) -> Outcome<&mut VSwitch> {
        let found = self.vswitches.iter_mut().find(|vswitch| vswitch.id == id && is_in(&vswitch.region, region));
        found.ok_or_else(|| Failure::not_found("InvalidVSwitchId.NotFound", id))
    }

    pub(crate) fn group(&mut self, region: &str, id: &str) -> Outcome<&mut SecurityGroup> {
        let found = self.groups.iter_mut().find(|group| group.id == id && is_in(&group.region, region));
        found.ok_or_else(|| Failure::not_found("InvalidSecurityGroupId.NotFound", id))
    }

    pub(crate) fn instance(&mut self, region: &str, id: &str) -> Outcome<&mut Instance> {
        let found = self.instances.iter_mut().find(|instance| instance.id == id && is_in(&instance.region, region));
        found.ok_or_else(|| Failure::not_found("InvalidInstanceId.NotFound", id))
    }

    pub(crate) fn eip(&mut self, region: &str, id: &str) -> Outcome<&mut Eip> {
        let found = self.eips.iter_mut().find(|eip| eip.id == id && is_in(&eip.region, region));
        found.ok_or_else(|| Failure::not_found("InvalidAllocationId.NotFound", id))
    }

    /// Everything that somebody would have to pay for or clean up, but for what belongs to the user.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.instances.iter().map(|i| format!("instance {} ({}, {:?})", i.id, i.name, i.phase)));
        found.extend(self.disks.iter().map(|disk| format!("disk of {} ({} GiB)", disk.instance, disk.size)));
        found.extend(self.eips.iter().filter(|e| !e.foreign).map(|e| format!("eip {} ({})", e.id, e.address)));
        found.extend(self.groups.iter().filter(|g| !g.foreign).map(|g| format!("security group {}", g.id)));
        found.extend(self.vswitches.iter().filter(|v| !v.foreign).map(|v| format!("vswitch {}", v.id)));
        found.extend(self.vpcs.iter().filter(|v| !v.foreign).map(|v| format!("vpc {}", v.id)));
        found.extend(self.key_pairs.iter().filter(|k| !k.foreign).map(|k| format!("key pair {}", k.name)));
        found
    }

    /// How many of each exist, by tag; for tests that look at what was made.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            ("vpcs", self.vpcs.len()),
            ("vswitches", self.vswitches.len()),
            ("security groups", self.groups.len()),
            ("instances", self.instances.len()),
            ("eips", self.eips.len()),
            ("key pairs", self.key_pairs.len()),
        ])
    }
}

/// Whether something of `region` is meant by a call for `wanted`; some calls name no region.
fn is_in(region: &str, wanted: &str) -> bool {
    wanted.is_empty() || region == wanted
}

/// Letters and digits that look random and depend on nothing but `seed`.
pub(crate) fn letters(seed: u64, count: usize) -> String {
    const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        state ^= state >> 30;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x94d0_49bb_1331_11eb);
        text.push(char::from(ALPHABET[usize::try_from((state >> 33) % 36).unwrap_or_default()]));
    }
    text
}

/// Whether `now` is past the end of a state.
pub(crate) fn over(until: Duration, now: Duration) -> bool {
    now >= until
}
