//! Parses YAML text into trees, within bounds.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span as Range, Tag, options};

use super::{Key, Node, Value, is_null_text};
use crate::{Error, ErrorKind, Span};

/// Mappings and lists inside each other.
const MAX_DEPTH: usize = 64;
/// Values in all documents together, those repeated by aliases included.
const MAX_NODES: usize = 100_000;
/// Bytes of text in all documents together, those repeated by aliases included.
const MAX_TEXT: usize = 8 << 20;

/// The documents of a file that are not empty. What cannot be read is reported; the other documents are still read.
pub(crate) fn documents(text: &str, errors: &mut Vec<Error>) -> Vec<Node> {
    let options = options! { emit_comments: false, flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        errors,
        documents: Vec::new(),
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        text: 0,
        spent: false,
    };
    while !reader.spent {
        match parser.next_event() {
            None => break,
            Some(Ok((event, range))) => reader.event(event, &range),
            Some(Err(error)) => {
                reader.report(place(error.marker(), error.marker()), ErrorKind::Syntax(error.kind().to_string()));
                reader.stack.clear();
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    reader.documents
}

struct Reader<'e> {
    errors: &'e mut Vec<Error>,
    documents: Vec<Node>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    text: usize,
    spent: bool,
}

/// A list or mapping that is not complete yet.
struct Frame {
    span: Span,
    anchor: usize,
    value: Value,
    key: Option<Key>,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, range: &Range) {
        let span = place(&range.start, &range.end);
        match event {
            Event::DocumentStart(..) => {
                self.stack.clear();
                self.anchors.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.is_plain(style, tag.as_deref(), span);
                self.complete(
                    Node { span, value: Value::Scalar { text: text.into_owned(), plain } },
                    anchor,
                    own_weight,
                );
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_collection_tag(tag.as_deref(), "seq", span);
                self.stack.push(Frame { span, anchor, value: Value::List(Vec::new()), key: None });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_collection_tag(tag.as_deref(), "map", span);
                self.stack.push(Frame { span, anchor, value: Value::Map(Vec::new()), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    let value = self.merged(frame.value);
                    self.complete(Node { span: frame.span, value }, frame.anchor, own_weight);
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.complete(Node { span, ..node }, 0, weight),
                None => {
                    self.report(span, ErrorKind::AliasInsideItself);
                    self.complete(
                        Node { span, value: Value::Scalar { text: String::new(), plain: true } },
                        0,
                        own_weight,
                    );
                }
            },
            _ => {}
        }
    }

    /// Puts a finished value where it belongs. Its weight counts what was not counted before.
    fn complete(&mut self, node: Node, anchor: usize, weigh: fn(&Node) -> (usize, usize)) {
        self.charge(&node, weigh(&node));
        if anchor != 0 {
            self.charge(&node, weight(&node));
            self.anchors.insert(anchor, node.clone());
        }
        if self.spent {
            return;
        }
        let Some(frame) = self.stack.last_mut() else {
            if !node.is_null() {
                self.documents.push(node);
            }
            return;
        };
        match (&mut frame.value, frame.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some(key)) => entries.push((key, node)),
            (Value::Map(_), None) => {
                let (text, plain) = match node.value {
                    Value::Scalar { text, plain } if !(plain && is_null_text(&text)) => (text, plain),
                    _ => (String::new(), false),
                };
                let unnamed = text.is_empty();
                frame.key = Some(Key { span: node.span, merges: plain && text == "<<", text });
                if unnamed {
                    self.report(node.span, ErrorKind::KeyNotText);
                }
            }
            (Value::Scalar { .. }, _) => {}
        }
    }

    fn charge(&mut self, node: &Node, (nodes, text): (usize, usize)) {
        self.nodes += nodes;
        self.text += text;
        if !self.spent && (self.nodes > MAX_NODES || self.text > MAX_TEXT) {
            self.report(node.span, ErrorKind::TooComplex("more values than a Clusterfile can need"));
            self.spent = true;
        }
    }

    /// Reports keys that are given twice, and brings in what `<<` refers to.
    fn merged(&mut self, value: Value) -> Value {
        let Value::Map(entries) = value else {
            return value;
        };
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut own = Vec::new();
        let mut sources = Vec::new();
        for (key, node) in entries {
            match lines.get(&key.text) {
                _ if key.text.is_empty() => {}
                Some(first_line) => {
                    let kind = ErrorKind::DuplicateKey { key: key.text, first_line: *first_line };
                    self.report(key.span, kind);
                }
                None => {
                    lines.insert(key.text.clone(), key.span.line);
                    if key.merges { sources.push(node) } else { own.push((key, node)) }
                }
            }
        }
        for source in sources {
            self.merge(source, &mut lines, &mut own);
        }
        Value::Map(own)
    }

    fn merge(&mut self, source: Node, lines: &mut HashMap<String, usize>, own: &mut Vec<(Key, Node)>) {
        match source.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    if !lines.contains_key(&key.text) {
                        lines.insert(key.text.clone(), key.span.line);
                        own.push((key, node));
                    }
                }
            }
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                items.into_iter().for_each(|item| self.merge(item, lines, own));
            }
            _ => {
                let found = source.shape();
                self.report(
                    source.span,
                    ErrorKind::Expected { expected: "a mapping to merge, or a list of them", found },
                );
            }
        }
    }

    fn is_plain(&mut self, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else {
            return style == ScalarStyle::Plain;
        };
        match tag.core_suffix() {
            Some("str") => false,
            Some("int" | "float" | "bool" | "null") => true,
            _ if tag.handle().is_empty() && tag.suffix() == "!" => false,
            _ => {
                self.report(span, ErrorKind::TooComplex("a tag that no Clusterfile needs"));
                true
            }
        }
    }

    fn check_collection_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if tag.is_some_and(|tag| tag.core_suffix() != Some(expected)) {
            self.report(span, ErrorKind::TooComplex("a tag that no Clusterfile needs"));
        }
    }

    fn report(&mut self, span: Span, kind: ErrorKind) {
        self.errors.push(Error { span, kind, suggestion: None });
    }
}

fn own_weight(node: &Node) -> (usize, usize) {
    match &node.value {
        Value::Scalar { text, .. } => (1, text.len()),
        Value::List(_) | Value::Map(_) => (1, 0),
    }
}

fn weight(node: &Node) -> (usize, usize) {
    let add = |sum: (usize, usize), more: (usize, usize)| (sum.0 + more.0, sum.1 + more.1);
    let own = own_weight(node);
    match &node.value {
        Value::Scalar { .. } => own,
        Value::List(items) => items.iter().map(weight).fold(own, add),
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| add(weight(value), (1, key.text.len()))).fold(own, add)
        }
    }
}

fn place(start: &Marker, end: &Marker) -> Span {
    let offset = |marker: &Marker| marker.byte_offset().unwrap_or_else(|| marker.index());
    Span { start: offset(start), end: offset(end), line: start.line(), column: start.col() + 1 }
}
