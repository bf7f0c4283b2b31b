//! Address blocks of pods and services, and the network plugin.

use std::{fmt, net::IpAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::ErrorKind;

/// The network of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Network {
    /// The network interface whose address a host uses, when it has several.
    pub interface: Option<String>,
    /// The addresses of pods, `100.64.0.0/10` when the file does not say.
    #[serde(rename = "podCIDR")]
    #[schemars(with = "Option<String>")]
    pub pod_cidr: CidrList,
    /// The addresses of services, `10.96.0.0/22` when the file does not say.
    #[serde(rename = "svcCIDR")]
    #[schemars(with = "Option<String>")]
    pub service_cidr: CidrList,
    /// The network plugin wanted by name; the image decides when absent.
    pub cni_name: Option<String>,
    /// Whether the image's network plugin is left out.
    #[serde(rename = "withoutCNI", skip_serializing_if = "std::ops::Not::not")]
    #[schemars(with = "Option<bool>")]
    pub without_cni: bool,
}

impl Default for Network {
    fn default() -> Self {
        let v4 = |a, b, prefix| CidrList(vec![Cidr { address: IpAddr::from([a, b, 0, 0]), prefix }]);
        Self {
            interface: None,
            pod_cidr: v4(100, 64, 10),
            service_cidr: v4(10, 96, 22),
            cni_name: None,
            without_cni: false,
        }
    }
}

impl Network {
    /// The addresses of pods that were asked for; `None` when nobody said anything, so that the image may.
    #[must_use]
    pub fn asked_pod_cidr(&self) -> Option<&CidrList> {
        Some(&self.pod_cidr).filter(|cidr| **cidr != Self::default().pod_cidr)
    }

    /// The same for the addresses of services.
    #[must_use]
    pub fn asked_service_cidr(&self) -> Option<&CidrList> {
        Some(&self.service_cidr).filter(|cidr| **cidr != Self::default().service_cidr)
    }
}

/// An address block such as `10.96.0.0/22`. The host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The first address of the block.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that all addresses of the block share.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether an address lies in the block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// Whether the two blocks share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The address so many steps after the first one, if it is still in the block.
    ///
    /// The API server's service address is the 1st, the cluster's DNS the 10th.
    #[must_use]
    pub fn nth(&self, steps: u32) -> Option<IpAddr> {
        let address = match self.address {
            IpAddr::V4(first) => IpAddr::V4(first.to_bits().checked_add(steps)?.into()),
            IpAddr::V6(first) => IpAddr::V6(first.to_bits().checked_add(steps.into())?.into()),
        };
        self.contains(address).then_some(address)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = ErrorKind;

    fn from_str(text: &str) -> Result<Self, ErrorKind> {
        let malformed = || ErrorKind::Cidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(malformed());
        }
        let block = Self { address: masked(address, prefix), prefix };
        if block.address != address {
            return Err(ErrorKind::CidrHostBits { given: text.to_owned(), meant: block.to_string() });
        }
        Ok(block)
    }
}

/// One block, or one IPv4 and one IPv6 block for a dual-stack cluster. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidrList(Vec<Cidr>);

impl CidrList {
    /// The block that comes first; it decides the address family of the cluster.
    #[must_use]
    pub fn primary(&self) -> Cidr {
        self.0[0]
    }

    /// The blocks in order.
    pub fn iter(&self) -> impl Iterator<Item = &Cidr> {
        self.0.iter()
    }

    /// The first two blocks that share an address.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Option<(Cidr, Cidr)> {
        let pairs = self.0.iter().flat_map(|own| other.0.iter().map(move |theirs| (*own, *theirs)));
        pairs.into_iter().find(|(own, theirs)| own.overlaps(theirs))
    }

    /// Whether there is a block of each family.
    #[must_use]
    pub fn is_dual_stack(&self) -> bool {
        self.0.len() == 2
    }
}

impl Serialize for CidrList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for CidrList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, block) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            write!(formatter, "{block}")?;
        }
        Ok(())
    }
}

impl FromStr for CidrList {
    type Err = ErrorKind;

    fn from_str(text: &str) -> Result<Self, ErrorKind> {
        let mut blocks: Vec<Cidr> = Vec::new();
        for part in text.split(',') {
            let block: Cidr = part.trim().parse()?;
            if blocks.iter().any(|known| known.address.is_ipv4() == block.address.is_ipv4()) {
                return Err(ErrorKind::CidrFamily(text.to_owned()));
            }
            blocks.push(block);
        }
        Ok(Self(blocks))
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_know_their_addresses() {
        let block: Cidr = "10.96.0.0/22".parse().unwrap();
        assert!(block.contains("10.96.3.255".parse().unwrap()));
        assert!(!block.contains("10.96.4.0".parse().unwrap()));
        assert!(!block.contains("::1".parse().unwrap()));
        assert_eq!(block.nth(10), Some("10.96.0.10".parse().unwrap()));
        assert_eq!(block.nth(1024), None);
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().overlaps(&block));
        let six: Cidr = "fd00:10:96::/112".parse().unwrap();
        assert_eq!(six.nth(1), Some("fd00:10:96::1".parse().unwrap()));
    }

    #[test]
    fn malformed_blocks_are_refused() {
        for text in ["", "10.96.0.0", "10.96.0.0/33", "10.96.0.0/", "10.96.0.0/+8", "10.96.0/22", "::/129", "a/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(ErrorKind::Cidr(text.to_owned())), "{text}");
        }
        let meant = "10.96.0.0/22".to_owned();
        assert_eq!(
            "10.96.0.1/22".parse::<Cidr>(),
            Err(ErrorKind::CidrHostBits { given: "10.96.0.1/22".into(), meant })
        );
    }

    #[test]
    fn lists_hold_one_block_of_each_family() {
        let list: CidrList = "100.64.0.0/10, fd00::/48".parse().unwrap();
        assert!(list.is_dual_stack());
        assert_eq!(list.to_string(), "100.64.0.0/10,fd00::/48");
        assert!("10.0.0.0/16,10.1.0.0/16".parse::<CidrList>().is_err());
        assert!("10.0.0.0/16,".parse::<CidrList>().is_err());
    }
}
