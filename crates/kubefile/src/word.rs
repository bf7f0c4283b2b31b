//! One argument of an instruction before its variables are replaced.

use std::fmt;

use crate::Span;

/// One argument: quotes and escapes are resolved, variables are still open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its place in the file, quotes included.
    pub span: Span,
    /// Literal text and variables in order; neighbouring literals are one part, an empty word has no part.
    pub parts: Vec<Part>,
}

/// A piece of a [`Word`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// Text in single quotes or behind `\` in which something would be a pattern for COPY.
    Quoted(String),
    /// `$NAME` or `${NAME…}`.
    Variable(Variable),
}

/// A variable reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its place in the file, from the `$` on.
    pub span: Span,
    /// Its name.
    pub name: String,
    /// What follows the name inside the braces.
    pub modifier: Option<Modifier>,
}

/// The part of `${NAME:-word}` behind the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modifier {
    /// What it does.
    pub kind: ModifierKind,
    /// Written with `:`, so that an empty value counts as unset.
    pub empty_is_unset: bool,
    /// The word, which may contain variables again.
    pub word: Vec<Part>,
}

/// What a [`Modifier`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModifierKind {
    /// `-`: use the word when the variable is unset.
    Default,
    /// `+`: use the word when the variable is set, else nothing.
    Alternative,
    /// `?`: fail with the word as message when the variable is unset.
    Required,
}

/// What has a meaning in the patterns of COPY.
const PATTERN: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

impl Word {
    /// The same word as a pattern for COPY, in which quoted text matches only itself; `None` when nothing needs that.
    pub(crate) fn pattern(&self) -> Option<Self> {
        let escaped = |text: &str| {
            let escape = |letter| PATTERN.contains(&letter).then_some('\\').into_iter().chain([letter]);
            text.chars().flat_map(escape).collect()
        };
        let part = |part: &Part| match part {
            Part::Quoted(text) => Part::Literal(escaped(text)),
            other => other.clone(),
        };
        let quoted = self.parts.iter().any(|part| matches!(part, Part::Quoted(_)));
        quoted.then(|| Self { span: self.span, parts: self.parts.iter().map(part).collect() })
    }
    /// The text, when it contains no variable.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text) | Part::Quoted(text)] => Some(text),
            _ => None,
        }
    }

    /// The literal text the word begins with, up to the first variable.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text) | Part::Quoted(text)) => text,
            _ => "",
        }
    }
}

/// The word as one would write it, without quotes.
impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| part.fmt(formatter))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) | Self::Quoted(text) => formatter.write_str(text),
            Self::Variable(variable) => variable.fmt(formatter),
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "${{{}", self.name)?;
        if let Some(modifier) = &self.modifier {
            let colon = if modifier.empty_is_unset { ":" } else { "" };
            write!(formatter, "{colon}{}", modifier.kind.sign())?;
            modifier.word.iter().try_for_each(|part| part.fmt(formatter))?;
        }
        formatter.write_str("}")
    }
}

impl ModifierKind {
    fn sign(self) -> char {
        match self {
            Self::Default => '-',
            Self::Alternative => '+',
            Self::Required => '?',
        }
    }
}

/// Appends text that means nothing but itself.
pub(crate) fn push_quoted(parts: &mut Vec<Part>, text: &str) {
    if text.contains(PATTERN) {
        parts.push(Part::Quoted(text.to_owned()));
    } else {
        push_literal(parts, text);
    }
}

/// Appends literal text, joining it with a literal before it.
pub(crate) fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Literal(last)) => last.push_str(text),
        _ => parts.push(Part::Literal(text.to_owned())),
    }
}
