//! What can go wrong in developer automation, and on which object.

use std::io;
use std::path::{Path, PathBuf};

/// Short form used throughout this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed act, named with its object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or directory could not be read, written, locked or moved.
    #[error("failed to {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: io::Error },
    /// A program could not be started at all.
    #[error("failed to start `{program}`: is it installed?")]
    Start { program: String, source: io::Error },
    /// A program ran and said no.
    #[error("`{line}` ended with {status}{}", tail(.output))]
    Program { line: String, status: String, output: String },
    /// A document had another shape than its writer promised.
    #[error("{what} is not what was expected: {found}")]
    Shape { what: String, found: String },
    /// A slow result could not be made.
    #[error("{name} could not be made; what is finished is kept, so the same command resumes once the cause is fixed")]
    Entry { name: String, source: Box<Error> },
    /// Something this machine lacks and we cannot bring.
    #[error("{missing}; {remedy}")]
    Machine { missing: String, remedy: String },
    /// A check of ours found something.
    #[error("{failed} of {total} failed")]
    Checks { failed: usize, total: usize },
}

impl Error {
    /// For use in `map_err`: the act and the path that it failed on.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::File { act, path, source }
    }
}

/// The last lines of a program's output, set apart; nothing when it was silent or already shown.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    if last.is_empty() { String::new() } else { format!("; its last lines:\n    {}", last.join("\n    ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_a_program_are_shown() {
        let output = (0..100).map(|number| format!("line {number}\n")).collect::<String>();
        let shown = Error::Program { line: "make".into(), status: "exit status: 2".into(), output }.to_string();
        assert!(shown.contains("line 99") && shown.contains("line 80") && !shown.contains("line 79"), "{shown}");
    }
}
