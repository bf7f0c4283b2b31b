//! Hosts over SSH, as root and by sudo, and this machine itself keep the contract of `Remote`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod machine;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use machine::{LOOPBACK, Sshd, User, key_file};
use remote::{Auth, Command, Error, Local, Remote, Ssh, contract};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn keeps_the_contract(remote: &dyn Remote) {
    let directory = tempfile::tempdir().unwrap();
    let local = directory.path().join("local");
    contract::files(remote, &format!("{}/remote", directory.path().display()), &local).await;
    contract::commands(remote).await;
}

fn script(script: &str) -> Command {
    Command::new(script)
}

#[tokio::test]
async fn this_machine_keeps_the_contract() {
    keeps_the_contract(&Local::new(LOOPBACK)).await;
}

#[tokio::test]
async fn root_over_ssh_keeps_the_contract() {
    let sshd = Sshd::start();
    keeps_the_contract(&Ssh::connect(sshd.root()).await.unwrap()).await;
}

#[tokio::test]
async fn sudo_without_password_keeps_the_contract() {
    let sshd = Sshd::start();
    let user = User::new("unused", Some("ALL=(ALL) NOPASSWD: ALL"));
    let key = sshd.key(&user.name, "ed25519", "");
    keeps_the_contract(&Ssh::connect(sshd.options(&user.name, vec![key_file(&key, None)])).await.unwrap()).await;
}

#[tokio::test]
async fn sudo_with_password_keeps_the_contract() {
    let sshd = Sshd::start();
    let user = User::new("it's a pass", Some("ALL=(ALL) ALL"));
    let options = sshd.options(&user.name, vec![Auth::Password("it's a pass".into())]);
    keeps_the_contract(&Ssh::connect(options).await.unwrap()).await;
}

#[tokio::test]
async fn many_commands_at_once_share_a_connection() {
    let sshd = Sshd::start();
    let ssh = Ssh::connect(sshd.root()).await.unwrap();
    let started = SystemTime::now();
    let outputs = join_all(
        (0..24).map(async |number| ssh.run(&script(&format!("sleep 1; echo {number} $SSH_CONNECTION"))).await.unwrap()),
    );
    let outputs: Vec<String> =
        outputs.await.into_iter().map(|output| String::from_utf8(output.stdout).unwrap()).collect();
    let took = started.elapsed().unwrap();
    assert!(took >= Duration::from_secs(3), "no more than eight at once: {took:?}");
    assert!(took < Duration::from_secs(12), "eight at once: {took:?}");
    let connection = outputs[0].split_once(' ').unwrap().1;
    for (number, output) in outputs.iter().enumerate() {
        assert_eq!(output, &format!("{number} {connection}"));
    }
}

#[tokio::test]
async fn a_server_that_allows_few_sessions_is_waited_for() {
    let sshd = Sshd::start_with("MaxSessions 2");
    let ssh = Ssh::connect(sshd.root()).await.unwrap();
    let outputs = join_all((0..8).map(async |_| ssh.run(&script("sleep 0.3")).await.unwrap().code));
    assert_eq!(outputs.await, vec![Some(0); 8]);
}

