//! Prints failures: with the line of the file concerned, or with host, step and output.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use console::Style;
use error_report::one_line;
use sealer_core::{Error, clusterfile, kubefile, remote, runtime};

use super::layout::visible;
use super::units::count;
use crate::exit::Failure;

/// A failure for people; `width` is that of the terminal.
pub(super) fn render(failure: &Failure, color: bool, width: usize) -> String {
    let text = match failure {
        Failure::Kubefile { file, text, errors } => return kubefile_errors(file, text, errors, color),
        Failure::Clusterfile { file, text, errors } => return clusterfile_errors(file, text, errors, color),
        Failure::Core(Error::Preflight(findings)) => {
            let mut text = failure.to_string();
            let entry = |finding: &runtime::Finding| {
                (finding.host.to_string(), finding.problem.clone(), Some(finding.fix.clone()))
            };
            text.push_str(&table(&findings.iter().map(entry).collect::<Vec<_>>(), width));
            text
        }
        Failure::Core(Error::Connect(failures)) => {
            let mut text = format!("{} cannot be used, nothing was changed", count(failures.len(), "host"));
            text.push_str(&table(&connections(failures), width));
            text
        }
        Failure::Core(Error::Unfinished { done, total, source }) => unfinished(*done, *total, source),
        other => one_line(other),
    };
    format!("{}: {}", Style::new().red().bold().force_styling(color).apply_to("error"), visible(&text))
}

/// A failure for programs.
pub(super) fn as_json(failure: &Failure, hint: Option<&str>) -> serde_json::Value {
    let mut value = serde_json::json!({ "message": one_line(failure), "code": failure.code(), "hint": hint });
    match failure {
        Failure::Core(Error::Preflight(findings)) => value["findings"] = serde_json::json!(findings),
        Failure::Core(Error::Unsupported(found)) => value["unbuilt"] = serde_json::json!(found),
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

fn location(file: &str, line: usize, column: usize, message: &str, suggestion: Option<&str>) -> serde_json::Value {
    serde_json::json!({ "file": file, "line": line, "column": column, "message": message, "suggestion": suggestion })
}

/// Hosts that cannot be reached; those that fail for one reason, such as a jump host, share a line.
fn connections(failures: &[(std::net::IpAddr, remote::Error)]) -> Vec<(String, String, Option<String>)> {
    let mut groups: Vec<(String, usize, String)> = Vec::new();
    for (host, error) in failures {
        let reason = one_line(error);
        let reason = reason.strip_prefix(&format!("{host}: ")).unwrap_or(&reason);
        match groups.iter_mut().find(|(_, _, known)| known == reason) {
            Some((_, others, _)) => *others += 1,
            None => groups.push((host.to_string(), 0, reason.to_owned())),
        }
    }
    let entry = |(host, others, reason): (String, usize, String)| {
        (if others == 0 { host } else { format!("{host} and {others} more") }, reason, None)
    };
    groups.into_iter().map(entry).collect()
}

/// Host, problem and fix in columns; the fix gets a line of its own where the lines would become too long.
fn table(entries: &[(String, String, Option<String>)], width: usize) -> String {
    let longest = |of: fn(&(String, String, Option<String>)) -> usize| entries.iter().map(of).max().unwrap_or_default();
    let host_width = longest(|entry| entry.0.chars().count());
    let problem_width = longest(|entry| entry.1.chars().count());
    let fix_width = longest(|entry| entry.2.as_deref().map_or(0, |fix| fix.chars().count()));
    let beside = host_width + problem_width + fix_width + 6 <= width;
    let mut text = String::new();
    for (host, problem, fix) in entries {
        let line = match fix {
            Some(fix) if beside => format!("  {host:<host_width$}  {problem:<problem_width$}  {fix}"),
            Some(fix) => format!("  {host:<host_width$}  {problem}\n  {:<host_width$}    fix: {fix}", ""),
            None => format!("  {host:<host_width$}  {problem}"),
        };
        text.push('\n');
        text.push_str(&line);
    }
    text
}

/// What stopped a plan: the host, the step, how it ended and the lines of its output that matter.
fn unfinished(done: usize, total: usize, source: &runtime::Error) -> String {
    let far = format!("{done} of {} done", count(total, "step"));
    match source {
        runtime::Error::Cancelled { .. } => format!("interrupted; {far}"),
        runtime::Error::Step { host, step, status, detail } => {
            let lines: String = detail.lines().map(|line| format!("\n  | {line}")).collect();
            format!("`{step}` on {host} failed with {status}; {far}{lines}")
        }
        other => format!("{}; {far}", one_line(other)),
    }
}

fn kubefile_errors(file: &str, text: &str, errors: &kubefile::Errors, color: bool) -> String {
    let one = |error: &kubefile::Error| {
        snippet(file, text, error.span.start..error.span.end, &error.message(), &error.label(), color)
    };
    let mut shown: Vec<String> = errors.iter().map(one).collect();
    shown.push(format!("{}; nothing was built", count(errors.len(), "error")));
    shown.join("\n")
}

fn clusterfile_errors(file: &str, text: &str, errors: &clusterfile::Errors, color: bool) -> String {
    let text = &clusterfile::redacted(text);
    let one = |error: &clusterfile::Error| {
        snippet(file, text, error.span.start..error.span.end, &error.message(), &error.label(), color)
    };
    let mut shown: Vec<String> = errors.iter().map(one).collect();
    shown.push(format!("{}; nothing was changed", count(errors.len(), "error")));
    shown.join("\n")
}

fn snippet(file: &str, text: &str, span: std::ops::Range<usize>, title: &str, label: &str, color: bool) -> String {
    // A span that ends on a newline would spill to the next line.
    let start = span.start.min(text.len());
    let mut end = span.end.clamp(start, text.len());
    while end > start + 1 && text[..end].ends_with(['\n', '\r']) {
        end -= 1;
    }
    let (title, label) = (visible(title), visible(label));
    let annotation = AnnotationKind::Primary.span(start..end).label(&*label);
    let snippet = Snippet::source(text).path(file).annotation(annotation);
    let group: Group<'_> = Level::ERROR.primary_title(&*title).element(snippet);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn hosts_behind_one_broken_jump_host_share_a_line() {
        let cause = Arc::new(remote::Error::KeyEncrypted { name: "id_rsa".to_owned() });
        let address = |last| IpAddr::from([172, 16, 0, last]);
        let mut failures: Vec<(IpAddr, remote::Error)> = (5..8)
            .map(|last| {
                let host = address(last);
                (host, remote::Error::JumpHost { host: host.into(), source: cause.clone() })
            })
            .collect();
        let alone = remote::Error::ForwardingRefused { host: address(9).into(), port: 22, jump: address(5).into() };
        failures.push((address(9), alone));
        let text = render(&Failure::Core(Error::Connect(failures)), false, 200);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains("4 hosts"), "{text}");
        assert!(lines[1].starts_with("172.16.0.5 and 2 more"), "{text}");
        assert_eq!(text.matches("its jump host cannot be used: the private key").count(), 1, "{text}");
        assert!(lines[2].starts_with("172.16.0.9") && lines[2].contains("does not allow"), "{text}");
    }
}
