//! Reads the fields of a mapping one by one; unknown, missing and malformed ones become errors.

use super::rules::Rule;
use crate::{
    Error, ErrorKind, Secret, Span,
    suggest::closest,
    yaml::{Key, Node, Value},
};

/// What was found wrong so far, and what is taken though nothing else writes it so.
#[derive(Default)]
pub(crate) struct Problems(pub(crate) Vec<Error>, pub(crate) Vec<String>);

impl Problems {
    /// Says of something that is taken how it is understood.
    pub(crate) fn remark(&mut self, span: Span, text: impl std::fmt::Display) {
        self.1.push(format!("line {}: {text}", span.line));
    }

    pub(crate) fn add(&mut self, span: Span, kind: ErrorKind) {
        self.0.push(Error { span, kind, suggestion: None });
    }

    /// Adds a problem with a word that is not one of the candidates, and the candidate that was probably meant.
    pub(crate) fn add_word<'c>(
        &mut self,
        span: Span,
        kind: ErrorKind,
        given: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) {
        let suggestion = closest(given, candidates).map(str::to_owned);
        self.0.push(Error { span, kind, suggestion });
    }

    /// The value, or nothing and a problem.
    pub(crate) fn keep<T>(&mut self, span: Span, result: Result<T, ErrorKind>) -> Option<T> {
        result.map_err(|kind| self.add(span, kind)).ok()
    }
}

/// A mapping whose fields are taken by name; what is left over in the end is unknown.
#[derive(Clone)]
pub(crate) struct Fields<'n> {
    place: &'static str,
    span: Span,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; `place` is what messages call it.
    pub(crate) fn open(node: &'n Node, place: &'static str, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => {
                Some(Self { place, span: node.span, entries, known: Vec::new(), missing: Vec::new() })
            }
            _ if node.is_null() => {
                Some(Self { place, span: node.span, entries: &[], known: Vec::new(), missing: Vec::new() })
            }
            _ => {
                problems.add(node.span, ErrorKind::Expected { expected: "a mapping", found: node.shape() });
                None
            }
        }
    }

    /// The value of a field, if there is one and it is not null.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The value of a field that must be there.
    pub(crate) fn require(&mut self, name: &'static str) -> Option<&'n Node> {
        let node = self.take(name);
        if node.is_none() {
            self.missing(name);
        }
        node
    }

    /// A text that must be there, must not be empty, and follows a rule.
    pub(crate) fn require_valid(&mut self, name: &'static str, rule: Rule, problems: &mut Problems) -> Option<String> {
        match self.require(name) {
            Some(node) if node.is_empty_text() => {
                self.missing(name);
                None
            }
            Some(_) => self.valid(name, rule, problems),
            None => None,
        }
    }

    /// Marks a required field as missing. It is reported by `finish`, unless a misspelled field suggests it.
    pub(crate) fn missing(&mut self, field: &'static str) {
        self.missing.push(field);
    }

    /// Says of fields that belong elsewhere what to do instead.
    pub(crate) fn misplaced(&mut self, names: &[&'static str], instead: &'static str, problems: &mut Problems) {
        for (key, _) in self.entries {
            if let Some(name) = names.iter().find(|name| **name == key.text) {
                self.known.push(name);
                let kind = ErrorKind::MisplacedField { field: key.text.clone(), place: self.place, instead };
                problems.add(key.span, kind);
            }
        }
    }

    /// The value of a field, without taking it.
    pub(crate) fn value(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// Where the mapping stands.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Whether there is such a field, even an empty one.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.text == name)
    }

    /// Where a field stands, or the mapping when there is no such field.
    pub(crate) fn span_of(&self, name: &str) -> Span {
        self.entries.iter().find(|(key, _)| key.text == name).map_or(self.span, |(key, _)| key.span)
    }

    /// A text, empty meaning absent.
    pub(crate) fn text(&mut self, name: &'static str, problems: &mut Problems) -> Option<String> {
        text(self.take(name)?, problems).filter(|text| !text.is_empty())
    }

    /// A text of which nothing may be shown, empty meaning absent.
    pub(crate) fn secret(&mut self, name: &'static str, problems: &mut Problems) -> Option<Secret> {
        self.text(name, problems).map(Secret::from)
    }

    /// A text that follows a rule, empty meaning absent.
    pub(crate) fn valid(&mut self, name: &'static str, rule: Rule, problems: &mut Problems) -> Option<String> {
        let node = self.take(name)?;
        let text = text(node, problems).filter(|text| !text.is_empty())?;
        problems.keep(node.span, rule.check(&text)).map(|()| text)
    }

    /// A whole number in a range, written as a number or as a text, empty meaning absent.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        range: (u32, u32),
        rule: &'static str,
        problems: &mut Problems,
    ) -> Option<u32> {
        let node = self.take(name)?;
        let text = text(node, problems).filter(|text| !text.is_empty())?;
        problems.keep(node.span, whole_number(name, &text, range, rule))
    }

    /// A TCP port; 0 means absent, as the original reads it.
    pub(crate) fn port_or_zero(&mut self, name: &'static str, problems: &mut Problems) -> Option<u16> {
        let zero = |node: &Node| matches!(&node.value, Value::Scalar { text, .. } if text == "0");
        if self.value(name).is_some_and(zero) {
            self.known.push(name);
            return None;
        }
        self.port(name, problems)
    }

    /// A TCP port.
    pub(crate) fn port(&mut self, name: &'static str, problems: &mut Problems) -> Option<u16> {
        let number = self.number(name, (1, u16::MAX.into()), "a number from 1 to 65535", problems)?;
        u16::try_from(number).ok()
    }

    /// Yes or no.
    pub(crate) fn boolean(&mut self, name: &'static str, problems: &mut Problems) -> Option<bool> {
        let node = self.take(name)?;
        match text(node, problems)?.to_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            "" => None,
            _ => {
                problems.add(node.span, ErrorKind::Expected { expected: "true or false", found: "another text" });
                None
            }
        }
    }

    /// The items of a list; none when it is absent.
    pub(crate) fn list(&mut self, name: &'static str, problems: &mut Problems) -> &'n [Node] {
        self.take(name).map_or(&[], |node| items(node, problems))
    }

    /// The texts of a list; none when it is absent.
    pub(crate) fn texts(&mut self, name: &'static str, problems: &mut Problems) -> Vec<(Span, String)> {
        let items = self.list(name, problems);
        items.iter().filter_map(|item| Some((item.span, text(item, problems)?))).collect()
    }

    /// The texts of a list, each following a rule.
    pub(crate) fn valid_texts(&mut self, name: &'static str, rule: Rule, problems: &mut Problems) -> Vec<String> {
        let texts = self.texts(name, problems);
        texts.into_iter().filter_map(|(span, text)| problems.keep(span, rule.check(&text)).map(|()| text)).collect()
    }

    /// The keys and texts of a mapping; none when it is absent.
    pub(crate) fn pairs(&mut self, name: &'static str, problems: &mut Problems) -> Vec<(&'n Key, Span, String)> {
        self.take(name).map_or_else(Vec::new, |node| pairs_of(node, problems))
    }

    /// Reports the fields that nobody took and those that are missing; tells which fields were probably meant.
    pub(crate) fn finish(mut self, problems: &mut Problems) -> Vec<&'static str> {
        let mut meant = Vec::new();
        for (key, _) in self.entries {
            if !self.known.contains(&key.text.as_str()) && !key.text.is_empty() {
                let kind = ErrorKind::UnknownField { field: key.text.clone(), place: self.place };
                problems.add_word(key.span, kind, &key.text, self.known.iter().copied());
                meant.extend(
                    closest(&key.text, self.known.iter().copied())
                        .and_then(|word| self.known.iter().find(|known| **known == word)),
                );
            }
        }
        self.missing.retain(|field| !meant.contains(field));
        self.report_missing(problems);
        meant
    }

    /// Reports the fields that are missing.
    pub(crate) fn report_missing(&self, problems: &mut Problems) {
        for field in self.missing.iter().copied() {
            let place = self.place;
            let kind = if self.has(field) {
                ErrorKind::EmptyField { field, place }
            } else {
                ErrorKind::MissingField { field, place }
            };
            problems.add(self.span_of(field), kind);
        }
    }
}

