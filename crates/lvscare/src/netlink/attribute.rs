//! Writes, reads and compares trees of netlink attributes.
//!
//! An attribute is a length (16 bits, its own header of four bytes included), a type (16 bits, of which the upper two
//! are marks) and a payload, padded to a multiple of four bytes (`include/uapi/linux/netlink.h`).

use netlink_packet_core::{NLA_F_NESTED, NlasIterator};

/// Bytes of the header.
const HEADER: usize = 4;

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    kind: u16,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Bytes(Vec<u8>),
    Nested(Vec<Attribute>),
}

impl Attribute {
    /// One with these bytes.
    pub(crate) fn bytes(kind: u16, bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind, value: Value::Bytes(bytes.into()) }
    }

    /// One with a number of 32 bits in network order.
    pub(crate) fn u32(kind: u16, number: u32) -> Self {
        Self::bytes(kind, number.to_be_bytes())
    }

    /// One with text, closed by a zero byte.
    pub(crate) fn text(kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        Self::bytes(kind, bytes)
    }

    /// One that holds others.
    pub(crate) fn nested(kind: u16, attributes: Vec<Self>) -> Self {
        Self { kind, value: Value::Nested(attributes) }
    }

    /// Appends the attribute to `out`. What it holds must be shorter than 64 KiB.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; HEADER]);
        let kind = match &self.value {
            Value::Bytes(bytes) => {
                out.extend(bytes);
                self.kind
            }
            Value::Nested(attributes) => {
                attributes.iter().for_each(|attribute| attribute.write(out));
                self.kind | NLA_F_NESTED
            }
        };
        let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
        out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        out[start + 2..start + HEADER].copy_from_slice(&kind.to_ne_bytes());
        out.resize(start + (out.len() - start).next_multiple_of(4), 0);
    }

    /// Whether `payload`, read from the kernel, holds what this attribute says. The kernel may add attributes of other
    /// types, never more of the same type.
    fn is_held_by(&self, payload: &[u8]) -> bool {
        match &self.value {
            Value::Bytes(bytes) => bytes == payload,
            Value::Nested(attributes) => Self::all_held_by(attributes, payload),
        }
    }

    /// Whether the attributes in `payload`, read from the kernel, say all that `wanted` says: for each type in
    /// `wanted` the same number of attributes with the same content in the same order.
    pub(crate) fn all_held_by(wanted: &[Self], payload: &[u8]) -> bool {
        wanted.iter().all(|one| {
            let wanted: Vec<_> = wanted.iter().filter(|other| other.kind == one.kind).collect();
            let held: Vec<_> = attributes(payload).filter(|(kind, _)| *kind == one.kind).collect();
            wanted.len() == held.len()
                && wanted.iter().zip(&held).all(|(wanted, (_, payload))| wanted.is_held_by(payload))
        })
    }
}

/// The attributes in `payload` by type; ends at the first one that is broken.
pub(crate) fn attributes(payload: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(payload).map_while(|attribute| {
        let attribute = attribute.ok()?;
        Some((attribute.kind(), attribute.into_inner().get(HEADER..usize::from(attribute.length()))?))
    })
}

/// The first attribute of this type.
pub(crate) fn find(payload: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(payload).find_map(|(other, value)| (other == kind).then_some(value))
}

/// The attribute at this path of types.
pub(crate) fn nested<'a>(payload: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter().try_fold(payload, |payload, kind| find(payload, *kind))
}

/// A number of 32 bits in network order.
pub(crate) fn u32_be(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(payload.try_into().ok()?))
}

/// A number of 16 bits in network order.
pub(crate) fn u16_be(payload: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(payload.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn tree() -> Attribute {
        Attribute::nested(4, vec![Attribute::text(1, "nat"), Attribute::u32(2, 7), Attribute::u32(2, 8)])
    }

    #[test]
    fn bytes_are_those_of_the_kernel() {
        let mut out = Vec::new();
        tree().write(&mut out);
        let wanted = [
            28, 0, 4, 0x80, // nested
            8, 0, 1, 0, b'n', b'a', b't', 0, // text
            8, 0, 2, 0, 0, 0, 0, 7, // first number
            8, 0, 2, 0, 0, 0, 0, 8, // second number
        ];
        assert_eq!(out, wanted);
    }

    #[test]
    fn an_odd_length_is_padded_but_not_counted() {
        let mut out = Vec::new();
        Attribute::bytes(3, [9]).write(&mut out);
        assert_eq!(out, [5, 0, 3, 0, 9, 0, 0, 0]);
        assert_eq!(attributes(&out).collect::<Vec<_>>(), [(3, &[9][..])]);
    }

    #[test]
    fn more_than_wanted_is_held_but_not_less_and_nothing_else() {
        let mut out = Vec::new();
        tree().write(&mut out);
        Attribute::u32(9, 1).write(&mut out);
        assert!(Attribute::all_held_by(&[tree()], &out));
        let other = Attribute::nested(4, vec![Attribute::u32(2, 8), Attribute::u32(2, 7)]);
        assert!(!Attribute::all_held_by(&[other], &out), "another order");
        let fewer = Attribute::nested(4, vec![Attribute::u32(2, 7)]);
        assert!(!Attribute::all_held_by(&[fewer], &out), "the kernel has one more of the type");
        assert!(!Attribute::all_held_by(&[tree(), tree()], &out), "the kernel has one less");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&bytes).count() <= bytes.len() / HEADER + 1);
            let _ = Attribute::all_held_by(&[tree()], &bytes);
            let _ = nested(&bytes, &[1, 2, 3]);
        }

        #[test]
        fn what_was_written_is_read(values in proptest::collection::vec((1u16..20, proptest::collection::vec(any::<u8>(), 0..9)), 0..9)) {
            let mut out = Vec::new();
            values.iter().for_each(|(kind, value)| Attribute::bytes(*kind, value.clone()).write(&mut out));
            let read: Vec<_> = attributes(&out).map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(read, values);
        }
    }
}
