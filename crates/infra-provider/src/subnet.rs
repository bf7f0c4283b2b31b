//! IPv4 networks as `a.b.c.d/len`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network, its host bits zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub(crate) base: u32,
    pub(crate) length: u8,
}

impl Subnet {
    /// The network of `length` bits around `address`.
    pub(crate) fn around(address: Ipv4Addr, length: u8) -> Self {
        let length = length.min(32);
        Self { base: u32::from(address) & mask(length), length }
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let mask = mask(self.length.min(other.length));
        self.base & mask == other.base & mask
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.length)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Subnet {
    type Err = ();

    /// Reads `a.b.c.d/len`; anything else, IPv6 included, is an error.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.trim().split_once('/').ok_or(())?;
        let address: Ipv4Addr = address.parse().map_err(|_| ())?;
        let length: u8 = length.parse().map_err(|_| ())?;
        if length > 32 { Err(()) } else { Ok(Self::around(address, length)) }
    }
}

/// The bits of an address that name its network.
pub(crate) fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}
