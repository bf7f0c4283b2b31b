//! Finds the blobs of an OCI archive in its tar, without unpacking it.

use super::{Found, LIMIT, Place, names};
use crate::error::{Error, Result};
use content_store::Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Headers and padding of a tar.
const BLOCK: u64 = 512;
/// The longest extended header that is read; what is longer names no blob.
const EXTENSION_LIMIT: u64 = 64 << 10;

/// Reads the headers of the archive, and the documents that name its images.
pub(super) fn scan(path: &Path) -> Result<Found> {
    let mut found = Found::default();
    let members = members(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => refused(path, error.to_string()),
        _ => Error::file("read", path)(error),
    })?;
    let mut index = None;
    for (name, place) in members {
        let mut parts = name.trim_start_matches("./").split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("index.json"), None, ..) => index = Some(place),
            (Some("blobs"), Some(algorithm), Some(hex), None) => {
                if let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() {
                    found.blobs.insert(digest, place);
                }
            }
            _ => {}
        }
    }
    let index = index.ok_or_else(|| refused(path, "it has no index.json, so it is no OCI archive"))?;
    // The digest of the index is not known; it is only read.
    let bytes = index.document(Digest::of(b"")).map_err(Error::file("read", path))?;
    found.names = names::of_index(&bytes, &found.blobs);
    Ok(found)
}

fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Store { path: path.to_owned(), reason: reason.into() }
}

/// The files of the archive by their names.
fn members(path: &Path) -> io::Result<BTreeMap<String, Place>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let (mut members, mut at) = (BTreeMap::new(), 0);
    let mut extended = Extended::default();
    while at + BLOCK <= length {
        let mut header = [0; BLOCK as usize];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(members);
        }
        let header = Header::parse(&header)?;
        let start = at + BLOCK;
        let size = if header.kind == b'x' { header.size } else { extended.size.unwrap_or(header.size) };
        let end = start.checked_add(size).filter(|end| *end <= length).ok_or_else(|| broken("it is cut off"))?;
        match header.kind {
            b'x' if size <= EXTENSION_LIMIT => extended = Extended::read(&mut file, size)?,
            b'L' => {}
            b'0' | 0 => {
                let Extended { path: long, .. } = std::mem::take(&mut extended);
                if members.len() >= LIMIT {
                    return Err(broken("it has too many files"));
                }
                let place = Place { path: path.to_owned(), range: start..end };
                members.insert(long.unwrap_or(header.name), place);
            }
            _ => extended = Extended::default(),
        }
        at = end.next_multiple_of(BLOCK);
    }
    Ok(members)
}

fn broken(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

struct Header {
    name: String,
    size: u64,
    kind: u8,
}

impl Header {
    fn parse(block: &[u8; BLOCK as usize]) -> io::Result<Self> {
        match block {
            [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                return Err(broken("it is compressed, and can only be served in place when it is not"));
            }
            _ => {}
        }
        let sum =
            block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) });
        if octal(&block[148..156]) != Some(sum.sum()) {
            return Err(broken("it is no tar"));
        }
        let text = |range: std::ops::Range<usize>| {
            let field = &block[range];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).into_owned()
        };
        let (name, prefix) = (text(0..100), text(345..500));
        let is_ustar = &block[257..263] == b"ustar\0";
        let name = if is_ustar && !prefix.is_empty() { format!("{prefix}/{name}") } else { name };
        let size = number(&block[124..136]).ok_or_else(|| broken("a size in it is no number"))?;
        Ok(Self { name, size, kind: block[156] })
    }
}

/// What an extended header says of the next file.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    size: Option<u64>,
}

impl Extended {
    fn read(file: &mut File, size: u64) -> io::Result<Self> {
        let mut text = String::new();
        file.take(size).read_to_string(&mut text)?;
        let mut extended = Self::default();
        for record in text.lines() {
            // `length key=value`
            match record.split_once(' ').and_then(|(_, record)| record.split_once('=')) {
                Some(("path", path)) => extended.path = Some(path.to_owned()),
                Some(("size", size)) => extended.size = size.parse().ok(),
                _ => {}
            }
        }
        Ok(extended)
    }
}

/// A number in octal digits, or in base 256 when its first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
            let is_small = first & 0x7f == 0 && high.iter().all(|byte| *byte == 0);
            is_small.then(|| low.try_into().ok().map(u64::from_be_bytes)).flatten()
        }
        digits => octal(digits),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"00000000017\0"), Some(15));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]), Some((2 << 32) + 1));
        assert_eq!(number(&[0x80, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 1]), None);
        assert_eq!(number(b"nine"), None);
    }

    proptest! {
        #[test]
        fn no_archive_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..2048), sum: bool) {
            let mut bytes = bytes;
            if let (true, Some(block)) = (sum, bytes.get_mut(..512)) {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            let file = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("{error}"));
            prop_assert!(std::fs::write(file.path(), &bytes).is_ok());
            let _ = scan(file.path());
        }
    }
}
