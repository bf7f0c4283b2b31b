//! What ran, what failed, and how long did it take?

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::output;
use crate::program::line;

/// The results so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    passed: usize,
    failed: usize,
    ignored: usize,
    took: Duration,
}

impl Summary {
    /// Runs a command that either passes or fails as a whole.
    pub(super) fn step(&mut self, name: &str, mut command: Command) {
        output::step(&format!("{name}: {}", line(&command)));
        let start = Instant::now();
        let passed = command.status().is_ok_and(|status| status.success());
        self.add(name, usize::from(passed), usize::from(!passed), 0, start.elapsed());
    }

    /// Notes a check that could not even start.
    pub(super) fn failed(&mut self, name: &str, why: &str) {
        output::step(&format!("{name}: {why}"));
        self.add(name, 0, 1, 0, Duration::ZERO);
    }

    /// Runs a command that reports single tests, and counts them. A failure without a failed test (such as code that
    /// does not compile) counts as one.
    pub(super) fn tests(&mut self, name: &str, mut command: Command) {
        output::step(&format!("{name}: {}", line(&command)));
        let start = Instant::now();
        let (mut passed, mut failed, mut ignored) = (0, 0, 0);
        let success = command.stdout(Stdio::piped()).spawn().and_then(|mut child| {
            for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
                let line = line?;
                output::line(&line);
                if let Some(counts) = counts(&line) {
                    passed += counts[0];
                    failed += counts[1];
                    ignored += counts[2];
                }
            }
            child.wait().map(|status| status.success())
        });
        if failed == 0 && !success.unwrap_or(false) {
            failed = 1;
        }
        self.add(name, passed, failed, ignored, start.elapsed());
    }

    /// Prints the table and the totals; fails when anything failed.
    pub(super) fn finish(self) -> Result<()> {
        output::line("");
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        for row in &self.rows {
            let verdict = if row.failed == 0 { "ok    " } else { "FAILED" };
            let counts = if row.passed + row.failed == 1 {
                String::new()
            } else {
                format!("{} passed, {} failed", row.passed, row.failed)
            };
            output::line(&format!("{verdict}  {:width$}  {:>12}  {counts}", row.name, output::spoken(row.took)));
        }
        let sum = |count: fn(&Row) -> usize| self.rows.iter().map(count).sum::<usize>();
        let (passed, failed, ignored) = (sum(|row| row.passed), sum(|row| row.failed), sum(|row| row.ignored));
        let skipped = if ignored == 0 { String::new() } else { format!(", {ignored} ignored") };
        output::line(&format!("\n{passed} passed, {failed} failed{skipped}"));
        if failed > 0 {
            return Err(Error::Checks { failed, total: passed + failed });
        }
        Ok(())
    }

    fn add(&mut self, name: &str, passed: usize, failed: usize, ignored: usize, took: Duration) {
        self.rows.push(Row { name: name.to_string(), passed, failed, ignored, took });
    }
}

/// Passed, failed and ignored of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn counts(line: &str) -> Option<[usize; 3]> {
    let (_, rest) = line.trim_start().strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| rest.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok());
    Some([number(" passed")?, number(" failed")?, number(" ignored")?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::program;

    #[test]
    fn results_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some([12, 3, 1]));
        assert_eq!(counts("running 3 tests"), None);
    }

    #[test]
    fn a_failure_without_a_failed_test_still_fails() {
        let mut summary = Summary::default();
        let mut command = program("sh");
        command.args(["-c", "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'; exit 101"]);
        summary.tests("compile", command);
        assert!(matches!(summary.finish(), Err(Error::Checks { failed: 1, total: 3 })));
    }

    #[test]
    fn all_good_is_good() {
        let mut summary = Summary::default();
        summary.step("true", program("true"));
        assert!(summary.finish().is_ok());
    }
}
