//! Checks that every decision page has a number, a status and a date, and its line in the index.

use std::fs;
use std::path::Path;

use super::{Finding, layout};
use crate::error::{Error, Result};

const DIRECTORY: &str = "docs/decisions";
const INDEX: &str = "README.md";

/// Checks every page below `docs/decisions` against its own head and the index.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let read = |path: &Path| fs::read_to_string(root.join(path)).map_err(Error::file("read", path));
    let index = Path::new(DIRECTORY).join(INDEX);
    let index_text = read(&index)?;
    let mut findings = Vec::new();
    for path in layout::pages(root)? {
        if path.starts_with(DIRECTORY) && path != index {
            findings.extend(check_page(&path, &read(&path)?, &index_text));
        }
    }
    Ok(findings)
}

fn check_page(path: &Path, text: &str, index: &str) -> Option<Finding> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let number = file.split('-').next().unwrap_or_default();
    let value = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix).map(str::trim));
    let Some(title) = text.strip_prefix(&format!("# {number}. ")).and_then(|rest| rest.lines().next()) else {
        return Some(Finding::error(path, 1, format!("the heading must be `# {number}. Title`")));
    };
    let (Some(status), Some(_)) = (value("- Status: "), value("- Date: ")) else {
        return Some(Finding::error(path, 0, "a decision needs the lines `- Status: …` and `- Date: …`"));
    };
    let row = format!("| [{number}]({file}) | {title} | {status} |");
    let listed = index.lines().any(|line| line == row);
    (!listed).then(|| Finding::error(path, 0, format!("the index lacks its line `{row}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# 0001. Title\n\n- Status: accepted\n- Date: 2026-11-30\n\nText.\n";
    const ROW: &str = "| [0001](0001-title.md) | Title | accepted |\n";

    fn message(page: &str, index: &str) -> String {
        check_page(Path::new("docs/decisions/0001-title.md"), page, index)
            .map(|found| found.message)
            .unwrap_or_default()
    }

    #[test]
    fn a_page_needs_number_status_date_and_a_line_in_the_index() {
        assert_eq!(message(PAGE, ROW), "");
        assert!(message(&PAGE.replace("0001", "0002"), ROW).contains("heading"));
        assert!(message(&PAGE.replace("- Date", "Date"), ROW).contains("- Date: …"));
        assert!(message(&PAGE.replace("accepted", "superseded by 0002"), ROW).contains("superseded by 0002 |"));
        assert!(message(PAGE, "").contains("index"));
    }
}
