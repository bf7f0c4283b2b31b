//! Options of the double: times, stock, quotas, faults.

use std::time::{Duration, SystemTime};

use crate::stock::{Image, InstanceType, StockRule, images, instance_types};
use crate::throttle::Throttle;

/// Everything that a test may choose before the double is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long states and calls take.
    pub timing: Timing,
    /// Who may call.
    pub keys: Vec<Key>,
    /// The time of day when the double is made; later it follows tokio's time. A caller whose clock is more than
    /// 15 minutes off is refused.
    pub wall_start: SystemTime,
    /// Regions that exist.
    pub regions: Vec<String>,
    /// Letters of the zones that each region has.
    pub zones: Vec<char>,
    /// Instance types that exist.
    pub instance_types: Vec<InstanceType>,
    /// What is not plentiful; the last rule that fits decides.
    pub stock: Vec<StockRule>,
    /// Whether a question for one zone's stock is answered with all zones.
    pub stock_of_all_zones: bool,
    /// Images that exist.
    pub images: Vec<Image>,
    /// How many of each may exist.
    pub quotas: Quotas,
    /// How often actions may be called.
    pub throttles: Vec<Throttle>,
    /// How long lists lag behind what was done.
    pub consistency: Consistency,
    /// Where addresses for the outside come from: this one, then the next.
    pub first_eip: std::net::Ipv4Addr,
    /// The RAM role of the machine that asks the metadata service; [`None`] when it has none.
    pub ram_role: Option<String>,
    /// How long credentials of the metadata service are good for.
    pub ram_role_lifetime: Duration,
}

impl Default for Options {
    fn default() -> Options {
        let regions = ["cn-beijing", "cn-chengdu", "cn-hangzhou", "cn-shanghai", "ap-southeast-1"];
        Options {
            timing: Timing::A,
            keys: vec![Key::new("testid", "testsecret")],
            wall_start: SystemTime::now(),
            regions: regions.map(String::from).to_vec(),
            zones: vec!['a', 'b', 'c'],
            instance_types: instance_types(),
            stock: Vec::new(),
            stock_of_all_zones: false,
            images: images(),
            quotas: Quotas::default(),
            throttles: Vec::new(),
            consistency: Consistency::default(),
            first_eip: std::net::Ipv4Addr::new(203, 0, 113, 10),
            ram_role: None,
            ram_role_lifetime: Duration::from_secs(6 * 3600),
        }
    }
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// One call, there and back; it takes effect half-way.
    pub call: Duration,
    /// A new VPC from `Pending` to `Available`.
    pub vpc: Duration,
    /// A new vSwitch from `Pending` to `Available`.
    pub vswitch: Duration,
    /// A new instance from `Pending` through `Starting` to `Running`; starting a stopped one takes two thirds.
    pub running: Duration,
    /// Binding or unbinding an EIP.
    pub eip: Duration,
    /// An instance from the call that deletes it until it is gone; stopping one takes as long.
    pub delete: Duration,
    /// A deleted vSwitch until the VPC forgets it.
    pub vswitch_delete: Duration,
}

impl Timing {
    /// The first profile: a quick day.
    pub const A: Timing = Timing {
        call: Duration::from_millis(150),
        vpc: Duration::from_secs(3),
        vswitch: Duration::from_secs(3),
        running: Duration::from_secs(10),
        eip: Duration::from_secs(2),
        delete: Duration::from_secs(4),
        vswitch_delete: Duration::ZERO,
    };
    /// The second profile: a slow day.
    pub const B: Timing = Timing {
        call: Duration::from_millis(250),
        vpc: Duration::from_secs(5),
        vswitch: Duration::from_secs(4),
        running: Duration::from_secs(15),
        eip: Duration::from_secs(3),
        delete: Duration::from_secs(8),
        vswitch_delete: Duration::ZERO,
    };

    /// The same day, `factor` times as slow.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Timing {
        let scale = |time: Duration| time.mul_f64(factor.max(0.0));
        Timing {
            call: scale(self.call),
            vpc: scale(self.vpc),
            vswitch: scale(self.vswitch),
            running: scale(self.running),
            eip: scale(self.eip),
            delete: scale(self.delete),
            vswitch_delete: scale(self.vswitch_delete),
        }
    }
}

/// An access key that the double knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Public half.
    pub id: String,
    /// Secret half.
    pub secret: String,
    /// The token that must come with a temporary key.
    pub token: Option<String>,
    /// When a temporary key ends, counted from the making of the double.
    pub expires: Option<Duration>,
}

impl Key {
    /// A key that never ends.
    #[must_use]
    pub fn new(id: &str, secret: &str) -> Key {
        Key { id: id.to_string(), secret: secret.to_string(), token: None, expires: None }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Key {{ id: {:?}, secret: *** }}", self.id)
    }
}

/// How many of each may exist in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// VPCs; more is `QuotaExceeded.Vpc`.
    pub vpcs: usize,
    /// vSwitches of one VPC; more is `QuotaExceeded.VSwitch`.
    pub vswitches: usize,
    /// Security groups; more is `QuotaExceed.SecurityGroup`.
    pub security_groups: usize,
    /// EIPs; more is `QuotaExceeded.Eip`.
    pub eips: usize,
    /// Virtual processors of all instances of one type; more is `QuotaExceed.ElasticQuota`.
    pub cpus_of_type: u32,
    /// Instances; more is `QuotaExceeded.Instance`.
    pub instances: usize,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas { vpcs: 10, vswitches: 150, security_groups: 100, eips: 20, cpus_of_type: 4000, instances: 1000 }
    }
}

/// How long `DescribeInstances` lags behind; each counted from the making of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consistency {
    /// It is not listed at all.
    pub missing: Duration,
    /// Its list of network interfaces is empty.
    pub without_interfaces: Duration,
    /// Its address is the empty text.
    pub without_address: Duration,
    /// It shows the address of the first instance of the same call.
    pub repeated_address: Duration,
}
