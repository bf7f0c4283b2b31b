//! Measures commands and files over SSH to eight servers of this machine, beside ansible.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{program, read, run_quietly};
use crate::tidy::repository;

const HOSTS: usize = 8;
const COMMANDS: usize = 40;
const FILES: usize = 300;
/// How long a playbook may take.
const PLAYBOOK_SECONDS: u64 = 600;

/// Runs the same commands and writes the same files with sealer's `remote` crate and with ansible, and prints a table.
pub(crate) fn hosts() -> Result<()> {
    machine::require_root()?;
    machine::ensure_programs(&[("ansible-playbook", "ansible"), ("sshd", "openssh-server"), ("rsync", "rsync")])?;
    let scratch = tempfile::tempdir().map_err(Error::file("make a directory in", Path::new("/tmp")))?;
    let bench = Bench { directory: scratch.path().to_owned() };
    let servers = bench.servers()?;
    let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
    let version = read(program("ansible").arg("--version"))?;
    output::line(&format!("{COMMANDS} commands and {FILES} files to each of {HOSTS} SSH servers, seconds"));
    output::line(&format!("ansible  {}, Debian's package 7.7", version.lines().next().unwrap_or_default()));

    for (name, tuned) in [("ansible, pipelining, no facts, rsync", true), ("ansible, defaults", false)] {
        // Before and after, because the machine may be busier at one of the times; the slower one counts.
        let before = bench.ours(&ports)?;
        let seconds = bench.ansible(&ports, tuned)?;
        let after = bench.ours(&ports)?;
        let (ended, limit) = (seconds < PLAYBOOK_SECONDS as f64, "not ended, more than ");
        let ratio = format!("{}{:.1} x", if ended { "" } else { limit }, seconds / before.max(after));
        output::line(&format!("sealer {before:.1} and {after:.1}; {name} {seconds:.1}: {ratio}"));
    }
    Ok(())
}

/// Where everything of a run is.
struct Bench {
    directory: PathBuf,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, text).map_err(Error::file("write", &path))
    }

    /// Servers that one key opens.
    fn servers(&self) -> Result<Vec<Server>> {
        for name in ["host", "key"] {
            run_quietly(program("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.path(name)))?;
        }
        let run = Path::new("/run/sshd");
        fs::create_dir_all(run).map_err(Error::file("make", run))?;
        (0..HOSTS).map(|_| Server::start(&self.directory)).collect()
    }

    fn target(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).map_err(Error::file("make", &path))?;
        Ok(path)
    }

    /// Seconds for all; those for connecting, for commands and for files are printed.
    fn ours(&self, ports: &[u16]) -> Result<f64> {
        let build = ["build", "--quiet", "--locked", "--release", "--package", "remote", "--example", "bench-hosts"];
        run_quietly(program("cargo").args(build).current_dir(repository()))?;
        let arguments = ["run", "--quiet", "--locked", "--release", "--package", "remote", "--example", "bench-hosts"];
        let mut command = program("cargo");
        command.args(arguments).arg("--").arg(self.path("key")).arg(self.path("known_hosts"));
        command.arg(self.target("ours")?).args([COMMANDS, FILES].map(|number| number.to_string()));
        let shown = read(command.args(ports.iter().map(u16::to_string)).current_dir(repository()))?;
        let spans: Vec<&str> = shown.lines().collect();
        output::line(&format!("sealer  connect, commands, files, all  {}", spans.join("  ")));
        Ok(spans.last().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN))
    }

    /// Seconds for the whole playbook, which is ended at its limit.
    fn ansible(&self, ports: &[u16], tuned: bool) -> Result<f64> {
        let source = self.target("source")?;
        for number in 0..FILES {
            self.write(&format!("source/{number}"), &"x".repeat(1_000))?;
        }
        let mut inventory = "[all]\n".to_owned();
        for port in ports {
            // Its modules run with the distribution's Python; another one that is found first may be slow to start.
            let python = "ansible_python_interpreter=/usr/bin/python3";
            inventory.push_str(&format!("host{port} ansible_host=127.0.0.1 ansible_port={port} {python}\n"));
        }
        self.write("inventory", &inventory)?;
        let name = if tuned { "tuned" } else { "defaults" };
        let target = format!("{}/{{{{ ansible_port }}}}", self.target(name)?.display());
        self.write("playbook.yaml", &playbook(&source, &target, tuned))?;
        let pipelining = if tuned { "[connection]\npipelining = True\n" } else { "" };
        // Hosts are new in every run; as many at once as there are.
        let settings = format!("[defaults]\nhost_key_checking = False\nforks = {HOSTS}\n{pipelining}");
        self.write("ansible.cfg", &settings)?;
        let started = Instant::now();
        let mut command = program("sh");
        // `timeout` says by this exit code that it ended the program.
        command.args(["-c", "timeout \"$@\" || [ $? = 124 ]", "sh", &PLAYBOOK_SECONDS.to_string(), "ansible-playbook"]);
        command.env("ANSIBLE_CONFIG", self.path("ansible.cfg")).env("ANSIBLE_LOCAL_TEMP", self.path("local"));
        command.args(["--user", "root", "--private-key"]).arg(self.path("key"));
        run_quietly(command.arg("-i").arg(self.path("inventory")).arg(self.path("playbook.yaml")))?;
        Ok(started.elapsed().as_secs_f64())
    }
}

fn playbook(source: &Path, target: &str, tuned: bool) -> String {
    let mut text = format!("- hosts: all\n  gather_facts: {}\n  tasks:\n", if tuned { "no" } else { "yes" });
    for _ in 0..COMMANDS {
        text.push_str("    - command: test -d /etc\n");
    }
    let source = source.display();
    let files = if tuned { "synchronize: {recursive: yes, " } else { "copy: {" };
    text.push_str(&format!("    - file: {{path: '{target}', state: directory}}\n"));
    text.push_str(&format!("    - {files}src: {source}/, dest: '{target}/'}}\n"));
    text
}

/// An SSH server that ends with its value.
struct Server {
    port: u16,
    child: Child,
}

impl Server {
    fn start(directory: &Path) -> Result<Self> {
        let fault = Error::file("listen for", directory);
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).map_err(fault)?.port();
        let place = directory.display();
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {place}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nAuthorizedKeysFile {place}/key.pub\nSubsystem sftp internal-sftp\nLogLevel ERROR\n"
        );
        let path = directory.join(format!("sshd-{port}"));
        fs::write(&path, settings).map_err(Error::file("write", &path))?;
        let sshd = crate::program::find("sshd").unwrap_or_else(|| PathBuf::from("/usr/sbin/sshd"));
        // An empty home: what this machine's root does at the start of each shell is not part of the comparison.
        let mut command = program("unshare");
        command.args(["--mount", "sh", "-c", "mount -t tmpfs none /root && exec \"$0\" -D -f \"$1\""]).arg(&sshd);
        let child = command.arg(&path).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|source| Error::Start { program: sshd.display().to_string(), source })?;
        let server = Self { port, child };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Error::Machine { missing: format!("sshd does not listen on port {port}"), remedy: "see above".into() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
