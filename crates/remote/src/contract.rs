//! What every [`Remote`] must do: suites that implementations run against themselves.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Command, Remote, SmallFile};
use crate::Error;

/// Files: atomic writing, uploading, reading, their limits. `directory` is an absolute path on the host that may be
/// written below, and `local` one on this machine.
///
/// # Panics
///
/// When the implementation does not keep the contract.
pub async fn files(remote: &dyn Remote, directory: &str, local: &Path) {
    let path = format!("{directory}/new parent/it's a file");
    assert_eq!(remote.read(&path, 10).await.unwrap(), None, "no file, no content");
    remote.write(&path, 0o640, b"one\n").await.unwrap();
    remote.write(&path, 0o600, b"two\0\n\n").await.unwrap();
    assert_eq!(remote.read(&path, 6).await.unwrap().unwrap(), b"two\0\n\n", "content comes back as it was");
    let error = remote.read(&path, 5).await.unwrap_err();
    assert!(matches!(error, Error::FileTooLarge { limit: 5, .. }), "{error}");
    remote.write(&path, 0o600, b"").await.unwrap();
    assert_eq!(remote.read(&path, 0).await.unwrap().unwrap(), b"", "an empty file is a file");
    for bad in ["relative", "/directory/"] {
        let error = remote.write(bad, 0o600, b"").await.unwrap_err();
        assert!(matches!(error, Error::RemotePath { .. }), "{error}");
    }
    let error = remote.write(&format!("{directory}/new parent"), 0o600, b"").await.unwrap_err();
    assert!(matches!(error, Error::File { .. }) && error.to_string().contains("directory"), "{error}");

    many_files(remote, directory).await;

    let content: Vec<u8> = (0..1_500_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(local, &content).unwrap();
    let target = format!("{directory}/uploaded");
    let told = AtomicU64::new(0);
    let tell = |bytes| told.store(bytes, Ordering::Relaxed);
    assert_eq!(remote.upload(local, &target, 0o755, &tell).await.unwrap(), 1_500_000);
    assert_eq!(told.load(Ordering::Relaxed), 1_500_000, "progress reaches the end");
    assert!(remote.read(&target, 2_000_000).await.unwrap().unwrap() == content);
    assert_eq!(remote.upload(local, &target, 0o755, &tell).await.unwrap(), 0, "what is there is not sent again");
    assert!(remote.upload(local, &target, 0o700, &tell).await.is_ok());
    let error = remote.upload(&local.with_extension("absent"), &target, 0o755, &tell).await.unwrap_err();
    assert!(matches!(error, Error::LocalFile { .. }), "{error}");
}

/// More files than one script takes, of every size, some large enough to be sent alone.
async fn many_files(remote: &dyn Remote, directory: &str) {
    let path = |number: usize| format!("{directory}/many/{}/it's {number}", number % 7);
    let files: Vec<(String, Vec<u8>)> =
        (0..120).map(|number| (path(number), vec![b'x'; number * 997 % 40_000])).collect();
    let mut all: Vec<SmallFile<'_>> =
        files.iter().map(|(path, content)| SmallFile { path, mode: 0o640, content }).collect();
    let large = vec![7; 5 << 20];
    let last = format!("{directory}/many/large");
    all.push(SmallFile { path: &last, mode: 0o600, content: &large });
    remote.write_all(&all).await.unwrap();
    for (path, content) in &files {
        assert!(remote.read(path, 40_000).await.unwrap().unwrap() == *content, "{path}");
    }
    assert!(remote.read(&last, 6 << 20).await.unwrap().unwrap() == large);
    let within = format!("{directory}/many");
    all[60].path = &within;
    let error = remote.write_all(&all).await.unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
    remote.write_all(&[]).await.unwrap();
}

/// Commands: exit codes, signals, output apart, environment, input, limits, streams.
///
/// # Panics
///
/// When the implementation does not keep the contract.
pub async fn commands(remote: &dyn Remote) {
    let mut command = Command::new("echo out; echo err >&2; exit 7");
    let output = remote.run(&command).await.unwrap();
    assert_eq!((output.code, output.signal.as_deref()), (Some(7), None));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]), "output is kept apart");

    command.script = "id -u; kill -KILL $$".into();
    let output = remote.run(&command).await.unwrap();
    assert_eq!(
        (output.code, output.signal.as_deref(), &output.stdout[..]),
        (None, Some("KILL"), &b"0\n"[..]),
        "root, and a signal"
    );

    let value = "it's \"$HOME\" `id` \\ \n end ✓";
    command.script = "printf %s \"$A_1\"; cat".into();
    command.env.insert("A_1".into(), value.into());
    let output = remote.run(&command).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), value, "no input is an empty input");
    command.stdin = Some(b"\0secret\n".to_vec());
    let output = remote.run(&command).await.unwrap();
    assert_eq!(output.stdout, [value.as_bytes(), b"\0secret\n"].concat());
    command.env.insert("not a name".into(), String::new());
    assert!(matches!(remote.run(&command).await, Err(Error::VariableName { .. })));

    let command = Command { script: "exit 3".into(), stdin: Some(vec![b'x'; 8 << 20]), ..Command::default() };
    assert_eq!(remote.run(&command).await.unwrap().code, Some(3), "input may stay unread");
    let command = Command::new("head -c 5000000 /dev/zero; echo end");
    let output = remote.run(&command).await.unwrap();
    assert_eq!(output.stdout.len(), 4 << 20);
    assert!(output.stdout.ends_with(b"\0end\n"), "the last bytes win");
    let command = Command::new(format!("{}echo \"large\"; cat", "# filler\n".repeat(40_000)));
    assert_eq!(remote.run(&command).await.unwrap().stdout, b"large\n", "scripts may be large");

    time_limits(remote).await;
    streams(remote).await;
}

