//! YAML trees that know the place of every value.

mod json;
mod read;
mod write;

pub(crate) use json::to_json;
pub(crate) use read::documents;
pub(crate) use write::to_text;

use crate::Span;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a node holds. Scalars keep their text: what type it is depends on the field that reads it.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping and its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) text: String,
    /// Whether it is the `<<` of a merge.
    pub(crate) merges: bool,
}

impl Node {
    /// Whether nothing was written, or `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if is_null_text(text))
    }

    /// Whether it is the text `""`, which for most fields means the same as nothing.
    pub(crate) fn is_empty_text(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, .. } if text.is_empty())
    }

    /// What the node is, in words, without its content.
    pub(crate) fn shape(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

fn is_null_text(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
