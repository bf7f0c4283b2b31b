//! Checks that the crates that are pure text and data do no I/O and know no async.

use std::fs;
use std::path::Path;

use super::{Finding, layout};
use crate::error::{Error, Result};

/// Whose sources must touch nothing outside themselves.
const PURE: &[&str] = &["crates/clusterfile/src", "crates/kubefile/src"];
/// What leads outside.
const IMPURE: &[&str] = &[
    "async ",
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::time",
    "TcpStream",
    "tokio",
    "UdpSocket",
];

/// Checks every source file of the pure crates.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in layout::sources(root)?.iter().filter(|path| PURE.iter().any(|pure| path.starts_with(pure))) {
        let full = root.join(path);
        let text = fs::read_to_string(&full).map_err(Error::file("read", &full))?;
        findings.extend(check_file(path, &text));
    }
    Ok(findings)
}

fn check_file(path: &Path, text: &str) -> Vec<Finding> {
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let outside = |line: &str| IMPURE.iter().find(|word| line.contains(**word));
    code.filter_map(|(index, line)| {
        let word = outside(line)?.trim();
        Some(Finding::error(path, index + 1, format!("`{word}` has no place in a crate that is pure text and data")))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_outside_is_found_and_words_about_it_are_not() {
        let text =
            "//! No std::fs here.\nuse std::{fmt, net::IpAddr};\n    // tokio\nfn read() { std::fs::read(\"x\"); }\n";
        let found: Vec<String> = check_file(Path::new("a.rs"), text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["error: a.rs:4: `std::fs` has no place in a crate that is pure text and data"]);
    }
}
