//! Writes and reads netlink attributes: a length, a type and a payload, padded to a multiple of four bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{Emitable as _, NLA_F_NESTED, NLA_HEADER_SIZE, NlasIterator};

use super::Attribute;

/// An attribute with these bytes.
pub(crate) fn bytes(kind: u16, bytes: impl Into<Vec<u8>>) -> Attribute {
    Attribute::new(kind, bytes.into())
}

/// An attribute with a number of 32 bits in network order.
pub(crate) fn u32(kind: u16, number: u32) -> Attribute {
    bytes(kind, number.to_be_bytes())
}

/// An attribute with text, closed by a zero byte.
pub(crate) fn text(kind: u16, text: &str) -> Attribute {
    bytes(kind, [text.as_bytes(), &[0]].concat())
}

/// An attribute that holds others, of less than 64 KiB together.
pub(crate) fn nested(kind: u16, attributes: &[Attribute]) -> Attribute {
    Attribute::new(kind | NLA_F_NESTED, encode(&[], attributes))
}

/// A fixed header and attributes, as the body of a message.
pub(crate) fn encode(header: &[u8], attributes: &[Attribute]) -> Vec<u8> {
    let mut body = header.to_vec();
    body.resize(header.len() + attributes.buffer_len(), 0);
    attributes.emit(&mut body[header.len()..]);
    body
}

/// The bytes of an IP address.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The attributes in `payload` by type, up to the first broken one.
pub(crate) fn attributes(payload: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(payload).map_while(|attribute| {
        let attribute = attribute.ok()?;
        Some((attribute.kind(), attribute.into_inner().get(NLA_HEADER_SIZE..usize::from(attribute.length()))?))
    })
}

/// The first attribute with this path of types.
pub(crate) fn find<'a>(payload: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(payload, |payload, kind| {
        attributes(payload).find_map(|(other, value)| (other == *kind).then_some(value))
    })
}

/// Whether the attributes in `told` say all that those in `wanted` say: for each type in `wanted` the same number of
/// attributes with the same content in the same order. Attributes of other types may be there.
pub(crate) fn says(told: &[u8], wanted: &[u8]) -> bool {
    NlasIterator::new(wanted).flatten().all(|one| {
        let alike = |all| attributes(all).filter(|(kind, _)| *kind == one.kind()).map(|(_, value)| value);
        let same = |(told, wanted)| if one.nested_flag() { says(told, wanted) } else { told == wanted };
        alike(told).count() == alike(wanted).count() && alike(told).zip(alike(wanted)).all(same)
    })
}

/// The IP address in these bytes.
pub(crate) fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|four| IpAddr::V4(Ipv4Addr::from(four)));
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|six| IpAddr::V6(Ipv6Addr::from(six)))).ok()
}

/// The port number in these bytes.
pub(crate) fn port_of(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_those_of_the_kernel() {
        let tree = nested(4, &[text(1, "nat"), u32(2, 7), bytes(3, [9])]);
        let wanted = [
            28, 0, 4, 0x80, // nested
            8, 0, 1, 0, b'n', b'a', b't', 0, // text
            8, 0, 2, 0, 0, 0, 0, 7, // number
            5, 0, 3, 0, 9, 0, 0, 0, // padded, which does not count
        ];
        let written = encode(&[], &[tree]);
        assert_eq!(written, wanted);
        assert_eq!(find(&written, &[4, 3]), Some(&[9][..]));
        assert_eq!(find(&written, &[4, 5]), None);
    }

    #[test]
    fn more_may_be_told_but_not_less_and_nothing_else() {
        let tree = |numbers: &[u32]| nested(4, &numbers.iter().map(|number| u32(2, *number)).collect::<Vec<_>>());
        let told = encode(&[], &[tree(&[7, 8]), u32(9, 1)]);
        let says = |wanted: &[Attribute]| says(&told, &encode(&[], wanted));
        assert!(says(&[tree(&[7, 8])]));
        assert!(!says(&[tree(&[8, 7])]), "another order");
        assert!(!says(&[tree(&[7])]), "one more of the type is told");
        assert!(!says(&[tree(&[7, 8]), tree(&[7, 8])]), "one less is told");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&bytes).count() <= bytes.len() / NLA_HEADER_SIZE + 1);
            let _ = (find(&bytes, &[1, 2, 3]), address_of(&bytes), port_of(&bytes), says(&bytes, &bytes));
        }

        #[test]
        fn what_was_written_is_read(values in proptest::collection::vec((1u16..20, proptest::collection::vec(any::<u8>(), 0..9)), 0..9)) {
            let written: Vec<_> = values.iter().map(|(kind, value)| bytes(*kind, value.clone())).collect();
            let written = encode(&[], &written);
            let read: Vec<_> = attributes(&written).map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(read, values);
        }
    }
}
