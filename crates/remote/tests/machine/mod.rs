//! An SSH server on loopback, users made for a test, keys and an agent.
#![allow(dead_code, clippy::unwrap_used, reason = "used by several tests, each of which needs a part")]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use remote::{Auth, SshOptions};
use tempfile::TempDir;

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An SSH server of our own.
pub(crate) struct Sshd {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    settings: String,
    child: Child,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with further settings.
    pub(crate) fn start_with(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        run("chmod", &["755", text(directory.path())]);
        std::fs::create_dir_all("/run/sshd").unwrap();
        keygen(&directory.path().join("host"), "ed25519", "");
        let port = TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port();
        let child = spawn(directory.path(), port, settings);
        Self { directory, port, settings: settings.to_owned(), child }
    }

    /// The same server with another host key.
    pub(crate) fn with_new_key(self, kind: &str) -> Self {
        let key = self.directory.path().join("host");
        std::fs::remove_file(&key).unwrap();
        keygen(&key, kind, "");
        self.restart()
    }

    pub(crate) fn restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.directory.path(), self.port, &self.settings);
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a key that lets `user` in.
    pub(crate) fn key(&self, user: &str, kind: &str, passphrase: &str) -> PathBuf {
        let path = self.path(&format!("{user}-{kind}-{}", passphrase.len()));
        keygen(&path, kind, passphrase);
        let public = std::fs::read(path.with_extension("pub")).unwrap();
        let keys = self.path(&format!("{user}.keys"));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(keys).unwrap();
        file.write_all(&public).unwrap();
        path
    }

    pub(crate) fn options(&self, user: &str, auth: Vec<Auth>) -> SshOptions {
        let mut options = SshOptions::new(LOOPBACK);
        options.port = self.port;
        options.user = user.to_owned();
        options.auth = auth;
        options.known_hosts.record = self.path("known_hosts");
        options
    }

    /// Options with a new key of root's.
    pub(crate) fn root(&self) -> SshOptions {
        let path = self.path("root-ed25519-0");
        let path = if path.exists() { path } else { self.key("root", "ed25519", "") };
        self.options("root", vec![key_file(&path, None)])
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path, port: u16, settings: &str) -> Child {
    let directory = text(directory);
    let configuration = format!(
        "{settings}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {directory}/host\nPidFile none\nUsePAM no\n\
         PasswordAuthentication yes\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nStrictModes no\n\
         AuthorizedKeysFile {directory}/%u.keys\nMaxStartups 100\nLogLevel ERROR\n"
    );
    let path = format!("{directory}/sshd.conf");
    std::fs::write(&path, configuration).unwrap();
    let mut child =
        Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f", &path]).stdin(Stdio::null()).spawn().unwrap();
    for _ in 0..200 {
        if TcpStream::connect((LOOPBACK, port)).is_ok() {
            return child;
        }
        assert!(child.try_wait().unwrap().is_none(), "sshd does not start");
        pause();
    }
    panic!("sshd does not listen");
}

/// A Linux user that is gone when the test ends.
pub(crate) struct User {
    pub(crate) name: String,
}

impl User {
    /// Makes a user with a password; `sudo` is what sudoers says of it, for example `ALL=(ALL) NOPASSWD: ALL`.
    pub(crate) fn new(password: &str, sudo: Option<&str>) -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = format!("sealer-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let hash = output("openssl", &["passwd", "-6", password]);
        run("useradd", &["-m", "-s", "/bin/sh", "-p", hash.trim(), &name]);
        let user = Self { name };
        if let Some(sudo) = sudo {
            let path = user.sudoers();
            std::fs::write(&path, format!("{} {sudo}\n", user.name)).unwrap();
            run("chmod", &["440", &path]);
        }
        user
    }

    pub(crate) fn home(&self) -> PathBuf {
        Path::new("/home").join(&self.name)
    }

    fn sudoers(&self) -> String {
        format!("/etc/sudoers.d/{}", self.name)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.sudoers());
        let _ = Command::new("userdel").args(["-f", "-r", &self.name]).stderr(Stdio::null()).status();
    }
}

/// An SSH agent.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    child: Child,
}

impl Agent {
    pub(crate) fn start(directory: &Path) -> Self {
        let socket = directory.join("agent");
        let child = Command::new("ssh-agent").args(["-D", "-a", text(&socket)]).stdout(Stdio::null()).spawn().unwrap();
        let started = SystemTime::now();
        while !socket.exists() {
            assert!(started.elapsed().unwrap() < Duration::from_secs(10), "ssh-agent does not start");
            pause();
        }
        Self { socket, child }
    }

    pub(crate) fn add(&self, key: &Path) {
        let added = Command::new("ssh-add").arg(key).env("SSH_AUTH_SOCK", &self.socket).stderr(Stdio::null()).status();
        assert!(added.unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn key_file(path: &Path, passphrase: Option<&str>) -> Auth {
    Auth::Key {
        name: path.display().to_string(),
        pem: std::fs::read_to_string(path).unwrap().into(),
        passphrase: passphrase.map(Into::into),
    }
}

pub(crate) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    run("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-f", text(path)]);
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    output(program, arguments);
}

pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "programs that start are waited for before a test's own runtime goes on")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}

/// The same value with a change.
pub(crate) fn with<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}
