//! The Kubefiles of the case suite parse, expand and fail as recorded.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail by panic, and UPDATE=1 asks for new expectations"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use kubefile::{Errors, Kubefile, Resolved, ResolvedInstruction};

/// A case file has `=== input`, perhaps `=== build-args` and `=== base-apps`, and `=== expect`.
///
/// `UPDATE=1` rewrites what is expected.
#[test]
fn case_suite() {
    let update = std::env::var_os("UPDATE").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/suite/kubefile");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 35, "only {} cases in {}", paths.len(), folder.display());
    let mut failures = String::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let case = Case::read(&text);
        let found = case.run();
        if found == case.section("expect") {
            continue;
        }
        if update {
            let head = text.split("=== expect\n").next().unwrap();
            fs::write(&path, format!("{head}=== expect\n{found}")).unwrap();
        } else {
            let expected = case.section("expect");
            writeln!(failures, "{}\nexpected:\n{expected}\nfound:\n{found}", path.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

struct Case(BTreeMap<String, String>);

impl Case {
    fn read(text: &str) -> Self {
        let mut sections: BTreeMap<String, String> = BTreeMap::new();
        let mut current = String::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix("=== ") {
                Some(name) => current = name.trim().to_owned(),
                None => sections.entry(current.clone()).or_default().push_str(line),
            }
        }
        Self(sections)
    }

    fn section(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The input; `<BOM>`, `<CR>` and `<TAB>` stand for what an editor would hide, `<END>` for a missing last line feed.
    fn input(&self) -> String {
        let text = self.section("input").replace("<BOM>", "\u{feff}").replace("<CR>", "\r").replace("<TAB>", "\t");
        text.strip_suffix("<END>\n").map_or(text.clone(), str::to_owned)
    }

    fn run(&self) -> String {
        let kubefile = match kubefile::parse(&self.input()) {
            Ok(kubefile) => kubefile,
            Err(errors) => return rendered(&errors),
        };
        if let Some(apps) = self.0.get("base-apps")
            && let Err(errors) = kubefile.check_apps(&apps.lines().map(str::to_owned).collect())
        {
            return rendered(&errors);
        }
        let predefined = BTreeMap::from([("ARCH".to_owned(), "amd64".to_owned())]);
        match kubefile.expand(&self.build_args(), &predefined) {
            Ok(resolved) => listed(&kubefile, &resolved),
            Err(errors) => rendered(&errors),
        }
    }

    fn build_args(&self) -> BTreeMap<String, String> {
        let pairs = self.section("build-args").lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn listed(kubefile: &Kubefile, resolved: &Resolved) -> String {
    let mut text = String::new();
    for ResolvedInstruction { span, kind, .. } in &resolved.instructions {
        let slice = span.slice(kubefile.text());
        let last = span.line + slice.matches('\n').count();
        let lines = if last == span.line { last.to_string() } else { format!("{}-{last}", span.line) };
        writeln!(text, "{lines}: {kind:?}").unwrap();
    }
    for warning in &resolved.warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    text
}

/// Much as the command line shows them.
fn rendered(errors: &Errors) -> String {
    let mut text = String::new();
    for error in errors {
        let span = error.span;
        let number = span.line.to_string();
        let indent = " ".repeat(number.len());
        let rest = error.line.chars().count().saturating_sub(span.column - 1).max(1);
        let carets = "^".repeat((span.end - span.start).clamp(1, rest));
        let before = " ".repeat(span.column - 1);
        writeln!(text, "error: {}", error.message()).unwrap();
        writeln!(text, "{indent}--> {}:{}", span.line, span.column).unwrap();
        writeln!(text, "{number} | {}", error.line).unwrap();
        writeln!(text, "{indent} | {before}{carets} {}", error.label()).unwrap();
        if let Some(related) = error.related {
            writeln!(text, "{indent} = see line {}", related.line).unwrap();
        }
    }
    text
}
