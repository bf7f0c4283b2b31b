//! Writes YAML text that every reader, Go's included, reads back as the same tree.

use serde_json::Value as Json;
use serde_saphyr::ser_options;

/// One document after the other, separated by `---`.
///
/// Strings that YAML 1.1 would take for something else are quoted, lines are never folded, several lines become a literal block.
pub(crate) fn to_text(documents: &[Json]) -> String {
    documents.iter().map(document).collect::<Vec<_>>().join("---\n")
}

fn document(document: &Json) -> String {
    let options = ser_options! { folded_wrap_chars: usize::MAX };
    // JSON is YAML too, so a value that the YAML writer refuses is still written down.
    let mut text = serde_saphyr::to_string_with_options(document, options).unwrap_or_else(|_| document.to_string());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
