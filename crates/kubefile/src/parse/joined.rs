//! Maps characters of a joined line back to their place in the file.

use std::ops::Range;

use nom_locate::LocatedSpan;

use crate::Span;
use crate::span::SourceText;

/// What the parsers read: a rest of a [`Joined`] text that knows its offset in it.
pub(crate) type Input<'a> = LocatedSpan<&'a str, &'a Joined<'a>>;

/// Text put together from pieces of the file.
#[derive(Debug)]
pub(crate) struct Joined<'s> {
    text: String,
    pieces: Vec<Piece>,
    /// Set when the text was decoded and no longer stands in the file: everything is said to come from here.
    fixed: Option<Span>,
    source: &'s SourceText,
}

#[derive(Debug)]
struct Piece {
    /// Offset in the joined text.
    at: usize,
    /// Offset in the file.
    from: usize,
}

impl<'s> Joined<'s> {
    pub(crate) fn new(source: &'s SourceText) -> Self {
        Self { text: String::new(), pieces: Vec::new(), fixed: None, source }
    }

    /// Text that was decoded from what stands at `span`.
    pub(crate) fn decoded(source: &'s SourceText, span: Span, text: String) -> Self {
        Self { text, pieces: Vec::new(), fixed: Some(span), source }
    }

    /// Appends a piece of the file.
    pub(crate) fn push(&mut self, range: Range<usize>) {
        let source = self.source;
        self.pieces.push(Piece { at: self.text.len(), from: range.start });
        self.text.push_str(source.text().get(range).unwrap_or_default());
    }

    /// Appends a line feed that stands for the line ending at `from`.
    pub(crate) fn push_line_feed(&mut self, from: usize) {
        self.pieces.push(Piece { at: self.text.len(), from });
        self.text.push('\n');
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn source(&self) -> &'s SourceText {
        self.source
    }

    pub(crate) fn input(&self) -> Input<'_> {
        LocatedSpan::new_extra(self.text.as_str(), self)
    }

    /// The place in the file of a range of the joined text.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        if let Some(span) = self.fixed {
            return span;
        }
        let end = self.end(range.end);
        let start = if range.is_empty() { end } else { self.start(range.start) };
        self.source.span(start..end)
    }

    fn start(&self, offset: usize) -> usize {
        self.from(offset, self.pieces.partition_point(|piece| piece.at <= offset))
    }

    /// As `start`, but between two pieces it is the end of the former.
    fn end(&self, offset: usize) -> usize {
        self.from(offset, self.pieces.partition_point(|piece| piece.at < offset).max(1))
    }

    fn from(&self, offset: usize, pieces_before: usize) -> usize {
        let piece = self.pieces.get(pieces_before.saturating_sub(1));
        piece.map_or(0, |piece| piece.from + offset.saturating_sub(piece.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_back_to_the_file() {
        let source = SourceText::new("COPY a \\\n# c\n  b");
        let mut joined = Joined::new(&source);
        joined.push(0..7);
        joined.push(13..16);
        assert_eq!(joined.text(), "COPY a   b");
        assert_eq!(joined.span(5..6).slice(source.text()), "a");
        assert_eq!(joined.span(9..10).slice(source.text()), "b");
        assert_eq!(joined.span(10..10).range(), 16..16);
        assert_eq!(joined.span(7..7).range(), 7..7);
        assert_eq!(joined.span(5..10).slice(source.text()), "a \\\n# c\n  b");
    }
}