async fn time_limits(remote: &dyn Remote) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mark = format!("sealer-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let script = format!("echo begun >&2; sh -c 'sleep 300; : {mark}'");
    let command = Command { script, timeout: Some(Duration::from_secs(1)), ..Command::default() };
    let started = std::time::SystemTime::now();
    let error = remote.run(&command).await.unwrap_err();
    assert!(matches!(&error, Error::TimedOut { detail, .. } if detail == "begun"), "{error}");
    assert!(started.elapsed().unwrap() < Duration::from_secs(8));
    let command = Command {
        script: format!("grep -l '[s]leep 300; : {mark}' /proc/[0-9]*/cmdline 2>/dev/null; true"),
        ..Command::default()
    };
    let output = remote.run(&command).await.unwrap();
    let left = String::from_utf8(output.stdout).unwrap();
    assert!(left.lines().all(|line| line.contains("/self/")), "the command was ended: {left}");

    let command = Command::new("sleep 30 & echo begun");
    let started = std::time::SystemTime::now();
    assert_eq!(remote.run(&command).await.unwrap().stdout, b"begun\n");
    assert!(started.elapsed().unwrap() < Duration::from_secs(10), "what a command leaves behind is not waited for");
}

async fn streams(remote: &dyn Remote) {
    let command = Command::new("cat; echo problem >&2; exit 4");
    let session = remote.stream(&command).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(session.io);
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
    let writing = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, read) = tokio::join!(writing, reader.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "a stream carries every byte both ways");
    let output = session.end.await.unwrap().unwrap();
    assert_eq!((output.code, &output.stderr[..]), (Some(4), &b"problem\n"[..]));

    let command = Command::new("cat >/dev/null; echo ended >&2");
    let session = remote.stream(&command).await.unwrap();
    drop(session.io);
    let ended = tokio::time::timeout(Duration::from_secs(20), session.end).await;
    let output = ended.expect("dropping a stream ends the command's input").unwrap().unwrap();
    assert_eq!((output.code, &output.stderr[..]), (Some(0), &b"ended\n"[..]));

    let command = Command::new("exit 0");
    let mut session = remote.stream(&command).await.unwrap();
    let writing = async { while session.io.write_all(&[0; 65536]).await.is_ok() {} };
    let written = tokio::time::timeout(Duration::from_secs(20), writing).await;
    written.expect("writing to a command that ended fails instead of waiting");
}
