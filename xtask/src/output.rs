//! Prints what the developer sees while automation runs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the only file that prints")]

use std::error::Error;
use std::time::Duration;

/// Announces a piece of work on standard error.
pub(crate) fn step(text: &str) {
    eprintln!("xtask: {text}");
}

/// Prints a line of the result on standard output.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints text that has its own line ends, such as the output of a program.
pub(crate) fn text(text: &str) {
    print!("{text}");
}

/// Prints an error with all its causes.
pub(crate) fn failure(error: &dyn Error) {
    eprintln!("error: {}", error_report::one_line(error));
}

/// A duration as a person would say it: `850 ms`, `12.3 s`, `4 min 05 s`.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{} ms", duration.as_millis())
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(spoken(Duration::from_millis(850)), "850 ms");
        assert_eq!(spoken(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(spoken(Duration::from_secs(245)), "4 min 05 s");
    }
}
