//! Performs one step on one host.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use remote::text::{last_lines, printable, quote};
use remote::{Command, Output, Remote, SmallFile};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::{ActionHandler, Event, Events};
use crate::{Action, Error, File, Run, Step, Wait};

/// Lines of output that a failure carries.
const LINES: usize = 20;
/// A line that is shown is cut at this many bytes.
const LINE_LIMIT: usize = 4096;
/// Bytes kept of output that was shown, for a failure.
const SHOWN_LIMIT: usize = 64 << 10;
/// How long a script of an earlier session may at least still go on, in seconds.
const LONGEST: u64 = 900;
/// How long a script that tells the reason of a failure may take.
const DIAGNOSE: Duration = Duration::from_secs(60);
/// How long after its end, as the host sees it, a script's end must have come to us.
const GRACE: Duration = Duration::from_secs(90);

/// One step on one host.
pub(super) struct StepRun<'a> {
    pub(super) step: &'a Step,
    pub(super) host: IpAddr,
    pub(super) remote: &'a Arc<dyn Remote>,
    pub(super) handler: &'a dyn ActionHandler,
    pub(super) events: Events<'a>,
}

impl StepRun<'_> {
    /// Does it.
    ///
    /// # Errors
    ///
    /// [`Error::Step`] when what it runs fails; otherwise what kept it from being run.
    pub(super) async fn perform(&self) -> Result<(), Error> {
        match &self.step.action {
            Action::Run(run) => self.run(run).await,
            Action::Write { files } => {
                let files = files.iter();
                let small = files.map(|File { path, mode, content, .. }| SmallFile { path, mode: *mode, content });
                Ok(self.remote.write_all(&small.collect::<Vec<_>>()).await?)
            }
            Action::Content(_) | Action::Custom(_) => {
                let progress =
                    |progress| (self.events)(Event::Moving { host: self.host, step: self.step.id.clone(), progress });
                self.handler.perform(self.step, self.host, self.remote.clone(), &progress).await
            }
            Action::Wait(wait) => self.wait(wait).await,
        }
    }

    async fn run(&self, run: &Run) -> Result<(), Error> {
        let seconds = run.timeout_seconds;
        let script = with_environment(run);
        let lock_seconds = seconds.max(LONGEST) + 30;
        let command = Command::new(guarded(&script, seconds, lock_seconds, run.show_output));
        let started = Instant::now();
        let running = async {
            match run.show_output {
                true => self.run_shown(&command, script.as_bytes()).await,
                false => Ok(self.remote.run(&command.clone().stdin(script.clone())).await?),
            }
        };
        let limit = Duration::from_secs(seconds + lock_seconds) + GRACE;
        let output = timeout(limit, running).await.map_err(|_| self.timed_out(seconds))??;
        if output.code == Some(0) {
            return Ok(());
        }
        let out_of_time = matches!(output.code, Some(124 | 137)) && started.elapsed() >= Duration::from_secs(seconds);
        let status = if out_of_time { format!("no end after {seconds} s") } else { output.status() };
        Err(self.failure(status, &output, run.diagnose.as_deref()).await)
    }

    /// Runs with each line of output told as it comes.
    async fn run_shown(&self, command: &Command, script: &[u8]) -> Result<Output, Error> {
        let mut session = self.remote.stream(command).await?;
        // If the other end is gone already, its exit code says more than our failing write.
        let _ = session.io.write_all(script).await;
        let _ = session.io.shutdown().await;
        let mut buffer = vec![0; 16 << 10];
        let mut line = Vec::new();
        let mut shown = Vec::new();
        loop {
            let read = session.io.read(&mut buffer).await.unwrap_or(0);
            for &byte in &buffer[..read] {
                match byte {
                    b'\n' => self.show(&mut line),
                    _ if line.len() < LINE_LIMIT => line.push(byte),
                    _ => {}
                }
            }
            shown.extend_from_slice(&buffer[..read]);
            shown.drain(..shown.len().saturating_sub(SHOWN_LIMIT));
            if read == 0 {
                break;
            }
        }
        if !line.is_empty() {
            self.show(&mut line);
        }
        let ended = (&mut session.end).await.map_err(|error| Error::TaskPanicked { detail: error.to_string() })?;
        let mut output = ended?;
        output.stdout = shown;
        Ok(output)
    }

    fn show(&self, line: &mut Vec<u8>) {
        let text = printable(&String::from_utf8_lossy(line));
        (self.events)(Event::Output { host: self.host, step: self.step.id.clone(), line: text });
        line.clear();
    }

    async fn wait(&self, wait: &Wait) -> Result<(), Error> {
        let seconds = wait.timeout_seconds;
        let command = Command::new(repeated(&wait.script, seconds));
        let output = timeout(Duration::from_secs(seconds) + GRACE, self.remote.run(&command)).await;
        let mut output = output.map_err(|_| self.timed_out(seconds))??;
        if output.code == Some(0) {
            return Ok(());
        }
        let status = if output.code == Some(1) { format!("no success within {seconds} s") } else { output.status() };
        output.stdout.clear();
        Err(self.failure(status, &output, wait.diagnose.as_deref()).await)
    }

    fn timed_out(&self, seconds: u64) -> Error {
        remote::Error::TimedOut { host: self.host, seconds, detail: self.step.title.clone() }.into()
    }

    async fn failure(&self, status: String, output: &Output, diagnose: Option<&str>) -> Error {
        let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        let mut detail = last_lines(said, LINES);
        if let Some(script) = diagnose {
            let command = Command::new(script).timeout(DIAGNOSE);
            // A diagnosis that fails must not hide the failure.
            if let Ok(output) = self.remote.run(&command).await {
                let said = [&output.stdout[..], &output.stderr[..]].concat();
                let said = last_lines(&said, LINES);
                if !said.is_empty() {
                    detail = if detail.is_empty() { said } else { format!("{detail}\n{said}") };
                }
            }
        }
        if detail.is_empty() {
            detail = "it said nothing".to_owned();
        }
        Error::Step { host: self.host, step: self.step.title.clone(), status, detail }
    }
}

