//! Runs jobs in lanes: lanes side by side, the jobs of a lane one after the other, the output of each job in one piece.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::summary::{Row, counts};
use crate::error::Error;
use crate::output;
use crate::program::line;

/// How often the output of a running program is looked at.
const RHYTHM: Duration = Duration::from_millis(100);

/// Commands with one row in the summary.
#[derive(Debug)]
pub(super) struct Job {
    name: String,
    commands: Vec<Command>,
    /// Why it cannot run at all.
    hindrance: Option<String>,
    /// Its single tests are counted; else it passes or fails as a whole.
    counted: bool,
    /// Its output is shown while it runs.
    live: bool,
}

impl Job {
    /// A command that either passes or fails.
    pub(super) fn whole(name: &str, command: Command) -> Job {
        Job { commands: vec![command], counted: false, ..Job::tests(name, Vec::new()) }
    }

    /// Programs that report single tests.
    pub(super) fn tests(name: &str, commands: Vec<Command>) -> Job {
        Job { name: name.to_owned(), commands, hindrance: None, counted: true, live: false }
    }

    /// A check that lacks what it needs: it fails and says so.
    pub(super) fn impossible(name: &str, why: &Error) -> Job {
        Job { hindrance: Some(why.to_string()), ..Job::tests(name, Vec::new()) }
    }

    /// Shows the output while the job runs, for one that has no other beside it.
    pub(super) fn live(self) -> Job {
        Job { live: true, ..self }
    }

    /// Runs all its commands, also after one that failed. A failure without a failed test (such as a program that
    /// crashed) counts as one.
    fn run(self) -> (Row, String) {
        output::step(&format!("{} …", self.name));
        let start = Instant::now();
        let mut row = Row { name: self.name, passed: 0, failed: 0, ignored: 0, took: Duration::ZERO };
        let mut told = String::new();
        if let Some(why) = self.hindrance {
            row.failed = 1;
            told = format!("\n{}: {why}\n", row.name);
        }
        for command in self.commands {
            let title = format!("\n$ {}\n", line(&command));
            if self.live {
                output::text(&title);
            }
            let (success, text) = run(command, self.live);
            let found = text.lines().filter_map(counts).filter(|_| self.counted);
            let sum = found.fold([0; 3], |sum, counts| [0, 1, 2].map(|place| sum[place] + counts[place]));
            row.passed += sum[0] + usize::from(success && !self.counted);
            row.failed += sum[1] + usize::from(!success && sum[1] == 0);
            row.ignored += sum[2];
            told += &(title + &text);
        }
        row.took = start.elapsed();
        (row, if self.live { String::new() } else { told })
    }
}

/// Runs the lanes; the rows come in the order of lanes and jobs, whatever ended first.
pub(super) fn side_by_side(lanes: Vec<Vec<Job>>) -> Vec<Row> {
    let screen = Mutex::new(());
    let run_lane = |lane: Vec<Job>| {
        let run_job = |job: Job| {
            let (row, told) = job.run();
            let _alone = screen.lock().unwrap_or_else(PoisonError::into_inner);
            output::text(&told);
            output::step(&row.to_string());
            row
        };
        lane.into_iter().map(run_job).collect::<Vec<Row>>()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = lanes.into_iter().map(|lane| scope.spawn(|| run_lane(lane))).collect();
        running
            .into_iter()
            .flat_map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Runs a command to its end and returns whether it succeeded, with everything that it wrote. The output goes through
/// a file: a process that outlives the command and holds its output open keeps nobody waiting.
fn run(mut command: Command, live: bool) -> (bool, String) {
    let mut told = Told::default();
    let ended = tempfile::tempfile().and_then(|file| {
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        let mut child = command.spawn()?;
        loop {
            let ended = child.try_wait()?;
            told.follow(&file, live)?;
            if let Some(status) = ended {
                return Ok(status.success());
            }
            std::thread::sleep(RHYTHM);
        }
    });
    let success = ended.unwrap_or_else(|error| {
        told.bytes.extend(format!("error: {error}\n").into_bytes());
        false
    });
    (success, String::from_utf8_lossy(&told.bytes).into_owned())
}

/// What a program wrote so far.
#[derive(Debug, Default)]
struct Told {
    bytes: Vec<u8>,
}

impl Told {
    /// Reads what was added to the file; shows it when asked to.
    fn follow(&mut self, file: &File, live: bool) -> std::io::Result<()> {
        let before = self.bytes.len();
        let mut buffer = [0; 1 << 16];
        loop {
            let count = file.read_at(&mut buffer, self.bytes.len() as u64)?;
            self.bytes.extend_from_slice(&buffer[..count]);
            if count == 0 {
                break;
            }
        }
        if live {
            output::text(&String::from_utf8_lossy(&self.bytes[before..]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::program;

    fn shell(script: &str) -> Command {
        let mut command = program("sh");
        command.args(["-c", script]);
        command
    }

    const RESULT: &str = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured";

    #[test]
    fn tests_are_counted_over_all_programs_of_a_job() {
        let commands = vec![shell(&format!("echo '{RESULT}'")), shell(&format!("echo '{RESULT}'; exit 101"))];
        let (row, told) = Job::tests("two", commands).run();
        assert_eq!((row.passed, row.failed, row.ignored), (4, 1, 2), "{told}");
    }

    #[test]
    fn a_command_passes_or_fails_as_a_whole() {
        let (passed, _) = Job::whole("true", shell(&format!("echo '{RESULT}'"))).run();
        assert_eq!((passed.passed, passed.failed), (1, 0));
        let (failed, told) = Job::whole("false", shell("echo out; echo err >&2; exit 3")).run();
        assert_eq!((failed.passed, failed.failed), (0, 1));
        assert!(told.ends_with("out\nerr\n"), "{told}");
        let (missing, told) = Job::whole("missing", program("no-such-program-here")).run();
        assert!(missing.failed == 1 && told.contains("error: "), "{told}");
    }

    #[test]
    fn lanes_run_side_by_side_and_report_in_order() {
        // Each lane waits for what the other writes.
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (one, two) = (path("one"), path("two"));
        let meet = |ours: &str, other: &str| {
            shell(&format!("touch {ours}; for i in $(seq 100); do test -e {other} && exit 0; sleep 0.1; done; exit 1"))
        };
        let first = vec![Job::whole("a", meet(&one, &two)), Job::whole("b", shell("exit 0"))];
        let rows = side_by_side(vec![first, vec![Job::whole("c", meet(&two, &one))]]);
        let found: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.failed)).collect();
        assert_eq!(found, [("a", 0), ("b", 0), ("c", 0)]);
    }

    #[test]
    fn a_process_that_stays_keeps_nobody_waiting() {
        let start = Instant::now();
        let (row, _) = Job::whole("stays", shell("sleep 20 & exit 0")).run();
        assert!(row.passed == 1 && start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}
