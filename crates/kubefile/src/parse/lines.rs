//! Joins physical lines into instructions.

use std::ops::Range;

use crate::Span;
use crate::parse::joined::Joined;
use crate::span::SourceText;

/// Walks over the physical lines of a file.
#[derive(Debug)]
pub(crate) struct Lines<'s> {
    source: &'s SourceText,
    at: usize,
}

/// An instruction's line: continuations joined, comments and empty lines between them dropped.
#[derive(Debug)]
pub(crate) struct Logical<'s> {
    pub(crate) joined: Joined<'s>,
    /// Offset in the file of its first character.
    pub(crate) start: usize,
    /// Offset in the file one past its last character.
    pub(crate) end: usize,
}

impl<'s> Lines<'s> {
    pub(crate) fn new(source: &'s SourceText) -> Self {
        Self { source, at: source.first() }
    }

    pub(crate) fn source(&self) -> &'s SourceText {
        self.source
    }

    /// The next physical line without its ending.
    pub(crate) fn next_physical(&mut self) -> Option<Range<usize>> {
        let rest = self.source.text().get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let length = rest.find('\n').unwrap_or(rest.len());
        self.at = (start + length + 1).min(self.source.text().len());
        let end = start + length;
        let end = if self.text(start..end).ends_with('\r') { end - 1 } else { end };
        Some(start..end)
    }

    /// The next line that is not blank or a comment, with all its continuations.
    pub(crate) fn next_logical(&mut self) -> Option<Logical<'s>> {
        loop {
            let mut line = Some(self.next_meaningful()?);
            let mut joined = Joined::new(self.source);
            let mut start = None;
            let mut end = 0;
            while let Some(range) = line.take() {
                let (kept, continues) = self.strip_continuation(range);
                let text = self.text(kept.clone());
                if !text.trim().is_empty() {
                    let indent = text.len() - text.trim_start().len();
                    start.get_or_insert(kept.start + indent);
                    end = kept.end;
                }
                joined.push(kept);
                if continues {
                    line = self.next_meaningful();
                }
            }
            if let Some(start) = start {
                return Some(Logical { joined, start, end });
            }
        }
    }

    fn text(&self, range: Range<usize>) -> &'s str {
        self.source.text().get(range).unwrap_or_default()
    }

    /// The next line that is neither empty nor a comment.
    fn next_meaningful(&mut self) -> Option<Range<usize>> {
        loop {
            let range = self.next_physical()?;
            let text = self.text(range.clone()).trim_start();
            if !text.is_empty() && !text.starts_with('#') {
                return Some(range);
            }
        }
    }

    /// Cuts trailing blanks, and the `\` of a continued line together with the blanks behind it.
    fn strip_continuation(&self, range: Range<usize>) -> (Range<usize>, bool) {
        let text = self.text(range.clone()).trim_end();
        let backslashes = text.len() - text.trim_end_matches('\\').len();
        // Of two backslashes the first escapes the second.
        let continues = backslashes % 2 == 1;
        (range.start..range.start + text.len() - usize::from(continues), continues)
    }
}

impl Logical<'_> {
    pub(crate) fn span_to(&self, end: usize) -> Span {
        self.joined.source().span(self.start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<String> {
        let source = SourceText::new(text);
        let mut lines = Lines::new(&source);
        std::iter::from_fn(|| lines.next_logical()).map(|line| line.joined.text().trim_start().to_owned()).collect()
    }

    #[test]
    fn continuations_comments_and_empty_lines() {
        assert_eq!(
            joined("# c\n\n  FROM a  \nRUN x \\\n# no\n\n  y\\  \r\n z\r\nCMD a\\\\\nEND"),
            ["FROM a", "RUN x   y z", "CMD a\\\\", "END"]
        );
        assert_eq!(joined("\u{feff}FROM a"), ["FROM a"]);
        assert_eq!(joined("RUN a \\"), ["RUN a "]);
        assert_eq!(joined("\\\n\\\n"), Vec::<String>::new());
    }

    #[test]
    fn an_instruction_ends_where_its_text_ends() {
        let text = "RUN a \\\n  b \\\n\nCMD c";
        let source = SourceText::new(text);
        let mut lines = Lines::new(&source);
        let spans: Vec<&str> =
            std::iter::from_fn(|| lines.next_logical()).map(|line| line.span_to(line.end).slice(text)).collect();
        assert_eq!(spans, ["RUN a \\\n  b \\\n\nCMD c"]);
    }
}
