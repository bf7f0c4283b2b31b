//! Where an SSH server is: at an address, or at the addresses of a name.

use std::fmt;
use std::net::IpAddr;

/// Where an SSH server is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// At an address.
    Address(IpAddr),
    /// At the addresses of a DNS name; they are looked up when it is connected to.
    Name(String),
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}
