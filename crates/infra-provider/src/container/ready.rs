//! Waits until a host has booted and its SSH server answers.

use std::net::IpAddr;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{InspectContainerOptions, LogsOptions};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::engine::failed;
use super::host::HostSetup;
use super::machine::Machine;
use crate::{Error, ProviderEvent, Result};

/// Between two looks at a host.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// For one question to a host.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is read from a host's answer, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
/// How many of a host's last lines go into an error.
const LOG_LINES: usize = 15;
/// The longest of them, in characters.
const LINE_LIMIT: usize = 400;

/// Waits until `sshd` greets and systemd has finished booting, then says so.
pub(super) async fn wait(setup: &HostSetup<'_>, machine: Machine, id: &str) -> Result<()> {
    let host = machine.name(&setup.cluster.name);
    let address = IpAddr::V4(machine.address);
    let deadline = Instant::now() + setup.ready_within;
    loop {
        let missing = match inspect(setup, machine, &host, id).await? {
            Readiness::Ready { failed_units } => {
                setup.context.tell(ProviderEvent::Ready { host, address, failed_units });
                return Ok(());
            }
            Readiness::Missing(missing) => missing,
        };
        if Instant::now() >= deadline {
            let mut log = last_lines(setup, id).await;
            log.extend(lines(
                &output_of(setup, id, &["journalctl", "--boot", "--lines=15", "--output=cat", "--no-pager"]).await,
            ));
            let waited = setup.ready_within;
            return Err(Error::NotReady { host, address, waited, missing, log });
        }
        setup.context.sleep(POLL_INTERVAL).await?;
    }
}

enum Readiness {
    Ready { failed_units: Vec<String> },
    Missing(String),
}

async fn inspect(setup: &HostSetup<'_>, machine: Machine, host: &str, id: &str) -> Result<Readiness> {
    let inspected = setup.engine.docker.inspect_container(id, None::<InspectContainerOptions>);
    let state = inspected.await.map_err(failed("inspecting host", host))?.state.unwrap_or_default();
    if state.running != Some(true) {
        let (host, code) = (host.to_owned(), state.exit_code.unwrap_or_default());
        return Err(Error::HostStopped { host, code, log: last_lines(setup, id).await });
    }
    let greeted = timeout(REQUEST_TIMEOUT, async {
        let mut stream = TcpStream::connect((machine.address, 22)).await?;
        greets(&mut stream).await
    });
    if !matches!(greeted.await, Ok(Ok(true))) {
        return Ok(Readiness::Missing("its SSH server does not answer on port 22".to_owned()));
    }
    let state = output_of(setup, id, &["systemctl", "is-system-running"]).await;
    Ok(match state.lines().next_back().unwrap_or_default().trim() {
        "running" => Readiness::Ready { failed_units: Vec::new() },
        "degraded" => {
            let list = "systemctl list-units --failed --plain --no-legend --no-pager";
            let list: Vec<&str> = list.split(' ').collect();
            Readiness::Ready { failed_units: unit_names(&output_of(setup, id, &list).await) }
        }
        "" => Readiness::Missing("systemd does not answer".to_owned()),
        state => Readiness::Missing(format!("systemd is `{state}`")),
    })
}

/// Whether an SSH server's version line comes (RFC 4253, 4.2: lines of other text may precede it).
async fn greets(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<bool> {
    let mut text = Vec::new();
    let mut buffer = [0; 512];
    while text.len() < 8 * 1024 {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..read]);
        if text
            .split_inclusive(|byte| *byte == b'\n')
            .any(|line| line.starts_with(b"SSH-2.0-") && line.ends_with(b"\n"))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a command prints on the host's standard output; nothing when it cannot be run in time.
async fn output_of(setup: &HostSetup<'_>, id: &str, command: &[&str]) -> String {
    let answer = async {
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let exec = setup.engine.docker.create_exec(id, options).await.ok()?;
        match setup.engine.docker.start_exec(&exec.id, None::<StartExecOptions>).await.ok()? {
            StartExecResults::Attached { output, .. } => Some(text(output, false).await),
            StartExecResults::Detached => None,
        }
    };
    timeout(REQUEST_TIMEOUT, answer).await.ok().flatten().unwrap_or_default()
}

/// The last lines the host's init printed, as far as the engine has them.
async fn last_lines(setup: &HostSetup<'_>, id: &str) -> Vec<String> {
    let options = LogsOptions { stdout: true, stderr: true, tail: LOG_LINES.to_string(), ..Default::default() };
    let log = text(setup.engine.docker.logs(id, Some(options)), true);
    let log = timeout(REQUEST_TIMEOUT, log).await.unwrap_or_default();
    lines(&log)
}

/// The last lines of a text, without what could move a terminal's cursor.
fn lines(text: &str) -> Vec<String> {
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(LOG_LINES)..];
    last.iter().map(|line| line.chars().filter(|c| !c.is_control()).take(LINE_LIMIT).collect()).collect()
}

async fn text(stream: impl Stream<Item = Result<LogOutput, bollard::errors::Error>>, with_stderr: bool) -> String {
    let mut stream = Box::pin(stream);
    let mut bytes = Vec::new();
    while let Some(Ok(output)) = stream.next().await {
        match output {
            LogOutput::StdErr { message } if with_stderr => bytes.extend_from_slice(&message),
            LogOutput::StdErr { .. } | LogOutput::StdIn { .. } => {}
            LogOutput::StdOut { message } | LogOutput::Console { message } => bytes.extend_from_slice(&message),
        }
        if bytes.len() > ANSWER_LIMIT {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first word of each line of `systemctl list-units --plain --no-legend`.
fn unit_names(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.split_whitespace().find(|word| word.contains('.'))).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    async fn greeting(mut text: &[u8]) -> bool {
        greets(&mut text).await.unwrap()
    }

    #[tokio::test]
    async fn only_a_whole_version_line_counts() {
        assert!(greeting(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").await);
        assert!(greeting(b"hello\r\nSSH-2.0-x\r\n").await);
        for other in [&b"SSH-2.0-half"[..], b"", b"HTTP/1.1 400 Bad Request\r\n", b"x SSH-2.0-y\n"] {
            assert!(!greeting(other).await, "{}", String::from_utf8_lossy(other));
        }
        assert!(!greeting(&b"noise\n".repeat(10_000)).await);
    }

    #[test]
    fn logs_are_cut_and_cannot_move_the_cursor() {
        let log = lines(&"\u{1b}[2Jx\r\n".repeat(40));
        assert_eq!((log.len(), log[0].as_str()), (LOG_LINES, "[2Jx"));
        assert_eq!(lines(&"y".repeat(5000))[0].len(), LINE_LIMIT);
    }

    #[test]
    fn failed_units_are_named() {
        let list = "systemd-modules-load.service loaded failed failed Load Kernel Modules\n● a.mount loaded failed failed A\n\n";
        assert_eq!(unit_names(list), ["systemd-modules-load.service", "a.mount"]);
    }
}
