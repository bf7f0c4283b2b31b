//! Every case of `tests/suite/clusterfile` reads, compares and writes as recorded.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

use std::{fmt::Write as _, fs, path::Path};

use clusterfile::{Change, Errors, Host, diff, parse, parse_default, redacted};

/// A case is a text file of sections `=== name`. The sections before `=== expect` are input:
/// `input` or `default` alone (read and written back), or `current` (may be empty) and `wanted` (compared).
/// `UPDATE=1` rewrites `expect`.
#[test]
#[expect(clippy::disallowed_methods, reason = "UPDATE=1 is for the one who runs the tests")]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/suite/clusterfile");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    assert!(paths.len() >= 35, "only {} cases found", paths.len());

    let update = std::env::var_os("UPDATE").is_some();
    let mut failures = String::new();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        let (input, expected) = text.split_once("=== expect\n").unwrap_or((&text, ""));
        let found = run(input);
        if found == expected {
            continue;
        }
        if update {
            fs::write(path, format!("{input}=== expect\n{found}")).unwrap();
        } else {
            writeln!(failures, "{}\n--- expected\n{expected}--- found\n{found}", path.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn run(input: &str) -> String {
    let sections: Vec<(&str, &str)> = input.split("=== ").skip(1).map(|part| part.split_once('\n').unwrap()).collect();
    match sections[..] {
        [("input", text)] => written(text, parse(text)),
        [("default", text)] => written(text, parse_default(text)),
        [("current", current), ("wanted", wanted)] => {
            let current = (!current.trim().is_empty()).then(|| parse_default(current).unwrap().cluster);
            shown(&diff(current.as_ref(), &parse_default(wanted).unwrap().cluster))
        }
        _ => panic!("a case has the sections input, or default, or current and wanted"),
    }
}

/// The canonical YAML, which must read back as the same, or the errors.
fn written(text: &str, result: Result<clusterfile::Clusterfile, Errors>) -> String {
    match result {
        Ok(file) => {
            let yaml = file.to_yaml();
            assert_eq!(parse_default(&yaml).map_err(|errors| errors.to_string()), Ok(file), "{yaml}");
            yaml
        }
        Err(errors) => errors.iter().map(|error| located(&redacted(text), error)).collect(),
    }
}

/// An error with its line and a caret under its place.
fn located(text: &str, error: &clusterfile::Error) -> String {
    let line = text.lines().nth(error.span.line - 1).unwrap_or_default();
    let marked = text.get(error.span.start..error.span.end).unwrap_or_default();
    let marked = marked.lines().next().unwrap_or_default().trim_end();
    let indent = " ".repeat(error.span.column - 1);
    let carets = "^".repeat(marked.chars().count().clamp(1, 60));
    let pointer = format!("{indent}{carets} {}", error.label());
    let message = error.message();
    format!("{}:{}: {message}\n  | {line}\n  | {}\n", error.span.line, error.span.column, pointer.trim_end())
}

fn shown(change: &Change) -> String {
    let mut text = format!("{:?}\n", change.kind);
    let host = |host: &Host| {
        format!("{} {}", host.address, host.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    for joining in &change.joins {
        writeln!(text, "joins   {}", host(joining)).unwrap();
    }
    for leaving in &change.leaves {
        writeln!(text, "leaves  {}", host(leaving)).unwrap();
    }
    if let Some(image) = &change.image {
        writeln!(text, "image   {} -> {}", image.from, image.to).unwrap();
    }
    for setting in &change.settings {
        writeln!(text, "setting {setting:?}").unwrap();
    }
    text
}
