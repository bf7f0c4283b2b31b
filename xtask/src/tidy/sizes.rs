//! Checks that every source file starts with a statement and is small enough to be read at once.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::{body_lines, functions};
use super::{Finding, layout};
use crate::error::{Error, Result};

const FILE_LIMIT: usize = 600;
const MEDIAN_LIMIT: usize = 150;
const FUNCTION_LIMIT: usize = 100;
const FUNCTION_AIM: usize = 60;

/// Checks every source file.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut bodies = Vec::new();
    for path in layout::sources(root)? {
        let full = root.join(&path);
        let text = fs::read_to_string(&full).map_err(Error::file("read", &full))?;
        findings.extend(check_file(&path, &text));
        bodies.push(body_lines(&text));
    }
    findings.extend(check_median(bodies));
    Ok(findings)
}

fn check_file(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::from_iter(check_head(path, text));
    let body = body_lines(text);
    if body > FILE_LIMIT {
        findings.push(Finding::error(path, 0, format!("{body} lines without inline tests; the limit is {FILE_LIMIT}")));
    }
    for function in functions(text) {
        let message = format!("`{}` has {} lines", function.name, function.length);
        if function.length > FUNCTION_LIMIT {
            findings.push(Finding::error(path, function.line, format!("{message}; the limit is {FUNCTION_LIMIT}")));
        } else if function.length > FUNCTION_AIM {
            findings.push(Finding::warning(path, function.line, format!("{message}; aim at {FUNCTION_AIM}")));
        }
    }
    findings
}

/// The module head says what the file does or holds; a question would leave that to the reader.
fn check_head(path: &Path, text: &str) -> Option<Finding> {
    let head = text.lines().next().unwrap_or_default();
    let message = match head.strip_prefix("//! ") {
        None => "the first line must be a `//!` sentence that says what the file does or holds",
        Some(sentence) if sentence.contains('?') => {
            "the first line must be a statement, not a question: \"Parses …\", \"Keeps …\""
        }
        Some(_) => return None,
    };
    Some(Finding::error(path, 1, message))
}

fn check_median(mut bodies: Vec<usize>) -> Option<Finding> {
    bodies.sort_unstable();
    let median = bodies.get(bodies.len() / 2).copied().unwrap_or_default();
    (median > MEDIAN_LIMIT).then(|| {
        Finding::error(
            &PathBuf::from("."),
            0,
            format!("half of the source files have more than {MEDIAN_LIMIT} lines ({median})"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_function(lines: usize) -> String {
        format!("//! Doc.\nfn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn limits_are_kept() {
        let path = Path::new("x.rs");
        assert_eq!(check_file(path, &long_function(60)), []);
        assert_eq!(check_file(path, &long_function(61)).len(), 1);
        assert_eq!(check_file(path, &long_function(61))[0].kind, super::super::Kind::Warning);
        assert_eq!(check_file(path, &long_function(101))[0].kind, super::super::Kind::Error);
        assert!(check_file(path, "fn f() {}\n")[0].message.contains("first line"));
        assert!(
            check_file(path, &format!("//! Doc.\n{}", "const A: u8 = 1;\n".repeat(600)))[0]
                .message
                .contains("601 lines")
        );
    }

    #[test]
    fn a_module_head_is_a_statement() {
        let message = |text: &str| check_head(Path::new("x.rs"), text).map(|found| found.message).unwrap_or_default();
        assert_eq!(message("//! Parses a Kubefile.\n"), "");
        assert!(message("//! How is a Kubefile parsed?\n").contains("not a question"));
        assert!(message("//! Is it a digest? Text in, value out.\n").contains("not a question"));
        assert!(message("fn parse() {}\n").contains("first line"));
        // Only the first line: a question in the text below may be the reader's own.
        assert_eq!(message("//! Parses a Kubefile.\n//!\n//! # Which instructions?\n"), "");
    }

    #[test]
    fn the_median_is_watched() {
        assert!(check_median(vec![10, 151, 400]).is_some());
        assert!(check_median(vec![10, 150, 400]).is_none());
    }
}
