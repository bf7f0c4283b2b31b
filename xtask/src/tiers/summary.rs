//! Adds up what ran, what failed, and how long it took.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::output;

/// The results so far.
#[derive(Debug)]
pub(super) struct Summary {
    rows: Vec<Row>,
    start: Instant,
}

/// The result of one job.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
    pub(super) took: Duration,
}

impl Summary {
    /// An empty one; the time runs from now on.
    pub(super) fn start() -> Summary {
        Summary { rows: Vec::new(), start: Instant::now() }
    }

    /// Adds the results of jobs.
    pub(super) fn add(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    /// Adds the time that a phase without a result took.
    pub(super) fn phase(&mut self, name: &str, took: Duration) {
        self.rows.push(Row { name: name.to_owned(), passed: 0, failed: 0, ignored: 0, took });
    }

    /// Prints the table and the totals; fails when anything failed or nothing ran.
    pub(super) fn finish(self) -> Result<()> {
        output::line("");
        for row in &self.rows {
            output::line(&row.to_string());
        }
        output::line(&format!("{:>52}  in all", output::spoken(self.start.elapsed())));
        let sum = |count: fn(&Row) -> usize| self.rows.iter().map(count).sum::<usize>();
        let (passed, failed, ignored) = (sum(|row| row.passed), sum(|row| row.failed), sum(|row| row.ignored));
        let skipped = if ignored == 0 { String::new() } else { format!(", {ignored} ignored") };
        output::line(&format!("\n{passed} passed, {failed} failed{skipped}"));
        match (passed, failed) {
            (0, 0) => Err(Error::Shape { what: "the summary".into(), found: "nothing ran".into() }),
            (_, 0) => Ok(()),
            _ => Err(Error::Checks { failed, total: passed + failed }),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failed == 0 { "ok    " } else { "FAILED" };
        write!(formatter, "{verdict}  {:30}  {:>12}", self.name, output::spoken(self.took))?;
        if self.passed + self.failed > 1 {
            write!(formatter, "  {} passed, {} failed", self.passed, self.failed)?;
        }
        Ok(())
    }
}

/// Passed, failed and ignored of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
pub(super) fn counts(line: &str) -> Option<[usize; 3]> {
    let (_, rest) = line.trim_start().strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| rest.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok());
    Some([number(" passed")?, number(" failed")?, number(" ignored")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(passed: usize, failed: usize) -> Summary {
        let mut summary = Summary::start();
        summary.phase("build", Duration::from_secs(200));
        summary.add(vec![Row { name: "x".into(), passed, failed, ignored: 0, took: Duration::ZERO }]);
        summary
    }

    #[test]
    fn results_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some([12, 3, 1]));
        assert_eq!(counts("running 3 tests"), None);
    }

    #[test]
    fn one_failure_fails_the_whole() {
        assert!(matches!(summary(2, 1).finish(), Err(Error::Checks { failed: 1, total: 3 })));
        assert!(summary(2, 0).finish().is_ok());
    }

    #[test]
    fn nothing_that_ran_is_no_success() {
        assert!(summary(0, 0).finish().is_err());
    }
}
