//! Checks that the repository keeps its own rules. Runs as `cargo xtask tidy` and inside `cargo test`.

mod decisions;
mod layout;
mod links;
mod manifests;
mod purity;
mod sizes;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output;

/// Something that breaks a rule, or comes close.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path below the repository.
    pub(crate) path: PathBuf,
    /// One-based; 0 when the whole file is meant.
    pub(crate) line: usize,
    pub(crate) message: String,
    pub(crate) kind: Kind,
}

/// Whether a finding fails the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Error,
    Warning,
}

impl Finding {
    fn error(path: &Path, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_path_buf(), line, message: message.into(), kind: Kind::Error }
    }

    fn warning(path: &Path, line: usize, message: impl Into<String>) -> Finding {
        Finding { kind: Kind::Warning, ..Finding::error(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Error => "error",
            Kind::Warning => "warning",
        };
        write!(formatter, "{kind}: {}", self.path.display())?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// Checks the repository at `root`; errors first.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = layout::check(root)?;
    findings.extend(decisions::check(root)?);
    findings.extend(links::check(root)?);
    findings.extend(manifests::check(root)?);
    findings.extend(purity::check(root)?);
    findings.extend(sizes::check(root)?);
    findings.sort_by(|left, right| (left.kind, left).cmp(&(right.kind, right)));
    Ok(findings)
}

/// Prints the findings; fails when one of them is an error.
pub(crate) fn report(root: &Path) -> Result<()> {
    let findings = check(root)?;
    for finding in &findings {
        output::line(&finding.to_string());
    }
    let failed = findings.iter().filter(|finding| finding.kind == Kind::Error).count();
    if failed > 0 {
        return Err(Error::Checks { failed, total: findings.len() });
    }
    output::step("tidy");
    Ok(())
}

/// The repository that this program was compiled from.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_path_buf()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let findings = check(&repository()).unwrap();
        let errors: Vec<String> =
            findings.iter().filter(|finding| finding.kind == Kind::Error).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }
}
