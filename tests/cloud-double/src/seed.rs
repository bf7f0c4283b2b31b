//! Creates resources that the user has already.

use crate::clock::timestamp;
use crate::double::Double;
use crate::world::{Cidr, Eip, EipState, KeyPair, SecurityGroup, VSwitch, Vpc};

impl Double {
    /// A VPC of the user; returns its id. To delete it is a violation.
    ///
    /// # Panics
    ///
    /// When `cidr` is no network.
    #[must_use]
    pub fn seed_vpc(&self, region: &str, cidr: &str) -> String {
        let (now, created) = (self.now(), timestamp(self.wall()));
        let world = &mut self.state().world;
        let id = world.fresh_id("vpc");
        world.vpcs.push(Vpc {
            id: id.clone(),
            region: region.to_string(),
            name: "the-users".to_string(),
            cidr: network(cidr),
            tags: Vec::new(),
            created,
            ready_at: now,
            busy_until: now,
            foreign: true,
        });
        id
    }

    /// A vSwitch of the user; returns its id. To delete it is a violation.
    ///
    /// # Panics
    ///
    /// When `cidr` is no network.
    #[must_use]
    pub fn seed_vswitch(&self, vpc: &str, zone: &str, cidr: &str) -> String {
        let (now, created) = (self.now(), timestamp(self.wall()));
        let world = &mut self.state().world;
        let id = world.fresh_id("vsw");
        let region = zone.rsplit_once('-').map_or(zone, |(region, _)| region);
        world.vswitches.push(VSwitch {
            id: id.clone(),
            region: region.to_string(),
            name: "the-users".to_string(),
            vpc: vpc.to_string(),
            zone: zone.to_string(),
            cidr: network(cidr),
            tags: Vec::new(),
            created,
            ready_at: now,
            foreign: true,
        });
        id
    }

    /// A security group of the user; returns its id. To delete it is a violation.
    #[must_use]
    pub fn seed_security_group(&self, region: &str, vpc: &str) -> String {
        let created = timestamp(self.wall());
        let world = &mut self.state().world;
        let id = world.fresh_id("sg");
        world.groups.push(SecurityGroup {
            id: id.clone(),
            region: region.to_string(),
            name: "the-users".to_string(),
            vpc: vpc.to_string(),
            tags: Vec::new(),
            created,
            rules: Vec::new(),
            foreign: true,
        });
        id
    }

    /// An EIP of the user; returns its id. To unbind or release it is a violation.
    #[must_use]
    pub fn seed_eip(&self, region: &str) -> String {
        let created = timestamp(self.wall());
        let world = &mut self.state().world;
        let (id, address) = (world.fresh_id("eip"), world.fresh_eip());
        world.eips.push(Eip {
            id: id.clone(),
            region: region.to_string(),
            name: "the-users".to_string(),
            address,
            bandwidth: 5,
            charge: "PayByTraffic".to_string(),
            tags: Vec::new(),
            created,
            state: EipState::Available,
            foreign: true,
        });
        id
    }

    /// A key pair of the user, by its public key in the form of OpenSSH. To delete it is a violation.
    pub fn seed_key_pair(&self, region: &str, name: &str, public_key: &str) {
        self.state().world.key_pairs.push(KeyPair {
            region: region.to_string(),
            name: name.to_string(),
            public_key: Some(public_key.to_string()),
            fingerprint: "the-users".to_string(),
            tags: Vec::new(),
            foreign: true,
        });
    }
}

fn network(cidr: &str) -> Cidr {
    cidr.parse().unwrap_or_else(|()| panic!("{cidr} is no network such as 172.16.0.0/24"))
}