fn with_environment(run: &Run) -> String {
    let exports = run.env.iter().map(|(name, value)| format!("export {name}={}\n", quote(value.expose())));
    exports.chain([run.script.clone()]).collect()
}

/// A shell script that takes another from standard input and runs it alone on the host.
///
/// The lock makes it wait for a script that an earlier, killed session left running. That one goes on undisturbed,
/// because its output goes to files, or to a reader that outlives the connection, never to a closed pipe. Processes
/// that a script leaves behind do not hold the lock.
///
/// Lock, script and output are in a directory that only this user can read or change: in `/run/lock`, where everybody may
/// make files, anybody could hold the lock, or lead the writing elsewhere by a symbolic link.
fn guarded(script: &str, seconds: u64, lock_seconds: u64, show: bool) -> String {
    let sum = hex::encode(Sha256::digest(script.as_bytes()));
    let run = match show {
        false => format!(
            r#"(umask 022; exec timeout -k 10 {seconds} /bin/sh "$f") </dev/null >"$f.out" 2>"$f.err" 9>&-
code=$?
tail -c 1000000 "$f.out"
tail -c 1000000 "$f.err" >&2"#
        ),
        true => format!(
            r#"mkfifo -m 600 "$f.pipe" || exit 74
( trap '' PIPE; exec tee -i /dev/null <"$f.pipe" 2>/dev/null 9>&- ) &
relay=$!
(umask 022; exec timeout -k 10 {seconds} /bin/sh "$f") </dev/null >"$f.pipe" 2>&1 9>&-
code=$?
n=0
while kill -0 $relay 2>/dev/null && [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); done"#
        ),
    };
    format!(
        r#"umask 077
d=/run/sealer-step
mkdir "$d" 2>/dev/null
[ ! -h "$d" ] && [ -d "$d" ] && [ "$(stat -c %u:%a "$d")" = "$(id -u):700" ] || {{ echo "$d is not a directory of this user alone; remove it" >&2; exit 74; }}
exec 9>>"$d/lock" || exit 74
flock -w {lock_seconds} 9
case $? in
0) ;;
1) echo "another step of sealer is still running on this host (it holds $d/lock)" >&2; exit 75 ;;
*) echo "cannot lock $d/lock" >&2; exit 74 ;;
esac
trap : HUP INT PIPE TERM
f=$d/script
rm -f "$f" "$f.out" "$f.err" "$f.pipe"
trap 'rm -f "$f" "$f.out" "$f.err" "$f.pipe"' EXIT
cat >"$f"
[ "$(sha256sum <"$f" | cut -c1-64)" = {sum} ] || {{ echo "the script arrived incomplete" >&2; exit 74; }}
{run}
exit $code
"#
    )
}