/// The text of a scalar; numbers and truth values count as the text they are written with.
pub(crate) fn text(node: &Node, problems: &mut Problems) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => Some(text.clone()),
        _ => {
            problems.add(node.span, ErrorKind::Expected { expected: "a text", found: node.shape() });
            None
        }
    }
}

/// The keys and texts of a mapping; null is an empty text.
pub(crate) fn pairs_of<'n>(node: &'n Node, problems: &mut Problems) -> Vec<(&'n Key, Span, String)> {
    let Value::Map(entries) = &node.value else {
        problems.add(node.span, ErrorKind::Expected { expected: "a mapping", found: node.shape() });
        return Vec::new();
    };
    let pairs = entries.iter().map(|(key, value)| {
        (key, value.span, if value.is_null() { Some(String::new()) } else { text(value, problems) })
    });
    pairs.filter_map(|(key, span, text)| Some((key, span, text?))).collect()
}

/// The items of a list.
pub(crate) fn items<'n>(node: &'n Node, problems: &mut Problems) -> &'n [Node] {
    match &node.value {
        Value::List(items) => items,
        _ => {
            problems.add(node.span, ErrorKind::Expected { expected: "a list", found: node.shape() });
            &[]
        }
    }
}

/// A whole number in a range.
pub(crate) fn whole_number(
    what: &'static str,
    text: &str,
    range: (u32, u32),
    rule: &'static str,
) -> Result<u32, ErrorKind> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (range.0..=range.1).contains(number));
    number.ok_or_else(|| ErrorKind::Invalid { what, value: text.to_owned(), rule })
}
