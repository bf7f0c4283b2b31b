//! Networks of addresses, and elastic addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

/// A network such as `172.16.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    base: u32,
    prefix: u32,
}

impl Cidr {
    fn last(self) -> u32 {
        self.base | u32::MAX.checked_shr(self.prefix).unwrap_or(0)
    }

    pub(crate) fn prefix(self) -> u32 {
        self.prefix
    }

    pub(crate) fn contains(self, other: Cidr) -> bool {
        other.base >= self.base && other.last() <= self.last()
    }

    pub(crate) fn overlaps(self, other: Cidr) -> bool {
        self.base <= other.last() && other.base <= self.last()
    }

    /// Addresses for machines: all but the first and the last three.
    pub(crate) fn usable(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.base + 1..self.last().saturating_sub(2)).map(Ipv4Addr::from)
    }

    pub(crate) fn is_usable(self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        address > self.base && address < self.last().saturating_sub(2)
    }
}

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Cidr, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: Ipv4Addr = address.parse().map_err(|_| ())?;
        let prefix: u32 = prefix.parse().map_err(|_| ())?;
        let base = u32::from(address);
        if prefix > 32 || base & u32::MAX.checked_shr(prefix).unwrap_or(0) != 0 {
            return Err(());
        }
        Ok(Cidr { base, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// An address for the outside.
#[derive(Debug, Clone)]
pub(crate) struct Eip {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) bandwidth: u32,
    pub(crate) charge: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created: String,
    pub(crate) state: EipState,
    pub(crate) foreign: bool,
}

/// What an EIP is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EipState {
    Available,
    Associating { instance: String, until: Duration, fails: bool },
    InUse { instance: String },
    Unassociating { instance: String, until: Duration },
}

impl Eip {
    pub(crate) fn status(&self) -> &'static str {
        match self.state {
            EipState::Available => "Available",
            EipState::Associating { .. } => "Associating",
            EipState::InUse { .. } => "InUse",
            EipState::Unassociating { .. } => "Unassociating",
        }
    }

    /// The instance that it is bound to, or is being bound to or unbound from.
    pub(crate) fn instance(&self) -> Option<&str> {
        match &self.state {
            EipState::Available => None,
            EipState::Associating { instance, .. }
            | EipState::InUse { instance }
            | EipState::Unassociating { instance, .. } => Some(instance),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_know_their_addresses() {
        let network: Cidr = "172.16.0.0/24".parse().unwrap();
        let usable: Vec<Ipv4Addr> = network.usable().collect();
        assert_eq!((usable.len(), usable[0].octets()[3], usable[251].octets()[3]), (252, 1, 252));
        assert!(!network.is_usable("172.16.0.253".parse().unwrap()));
        assert!("172.16.0.1/24".parse::<Cidr>().is_err());
        let outer: Cidr = "172.16.0.0/12".parse().unwrap();
        assert!(outer.contains(network) && !network.contains(outer) && outer.overlaps(network));
        assert!(!network.overlaps("172.16.1.0/24".parse().unwrap()));
    }
}
