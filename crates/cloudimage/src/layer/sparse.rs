//! Maps of sparse files in tar archives: where their data belongs, and where there are holes.
//!
//! GNU tar writes them in four ways, see "Storing Sparse Files" in its manual: the old form with the map in the header,
//! and PAX forms 0.0 and 0.1 (the map in PAX records) and 1.0 (the map before the data).

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

/// Most pieces of data of one file.
const PIECES_LIMIT: u64 = 1 << 20;

/// What PAX records say about a sparse file.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The name of the file; the one of the member is made up.
    pub(super) name: Option<Vec<u8>>,
    /// The size of the file with its holes.
    pub(super) size: Option<u64>,
    /// Offset and length of each piece, one after the other.
    pub(super) numbers: Vec<u64>,
    /// The map stands before the data instead.
    pub(super) map_in_data: bool,
}

impl Records {
    /// Takes the value of `GNU.sparse.KEY`; `None` when it is malformed or of a later form.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = std::str::from_utf8(value).ok();
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(text?.parse().ok()?),
            b"offset" | b"numbytes" => self.numbers.push(text?.parse().ok()?),
            b"map" => self.numbers = text?.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?,
            b"major" if matches!(text?, "0" | "1") => self.map_in_data = value == b"1",
            b"major" => return None,
            b"minor" if !matches!(text?, "0" | "1") => return None,
            _ => {}
        }
        (self.numbers.len() as u64 <= 2 * PIECES_LIMIT).then_some(())
    }
}

/// Reads the numbers of a map that stands before the data, block by block.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    /// How many pieces there are, then as in [`Records::numbers`].
    numbers: Vec<u64>,
    current: Option<u64>,
}

impl MapReader {
    /// Takes a block; says whether the map is complete. `None` when it is malformed.
    pub(super) fn take(&mut self, block: &[u8]) -> Option<bool> {
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let number = self.current.unwrap_or(0).checked_mul(10)?;
                    self.current = Some(number.checked_add(u64::from(byte - b'0'))?);
                }
                b'\n' => self.numbers.push(self.current.take()?),
                _ => return None,
            }
            if let Some(pieces) = self.numbers.first() {
                if *pieces > PIECES_LIMIT {
                    return None;
                }
                if self.numbers.len() as u64 == 1 + 2 * pieces && self.current.is_none() {
                    return Some(true);
                }
            }
        }
        Some(false)
    }

    pub(super) fn finish(mut self) -> Vec<u64> {
        self.numbers.split_off(1)
    }
}

/// The part of a map that stands in a header of the old form, the size of the file, and whether more blocks follow.
pub(super) fn of_header(header: &Header) -> Option<(Vec<u64>, u64, bool)> {
    let header = header.as_gnu()?;
    Some((numbers(&header.sparse)?, header.real_size().ok()?, header.is_extended()))
}

/// Adds the part of a map in a block that follows; says whether another follows.
pub(super) fn extend(map: &mut Vec<u64>, block: &[u8; 512]) -> Option<bool> {
    let mut extension = GnuExtSparseHeader::new();
    extension.as_mut_bytes().copy_from_slice(block);
    map.extend(numbers(extension.sparse())?);
    (map.len() as u64 <= 2 * PIECES_LIMIT).then_some(extension.is_extended())
}

fn numbers(pieces: &[GnuSparseHeader]) -> Option<Vec<u64>> {
    let used = pieces.iter().filter(|piece| !piece.is_empty());
    let numbers: Option<Vec<[u64; 2]>> = used.map(|piece| Some([piece.offset().ok()?, piece.length().ok()?])).collect();
    Some(numbers?.concat())
}

/// What comes next of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// So many zero bytes that are not in the archive.
    Hole(u64),
    /// So many bytes of the archive.
    Data(u64),
}

/// A sparse file that is being read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map {
    /// Pieces of data that are not read yet, the first one last: where each begins and ends.
    pieces: Vec<(u64, u64)>,
    position: u64,
    pub(super) size: u64,
}

impl Map {
    /// Checks that the pieces follow each other within `size`, and are `stored` bytes together.
    pub(super) fn new(numbers: &[u64], size: u64, stored: u64) -> Option<Self> {
        let (pairs, rest) = numbers.as_chunks::<2>();
        let (mut pieces, mut position, mut sum) = (Vec::with_capacity(pairs.len()), 0, 0);
        for [offset, length] in pairs {
            let end = offset.checked_add(*length)?;
            if *offset < position || end > size {
                return None;
            }
            if *length > 0 {
                pieces.push((*offset, end));
            }
            (position, sum) = (end, sum + length);
        }
        pieces.reverse();
        (rest.is_empty() && sum == stored).then_some(Self { pieces, position: 0, size })
    }

    /// The next span; `Hole(0)` at the end.
    pub(super) fn next(&self) -> Span {
        match self.pieces.last() {
            Some((start, _)) if self.position < *start => Span::Hole(start - self.position),
            Some((_, end)) => Span::Data(end - self.position),
            None => Span::Hole(self.size - self.position),
        }
    }

    /// So many bytes of the next span are read.
    pub(super) fn advance(&mut self, count: u64) {
        self.position += count;
        if self.pieces.last().is_some_and(|(_, end)| self.position >= *end) {
            self.pieces.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_names_holes_and_data_in_their_order() {
        let mut map = Map::new(&[2, 3, 8, 1, 10, 0], 10, 4).expect("a map");
        let mut spans = Vec::new();
        loop {
            let span = map.next();
            let (Span::Hole(count) | Span::Data(count)) = span;
            if count == 0 {
                break;
            }
            spans.push(span);
            map.advance(count);
        }
        assert_eq!(spans, [Span::Hole(2), Span::Data(3), Span::Hole(3), Span::Data(1), Span::Hole(1)]);
    }

    #[test]
    fn hostile_maps_are_refused() {
        for (numbers, size, stored) in [
            (&[5, 2, 4, 2][..], 10, 4),
            (&[0, 5, 4, 2], 10, 7),
            (&[8, 3], 10, 3),
            (&[0, 3], 10, 4),
            (&[0, 3, 4], 10, 3),
            (&[u64::MAX, 1], u64::MAX, 1),
        ] {
            assert_eq!(Map::new(numbers, size, stored), None, "{numbers:?}");
        }
        for block in [&b"x"[..], b"\n", b"1\n\n", b"99999999999999999999999\n", b"2000000\n"] {
            assert_eq!(MapReader::default().take(block), None, "{:?}", String::from_utf8_lossy(block));
        }
        let mut reader = MapReader::default();
        assert_eq!((reader.take(b"1\n51"), reader.take(b"2\n7\n\0\0")), (Some(false), Some(true)));
        assert_eq!(reader.finish(), [512, 7]);
        for (key, value) in [(&b"map"[..], &b"1,x"[..]), (b"size", b"-1"), (b"offset", b"\xff"), (b"major", b"2")] {
            assert_eq!(Records::default().take(key, value), None);
        }
    }
}
