//! Places in a Kubefile, as bytes and as line and column.

use std::ops::Range;

/// A stretch of the Kubefile's text.
///
/// `start` and `end` are byte offsets into the text given to [`parse`](crate::parse) (a byte order mark counts), always
/// on character boundaries; `line` and `column` name the place of `start`, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte; equal to `start` when the span marks a place between characters.
    pub end: usize,
    /// Line of `start`, from 1.
    pub line: usize,
    /// Column of `start` in characters, from 1.
    pub column: usize,
}

impl Span {
    /// The bytes covered.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The covered part of `text`, which must be the text that was parsed; anything else may give an empty string.
    #[must_use]
    pub fn slice(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }
}

/// The parsed text together with what makes line and column lookups cheap on any input.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SourceText {
    text: String,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
    /// Number of characters that begin before each multiple of `BLOCK` bytes.
    blocks: Vec<usize>,
}

const BLOCK: usize = 256;
const BYTE_ORDER_MARK: char = '\u{feff}';

impl SourceText {
    pub(crate) fn new(text: &str) -> Self {
        let first = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        let mut blocks = vec![0];
        for block in text.as_bytes().chunks(BLOCK) {
            blocks.push(blocks.last().copied().unwrap_or_default() + count_characters(block));
        }
        Self { text: text.to_owned(), lines: std::iter::once(first).chain(breaks).collect(), blocks }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Offset of the first byte after a byte order mark.
    pub(crate) fn first(&self) -> usize {
        self.lines.first().copied().unwrap_or_default()
    }

    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let start = self.text.floor_char_boundary(range.start.clamp(self.first(), self.text.len()));
        let end = self.text.ceil_char_boundary(range.end.clamp(start, self.text.len()));
        let line = self.lines.partition_point(|&line| line <= start).max(1);
        let line_start = self.lines.get(line - 1).copied().unwrap_or_default();
        let column = self.characters_before(start).saturating_sub(self.characters_before(line_start)) + 1;
        Span { start, end, line, column }
    }

    /// The text of a line (counted from 1) without its line ending, and no more of it than `limit` bytes.
    pub(crate) fn line(&self, line: usize, limit: usize) -> &str {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let rest = &self.text[start..];
        let rest = &rest[..rest.floor_char_boundary(limit)];
        let text = rest.split('\n').next().unwrap_or_default();
        text.strip_suffix('\r').unwrap_or(text)
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK;
        let counted = self.blocks.get(block).copied().unwrap_or_default();
        counted + self.text.as_bytes().get(block * BLOCK..offset).map_or(0, count_characters)
    }
}

impl std::fmt::Debug for SourceText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SourceText({} bytes)", self.text.len())
    }
}

fn count_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0b1100_0000 != 0b1000_0000).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let source = SourceText::new("\u{feff}FROM é\r\nRUN äöü x\n");
        let at = source.text().find('x').unwrap_or_default();
        let span = source.span(at..at + 1);
        assert_eq!((span.line, span.column, span.slice(source.text())), (2, 9, "x"));
        assert_eq!(source.line(1, 99), "FROM é");
        assert_eq!(source.line(2, 99), "RUN äöü x");
        assert_eq!((source.span(0..0).line, source.span(0..0).column, source.span(0..0).start), (1, 1, 3));
    }

    #[test]
    fn columns_are_right_behind_many_blocks() {
        let text = format!("{}\n{}x", "ü".repeat(1000), "ö".repeat(700));
        let source = SourceText::new(&text);
        let span = source.span(text.len() - 1..text.len());
        assert_eq!((span.line, span.column), (2, 701));
    }

    #[test]
    fn ranges_outside_are_clamped() {
        let source = SourceText::new("ü");
        assert_eq!(source.span(1..99).range(), 0..2);
        assert_eq!(source.span(50..60).range(), 2..2);
    }
}
