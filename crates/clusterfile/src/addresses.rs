//! Parses counts, addresses and ranges such as `192.168.0.2,192.168.0.4-192.168.0.6`.

use std::{net::IpAddr, ops::RangeInclusive};

use crate::ErrorKind;

/// The most hosts a cluster can have; Kubernetes itself supports no more.
pub const MAX_HOSTS: u32 = 5000;

/// What `--masters` or `--nodes` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachinesArg {
    /// So many machines, which a provider has to make.
    Count(u32),
    /// The machines at these addresses, in order, none twice.
    Addresses(Vec<IpAddr>),
}

/// Reads the value of `--masters` or `--nodes`: a count, or addresses and ranges `a-b` separated by commas.
///
/// # Errors
/// An [`ErrorKind`] that names the part of the text that is wrong: no address, a range of mixed families or backwards,
/// an address that is in the list twice, more than [`MAX_HOSTS`].
pub fn machines_or_addresses(text: &str) -> Result<MachinesArg, ErrorKind> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let count = text.parse().ok().filter(|count| *count <= MAX_HOSTS);
        return count.map(MachinesArg::Count).ok_or(ErrorKind::TooManyHosts);
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        for address in expand(part)? {
            if addresses.contains(&address) {
                return Err(ErrorKind::DuplicateAddress(address));
            }
            if addresses.len() >= MAX_HOSTS as usize {
                return Err(ErrorKind::TooManyHosts);
            }
            addresses.push(address);
        }
    }
    Ok(MachinesArg::Addresses(addresses))
}

/// The addresses of one entry: itself, or all from the first to the last of a range.
pub(crate) fn expand(entry: &str) -> Result<Vec<IpAddr>, ErrorKind> {
    let Some((first, last)) = entry.split_once('-') else {
        return Ok(vec![host_address(entry)?]);
    };
    let (first, last) = (host_address(first.trim())?, host_address(last.trim())?);
    let count = |range: RangeInclusive<u128>| {
        let backwards = range.is_empty();
        let long = range.end().saturating_sub(*range.start()) >= u128::from(MAX_HOSTS);
        if backwards {
            return Err(ErrorKind::RangeBackwards(entry.to_owned()));
        }
        if long { Err(ErrorKind::TooManyHosts) } else { Ok(range) }
    };
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            count(first.to_bits().into()..=last.to_bits().into())?;
            (first.to_bits()..=last.to_bits()).map(|bits| checked(IpAddr::V4(bits.into()))).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            count(first.to_bits()..=last.to_bits())?.map(|bits| checked(IpAddr::V6(bits.into()))).collect()
        }
        _ => Err(ErrorKind::RangeFamilies(entry.to_owned())),
    }
}

fn host_address(text: &str) -> Result<IpAddr, ErrorKind> {
    checked(text.parse().map_err(|_| ErrorKind::Address(text.to_owned()))?)
}

/// An address that a single host can have.
pub(crate) fn checked(address: IpAddr) -> Result<IpAddr, ErrorKind> {
    let broadcast = matches!(address, IpAddr::V4(four) if four.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(ErrorKind::NotAHostAddress(address));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        match machines_or_addresses(text).unwrap() {
            MachinesArg::Addresses(list) => list.iter().map(ToString::to_string).collect(),
            MachinesArg::Count(count) => panic!("{text} is the count {count}"),
        }
    }

    #[test]
    fn counts_and_addresses_are_told_apart() {
        assert_eq!(machines_or_addresses(" 3 "), Ok(MachinesArg::Count(3)));
        assert_eq!(machines_or_addresses("0"), Ok(MachinesArg::Count(0)));
        assert_eq!(addresses("192.168.0.2"), ["192.168.0.2"]);
        assert_eq!(
            addresses("192.168.0.2, 192.168.0.254-192.168.1.1"),
            ["192.168.0.2", "192.168.0.254", "192.168.0.255", "192.168.1.0", "192.168.1.1"]
        );
        assert_eq!(addresses("fd00::1-fd00::3"), ["fd00::1", "fd00::2", "fd00::3"]);
        assert_eq!(addresses("fd00::9,10.0.0.1"), ["fd00::9", "10.0.0.1"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| machines_or_addresses(text).unwrap_err();
        assert_eq!(error(""), ErrorKind::Address(String::new()));
        assert_eq!(error("10.0.0.1,"), ErrorKind::Address(String::new()));
        assert_eq!(error("10.0.0"), ErrorKind::Address("10.0.0".into()));
        assert_eq!(error("10.0.0.3-5"), ErrorKind::Address("5".into()));
        assert_eq!(error("10.0.0.3-10.0.0.1"), ErrorKind::RangeBackwards("10.0.0.3-10.0.0.1".into()));
        assert_eq!(error("10.0.0.3-fd00::1"), ErrorKind::RangeFamilies("10.0.0.3-fd00::1".into()));
        assert_eq!(error("10.0.0.1,10.0.0.0-10.0.0.2"), ErrorKind::DuplicateAddress([10, 0, 0, 1].into()));
        assert_eq!(error("0.0.0.0"), ErrorKind::NotAHostAddress([0, 0, 0, 0].into()));
        for long in [
            "5001",
            "99999999999999999999",
            "10.0.0.0-10.255.255.255",
            "1::-2::",
            "10.0.0.0-10.0.15.255,10.1.0.0-10.1.15.255",
        ] {
            assert_eq!(error(long), ErrorKind::TooManyHosts, "{long}");
        }
    }
}