/// A shell script that tries another until it succeeds. Its dots make it notice a connection that is gone.
fn repeated(script: &str, seconds: u64) -> String {
    format!(
        r#"text={text}
now() {{ read -r up rest </proc/uptime; echo "${{up%%.*}}"; }}
end=$(( $(now) + {seconds} ))
while :; do
  left=$(( end - $(now) ))
  [ $left -ge 1 ] || left=1
  [ $left -le 60 ] || left=60
  out=$(timeout -k 2 $left /bin/sh -c "$text" </dev/null 2>&1) && exit 0
  [ $(now) -lt $end ] || {{ printf '%s\n' "$out" | tail -n {LINES} >&2; exit 1; }}
  echo . || exit 1
  sleep 0.5 2>/dev/null || sleep 1
done
"#,
        text = quote(script)
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::Stdio;

    use super::*;

    /// Runs a guarded script with `/run` elsewhere and the loosest umask; its exit code and what it printed.
    fn perform(run: &Path, script: &str, show: bool) -> (i32, String) {
        let guarded = guarded(script, 20, 20, show).replace("/run/", &format!("{}/", run.display()));
        let mut shell = std::process::Command::new("sh");
        let shell = shell.args(["-c", &format!("umask 000\n{guarded}")]).stdin(Stdio::piped());
        let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A script that is refused is not read.
        let _ = child.stdin.take().unwrap().write_all(script.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    #[test]
    fn what_a_step_leaves_on_a_host_is_for_its_user_alone() {
        let directory = tempfile::tempdir().unwrap();
        let ours = directory.path().join("sealer-step");
        let look = format!("umask; stat -c %a {0} {0}/script {0}/lock; ls {0}", ours.display());
        let modes = "0022\n700\n600\n600\n";
        assert_eq!(
            perform(directory.path(), &look, false),
            (0, format!("{modes}lock\nscript\nscript.err\nscript.out\n"))
        );
        assert_eq!(perform(directory.path(), &look, true), (0, format!("{modes}lock\nscript\nscript.pipe\n")));
        let outputs = format!("stat -c %a {0}/script.out {0}/script.err", ours.display());
        assert_eq!(perform(directory.path(), &outputs, false), (0, "600\n600\n".to_owned()));
        assert_eq!(fs::read_dir(&ours).unwrap().count(), 1, "the lock stays");
    }

    #[test]
    fn a_directory_that_others_can_change_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let (ours, victim) = (directory.path().join("sealer-step"), directory.path().join("victim"));
        fs::create_dir(&victim).unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o700)).unwrap();
        symlink(&victim, &ours).unwrap();
        let refused = |(code, said): (i32, String)| code == 74 && said.contains("not a directory of this user alone");
        assert!(refused(perform(directory.path(), "echo ran", false)));
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
        fs::remove_file(&ours).unwrap();
        fs::rename(&victim, &ours).unwrap();
        fs::set_permissions(&ours, Permissions::from_mode(0o777)).unwrap();
        assert!(refused(perform(directory.path(), "echo ran", true)));
    }
}
