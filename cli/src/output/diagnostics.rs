//! How does a failure read: the line it stands in, what was expected, what to do next?

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use sealer_core::{Error, clusterfile, kubefile};

use crate::exit::Failure;

/// A failure for people.
pub(crate) fn render(failure: &Failure, color: bool) -> String {
    match failure {
        Failure::Kubefile { file, text, errors } => kubefile_errors(file, text, errors, color),
        Failure::Clusterfile { file, text, errors } => clusterfile_errors(file, text, errors, color),
        Failure::Core(Error::Preflight(findings)) => {
            let width = findings.iter().map(|finding| finding.host.to_string().len()).max().unwrap_or(0);
            let problem = findings.iter().map(|finding| finding.problem.len()).max().unwrap_or(0).min(60);
            let mut text = format!("error: {failure}");
            for finding in findings {
                let host = finding.host.to_string();
                text.push_str(&format!("\n  {host:<width$}  {:<problem$}  {}", finding.problem, finding.fix));
            }
            text
        }
        Failure::Core(Error::Connect(failures)) => {
            let mut text =
                format!("error: {} cannot be used, nothing was changed", super::units::count(failures.len(), "host"));
            for (host, error) in failures {
                text.push_str(&format!("\n  {host}  {error}"));
            }
            text
        }
        other => format!("error: {}", chain(other)),
    }
}

/// A failure for programs.
pub(crate) fn as_json(failure: &Failure, hint: Option<&str>) -> serde_json::Value {
    let mut value = serde_json::json!({ "message": chain(failure), "hint": hint });
    match failure {
        Failure::Core(Error::Preflight(findings)) => value["findings"] = serde_json::json!(findings),
        Failure::Kubefile { file, errors, .. } => {
            let list = errors.iter().map(|error| {
                location(file, error.span.line, error.span.column, &error.message(), error.suggestion().as_deref())
            });
            value["errors"] = list.collect();
        }
        Failure::Clusterfile { file, errors, .. } => {
            let list = errors.iter().map(|error| {
                location(file, error.span.line, error.span.column, &error.message(), error.suggestion.as_deref())
            });
            value["errors"] = list.collect();
        }
        _ => {}
    }
    value
}

/// What to do about a failure of a crate below the workflows, where that is the same for every such failure.
pub(crate) fn hint(_error: &Error) -> Option<String> {
    None
}

fn location(file: &str, line: usize, column: usize, message: &str, suggestion: Option<&str>) -> serde_json::Value {
    serde_json::json!({ "file": file, "line": line, "column": column, "message": message, "suggestion": suggestion })
}

/// The message with those of its causes that it does not already contain.
fn chain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

fn kubefile_errors(file: &str, text: &str, errors: &kubefile::Errors, color: bool) -> String {
    let one = |error: &kubefile::Error| {
        let label = label(&error.label(), error.suggestion().as_deref());
        snippet(file, text, error.span.start, error.span.end, &error.message(), &label, color)
    };
    let mut shown: Vec<String> = errors.iter().map(one).collect();
    shown.push(format!("{}; nothing was built", super::units::count(errors.len(), "error")));
    shown.join("\n")
}

fn clusterfile_errors(file: &str, text: &str, errors: &clusterfile::Errors, color: bool) -> String {
    let text = &clusterfile::redacted(text);
    let one = |error: &clusterfile::Error| {
        let label = label(&error.label(), error.suggestion.as_deref());
        snippet(file, text, error.span.start, error.span.end, &error.message(), &label, color)
    };
    let mut shown: Vec<String> = errors.iter().map(one).collect();
    shown.push(format!("{}; nothing was changed", super::units::count(errors.len(), "error")));
    shown.join("\n")
}

fn label(expected: &str, suggestion: Option<&str>) -> String {
    match suggestion {
        Some(suggestion) => format!("did you mean `{suggestion}`?"),
        None => expected.to_owned(),
    }
}

fn snippet(file: &str, text: &str, start: usize, end: usize, title: &str, label: &str, color: bool) -> String {
    // A span that ends on a newline would spill to the next line.
    let start = start.min(text.len());
    let mut end = end.clamp(start, text.len());
    while end > start + 1 && text[..end].ends_with(['\n', '\r']) {
        end -= 1;
    }
    let annotation = AnnotationKind::Primary.span(start..end).label(label);
    let snippet = Snippet::source(text).path(file).annotation(annotation);
    let group: Group<'_> = Level::ERROR.primary_title(title).element(snippet);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}