#[tokio::test]
async fn a_lost_connection_is_told_and_made_anew() {
    let sshd = Sshd::start();
    let ssh = Ssh::connect(sshd.root()).await.unwrap();
    // The parent of a command is the server's process of this connection.
    let error = ssh.run(&script("kill -KILL $PPID; sleep 5")).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
    let session = ssh.stream(&script("cat")).await.unwrap();
    let outputs = join_all((0..4).map(async |_| ssh.run(&script("echo back")).await.unwrap().stdout));
    assert_eq!(outputs.await, vec![b"back\n".to_vec(); 4]);
    let error = ssh.run(&script("kill -KILL $PPID; sleep 5")).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
    let (mut reader, _writer) = tokio::io::split(session.io);
    let read = reader.read_to_end(&mut Vec::new()).await;
    assert!(read.is_err(), "a stream that breaks does not look complete");
    assert!(matches!(session.end.await.unwrap(), Err(Error::ConnectionLost { .. })));
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() {
    let sshd = Sshd::start();
    let mut options = sshd.root();
    options.keepalive = Duration::from_secs(1);
    let ssh = Ssh::connect(options).await.unwrap();
    let pid = parent(&ssh).await;
    machine::run("kill", &["-STOP", &pid]);
    let started = SystemTime::now();
    let error = ssh.run(&script("echo hello")).await.map(|output| output.stdout);
    let took = started.elapsed().unwrap();
    machine::run("kill", &["-KILL", &pid]);
    assert!(matches!(&error, Ok(stdout) if stdout == b"hello\n"), "opened anew, as nothing was under way: {error:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    let pid = parent(&ssh).await;
    let stop = script(&format!("(sleep 1; kill -STOP {pid}) >/dev/null 2>&1 & sleep 60"));
    let error = ssh.run(&stop).await.unwrap_err();
    machine::run("kill", &["-KILL", &pid]);
    assert!(error.to_string().contains("keepalive"), "{error}");
}

#[tokio::test]
async fn a_connection_ends_with_its_last_user() {
    let sshd = Sshd::start();
    let ssh = Ssh::connect(sshd.root()).await.unwrap();
    let session = ssh.stream(&script("cat")).await.unwrap();
    let process = PathBuf::from(format!("/proc/{}", parent(&ssh).await));
    drop(ssh);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(process.exists(), "the stream still uses it");
    drop(session.io);
    session.end.await.unwrap().unwrap();
    for _ in 0..100 {
        if !process.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the connection stays open");
}

/// The server's process of this connection.
async fn parent(ssh: &Ssh) -> String {
    let output = ssh.run(&script("echo $PPID")).await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_gets_to_its_place() {
    let sshd = Sshd::start();
    let ssh = Ssh::connect(sshd.root()).await.unwrap();
    let pid = parent(&ssh).await;
    let (local, target) = (sshd.path("large"), sshd.path("target"));
    std::fs::File::create(&local).unwrap().set_len(300 << 20).unwrap();
    let told = std::sync::atomic::AtomicBool::new(false);
    let kill = |_| {
        if !told.swap(true, std::sync::atomic::Ordering::Relaxed) {
            machine::run("kill", &["-KILL", &pid]);
        }
    };
    let error = ssh.upload(&local, target.to_str().unwrap(), 0o644, &kill).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
    let sent = ssh.upload(&local, target.to_str().unwrap(), 0o644, &|_| {}).await.unwrap();
    assert_eq!(sent, 300 << 20, "nothing was there");
    let half = format!(
        "for n in 1 2 3 4 5 6 7 8 9; do ls -A {} | grep '^[.]target' || exit 0; sleep 2; done; exit 1",
        sshd.directory.path().display()
    );
    assert_eq!(ssh.run(&script(&half)).await.unwrap().code, Some(0), "nothing half is left");
}

#[tokio::test]
async fn large_files_and_streams_move_in_bounded_time() {
    const SIZE: usize = 200 << 20;
    let sshd = Sshd::start();
    let ssh = Arc::new(Ssh::connect(sshd.root()).await.unwrap());
    let local = sshd.path("large");
    std::fs::write(&local, vec![7; SIZE]).unwrap();
    let started = SystemTime::now();
    let sent = ssh.upload(&local, sshd.path("copy").to_str().unwrap(), 0o600, &|_| {}).await.unwrap();
    assert_eq!(sent, SIZE as u64);
    let uploaded = started.elapsed().unwrap();
    let session = ssh.stream(&script("cat")).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(session.io);
    let writing = tokio::spawn(async move {
        let chunk = vec![9; 1 << 20];
        for _ in 0..SIZE / chunk.len() {
            writer.write_all(&chunk).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    });
    let beside = ssh.clone();
    // Other commands go on beside a busy stream.
    let asking = tokio::spawn(async move {
        for _ in 0..10 {
            assert_eq!(beside.run(&script("exit 5")).await.unwrap().code, Some(5));
        }
    });
    let (mut received, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match reader.read(&mut buffer).await.unwrap() {
            0 => break,
            read => received += read,
        }
    }
    asking.await.unwrap();
    writing.await.unwrap();
    assert_eq!(received, SIZE);
    assert_eq!(session.end.await.unwrap().unwrap().code, Some(0));
    let took = started.elapsed().unwrap();
    assert!(took < Duration::from_secs(240), "upload {uploaded:?}, all {took:?}");
}
