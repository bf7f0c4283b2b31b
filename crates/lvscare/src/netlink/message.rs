//! Frames netlink messages.
//!
//! A message is a header of 16 bytes (length, type, flags, sequence number, port) and a body, padded to a multiple of
//! four bytes (`netlink(7)`).

use super::Failure;
use super::attribute::find;

/// The message asks for something.
const REQUEST: u16 = 0x1;
/// The message wants a receipt.
pub(crate) const ACK: u16 = 0x4;
/// All objects are wanted, not one.
pub(crate) const DUMP: u16 = 0x300;
/// Make the object when there is none.
pub(crate) const CREATE: u16 = 0x400;
/// Put the object in the place of the one that is there.
pub(crate) const REPLACE: u16 = 0x100;
/// Fail when there is one.
pub(crate) const EXCLUSIVE: u16 = 0x200;

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// In an answer: what was listed changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// In a receipt: what was asked is not repeated in it.
const CAPPED: u16 = 0x100;
/// In a receipt: attributes with words about the failure follow.
const WORDED: u16 = 0x200;
const WORDS: u16 = 1;

/// A message to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// What is asked.
    pub(crate) kind: u16,
    /// How.
    pub(crate) flags: u16,
    /// About what.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Appends the message to `out`.
    pub(crate) fn write(&self, sequence: u32, out: &mut Vec<u8>) {
        let length = HEADER + self.body.len();
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        out.extend(self.kind.to_ne_bytes());
        out.extend((self.flags | REQUEST).to_ne_bytes());
        out.extend(sequence.to_ne_bytes());
        out.extend([0; 4]);
        out.extend(&self.body);
        out.resize(out.len() + length.next_multiple_of(4) - length, 0);
    }
}

/// An object that the kernel told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    /// What it is.
    pub(crate) kind: u16,
    /// Its description.
    pub(crate) body: &'a [u8],
}

/// One message of the kernel.
#[derive(Debug)]
pub(crate) enum Answer<'a> {
    /// An object.
    Object(Reply<'a>),
    /// The end of a list, or the receipt of one message.
    End(Result<(), Failure>),
}

/// The messages in a datagram with their sequence numbers; ends at the first one that is broken.
pub(crate) fn answers(mut datagram: &[u8]) -> impl Iterator<Item = (u32, Answer<'_>)> {
    std::iter::from_fn(move || {
        let length = usize::try_from(number(datagram, 0)?).ok()?;
        let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
        let flags = u16::from_ne_bytes(datagram.get(6..8)?.try_into().ok()?);
        let sequence = number(datagram, 8)?;
        let body = datagram.get(HEADER..length)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        let answer = match kind {
            _ if flags & INTERRUPTED != 0 => Answer::End(Err(Failure::Interrupted)),
            ERROR | DONE => Answer::End(receipt(body, kind, flags)),
            _ => Answer::Object(Reply { kind, body }),
        };
        Some((sequence, answer))
    })
}

/// What a receipt or the end of a list says. The error number is negative; a list may end without any.
fn receipt(body: &[u8], kind: u16, flags: u16) -> Result<(), Failure> {
    let errno = number(body, 0).map_or(0, |code| i32::from_ne_bytes(code.to_ne_bytes()));
    if errno == 0 {
        return Ok(());
    }
    Err(Failure::Errno { errno: errno.saturating_neg(), words: words(body, kind, flags).unwrap_or_default() })
}

/// The kernel's words about a failure, of which older kernels have none.
fn words(body: &[u8], kind: u16, flags: u16) -> Option<String> {
    if flags & WORDED == 0 {
        return None;
    }
    let repeated = match kind {
        DONE => 0,
        _ if flags & CAPPED != 0 => HEADER,
        _ => usize::try_from(number(body, 4)?).ok()?,
    };
    let attributes = body.get(4 + repeated.checked_next_multiple_of(4)?..)?;
    let text = find(attributes, WORDS)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').chars().filter(|letter| !letter.is_control()).collect())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_has_its_length_and_is_padded() {
        let mut out = Vec::new();
        Message { kind: 0xa10, flags: ACK, body: vec![1, 2, 3, 4, 5] }.write(7, &mut out);
        let wanted = [21, 0, 0, 0, 0x10, 0x0a, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0];
        assert_eq!(out, wanted);
    }

    #[test]
    fn a_receipt_tells_the_error_in_the_kernels_words() {
        let mut body = (-2i32).to_ne_bytes().to_vec();
        body.extend([0; HEADER]);
        super::super::Attribute::text(WORDS, "no such thing").write(&mut body);
        let mut out = Vec::new();
        Message { kind: ERROR, flags: CAPPED | WORDED, body }.write(3, &mut out);
        let answers: Vec<_> = answers(&out).collect();
        let [(3, Answer::End(Err(Failure::Errno { errno: 2, words })))] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(words, "no such thing");
    }

    #[test]
    fn an_interrupted_list_is_a_failure() {
        let mut out = Vec::new();
        Message { kind: 0xa06, flags: INTERRUPTED, body: vec![0; 4] }.write(3, &mut out);
        assert!(matches!(answers(&out).next().unwrap(), (3, Answer::End(Err(Failure::Interrupted)))));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(answers(&bytes).count() <= bytes.len() / HEADER + 1);
        }

        #[test]
        fn any_receipt_is_read_without_panic(flags: u16, body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = receipt(&body, ERROR, flags);
            let _ = receipt(&body, DONE, flags);
        }
    }
}
