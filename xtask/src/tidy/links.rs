//! Checks that the links of the pages lead somewhere.

use std::fs;
use std::path::Path;

use super::{Finding, layout};
use crate::error::{Error, Result};

/// Checks every relative link of every page: the file must be there and, in a page, the heading.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in layout::pages(root)? {
        let full = root.join(&path);
        let text = fs::read_to_string(&full).map_err(Error::file("read", &full))?;
        for (line, target) in links(&text) {
            if !leads_somewhere(&full, target) {
                findings.push(Finding::error(&path, line, format!("the link `{target}` leads nowhere")));
            }
        }
    }
    Ok(findings)
}

/// Relative targets of `[text](target)`, with their lines; code is passed over.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut code = false;
    for (index, line) in text.lines().enumerate() {
        code ^= line.starts_with("```");
        let mut parts = if code { "" } else { line }.split("](");
        parts.next();
        let targets = parts.filter_map(|part| part.split_once(')').map(|(target, _)| target));
        found.extend(targets.filter(|target| !target.contains("://")).map(|target| (index + 1, target)));
    }
    found
}

fn leads_somewhere(page: &Path, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { page.to_path_buf() } else { page.parent().unwrap_or(Path::new("")).join(file) };
    let has = |text: String| text.lines().filter_map(|line| line.strip_prefix('#')).any(|line| anchor(line) == heading);
    file.exists() && (heading.is_empty() || fs::read_to_string(&file).is_ok_and(has))
}

/// How a heading is called in links.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dead_links_are_found_with_their_line() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("a.md"), "# A B, c\n[b](b.md#two-words) [self](#a-b-c)\n```\n[x](gone)\n```\n").unwrap();
        fs::write(root.join("b.md"), "## Two words\n[w](https://x.example/) [g](gone.md), [h](a.md#gone)\n").unwrap();
        let found: Vec<String> = check(root).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["error: b.md:2: the link `gone.md` leads nowhere", "error: b.md:2: the link `a.md#gone` leads nowhere"]
        );
    }
}
