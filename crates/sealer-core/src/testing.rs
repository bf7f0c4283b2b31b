//! Hosts in a directory, for tests of workflows, providers and runtimes without any machine.

mod kubernetes_api;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cloudimage::Platform;
use clusterfile::Host;
use remote::{Command, Error, KnownHostsPolicy, Output, Remote, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::host::{PullRequest, pull_over_stdio};
use crate::{Connections, Connector};

pub use kubernetes_api::KubernetesApi;

/// What scripts and files of sealer live below on a host.
const SEALER: &str = "/var/lib/sealer";
/// Where steps keep their lock and their script while they run.
const RUN: &str = "/run/";

/// Reaches hosts each of which is a directory below one root. Nothing outside that root is changed.
///
/// Scripts run here, by `sh`, with `/var/lib/sealer` moved into the host's directory; content is delivered by the code
/// that a real host runs; the facts are those of a healthy machine. What was run is recorded.
#[derive(Debug, Clone)]
pub struct Directories {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    scripts: Vec<(IpAddr, String)>,
    unreachable: BTreeMap<IpAddr, usize>,
    machines: BTreeMap<IpAddr, String>,
    failing: BTreeSet<String>,
    connects: usize,
    /// What the API server says through its master: its nodes.
    api: Option<(IpAddr, Vec<IpAddr>)>,
    kubernetes: Option<KubernetesApi>,
}

impl Directories {
    /// Hosts whose directories are below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), state: Arc::default() }
    }

    /// The directory that is `/var/lib/sealer` of a host.
    #[must_use]
    pub fn of(&self, host: IpAddr) -> PathBuf {
        self.root.join(host.to_string())
    }

    /// Makes the next `attempts` connections to a host fail as if it were still starting.
    pub fn unreachable(&self, host: IpAddr, attempts: usize) {
        self.state().unreachable.insert(host, attempts);
    }

    /// Makes a host a machine of which `uname -m` says this; without it, all are `x86_64`.
    pub fn of_machine(&self, host: IpAddr, machine: &str) {
        self.state().machines.insert(host, machine.to_owned());
    }

    /// Has `master` answer for an API server that knows these nodes, once the host is one of a cluster.
    pub fn answer_for_api(&self, master: IpAddr, nodes: impl IntoIterator<Item = IpAddr>) {
        self.state().api = Some((master, nodes.into_iter().collect()));
    }

    /// Has all hosts of a cluster answer for this API server.
    pub fn answer_with(&self, api: KubernetesApi) {
        self.state().kubernetes = Some(api);
    }

    /// Makes scripts that contain this text fail, until [`Directories::repair`].
    pub fn fail(&self, part: &str) {
        self.state().failing.insert(part.to_owned());
    }

    /// Lets all scripts succeed again.
    pub fn repair(&self) {
        self.state().failing.clear();
    }

    /// The scripts that were run on hosts and contain this text, but not those that only ask for facts.
    #[must_use]
    pub fn ran(&self, part: &str) -> usize {
        self.state().scripts.iter().filter(|(_, script)| script.contains(part)).count()
    }

    /// How often hosts were connected to.
    #[must_use]
    pub fn connects(&self) -> usize {
        self.state().connects
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Connector for Directories {
    async fn connect(&self, hosts: &[Host], _: &KnownHostsPolicy) -> Result<Connections, crate::Error> {
        let mut connections = Connections::default();
        for host in hosts {
            let mut state = self.state();
            state.connects += 1;
            match state.unreachable.get_mut(&host.address) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    connections.failures.push((
                        host.address,
                        Error::ConnectionLost { host: host.address.into(), detail: "told to fail".to_owned() },
                    ));
                }
                _ => {
                    let remote = Directory { address: host.address, hosts: self.clone() };
                    connections.remotes.insert(host.address, Arc::new(remote));
                }
            }
        }
        Ok(connections)
    }
}

/// One host.
#[derive(Debug)]
struct Directory {
    address: IpAddr,
    hosts: Directories,
}

impl Directory {
    /// Runs a script once its input is there; its output comes when it has ended.
    fn stream_script(&self, mut command: Command) -> Session {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let host = Self { address: self.address, hosts: self.hosts.clone() };
        let end = tokio::spawn(async move {
            let mut input = Vec::new();
            // Whoever is gone neither writes nor reads any more.
            let _ = theirs.read_to_end(&mut input).await;
            command.stdin = Some(input);
            let output = host.run(&command).await?;
            let _ = theirs.write_all(&output.stdout).await;
            Ok(output)
        });
        Session::new(ours, end)
    }

    /// The path here of a path on the host.
    fn place(&self, path: &str) -> PathBuf {
        let root = self.hosts.of(self.address);
        match path.strip_prefix(SEALER) {
            Some(below) => root.join(below.trim_start_matches('/')),
            None => root.join("elsewhere").join(path.trim_start_matches('/')),
        }
    }

    fn failed(&self, act: &'static str, path: &str, error: &std::io::Error) -> Error {
        Error::File { host: self.address, act, path: path.to_owned(), detail: error.to_string() }
    }

    fn machine(&self) -> String {
        self.hosts.state().machines.get(&self.address).cloned().unwrap_or_else(|| "x86_64".to_owned())
    }

    /// What a healthy machine says about itself, with the markers that are there.
    fn facts(&self) -> String {
        let address = self.address;
        let machine = self.machine();
        let mut text = format!(
            "@machine\n {machine}\n@kernel\n 6.1.0\n@hostname\n host-{}\n@os\n ID=debian\n VERSION_ID=12\n@machine-id\n {address}\n\
             @user\n 0\n@init\n systemd\n@container\n none\n@addresses\n 2: eth0 inet {address}/24 scope global\n\
             @disk\n Filesystem 1024-blocks Used Available Capacity Mounted\n /dev/a 900000000 1 800000000 1% /\n\
             @memory\n MemTotal: 8000000 kB\n@processors\n 4\n@swaps\n Filename\n\
             @routes\n eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n@cgroups\n v2\n cpu\n cpuset\n memory\n pids\n@modules\n overlay\n br_netfilter\n ip_vs\n nf_tables\n",
            address.to_string().replace(['.', ':'], "-"),
        );
        for entry in std::fs::read_dir(self.place("/var/lib/sealer/data")).into_iter().flatten().flatten() {
            if let Ok(marker) = std::fs::read_to_string(entry.path().join("host.json")) {
                text.push_str("@marker\n");
                marker.lines().for_each(|line| text.push_str(&format!(" {line}\n")));
            }
        }
        let state = self.hosts.state();
        let answers = state.api.as_ref().is_some_and(|(master, _)| *master == address);
        let answers = answers || state.kubernetes.is_some();
        drop(state);
        if answers {
            text.push_str("@present\n admin.conf\n");
        }
        text + "@end\n"
    }

    /// What the API server says about its nodes.
    fn api(&self) -> String {
        let state = self.hosts.state();
        let nodes = state.api.iter().flat_map(|(_, nodes)| nodes);
        let lines = nodes.map(|node| format!("node node-{node} v1.20.2 address={node} ready=True\n"));
        std::iter::once("version {\"gitVersion\": \"v1.20.2\"}\n".to_owned()).chain(lines).collect()
    }
}

#[async_trait]
impl Remote for Directory {
    fn address(&self) -> IpAddr {
        self.address
    }

    async fn run(&self, command: &Command) -> Result<Output, Error> {
        if command.script.contains("section machine-id") {
            return Ok(Output::exited(0, self.facts(), ""));
        }
        if command.script.contains("get --raw /version") && self.hosts.state().api.is_some() {
            return Ok(Output::exited(0, self.api(), ""));
        }
        let kubernetes = self.hosts.state().kubernetes.clone();
        if let Some(answer) = kubernetes.and_then(|api| api.answer(self.address, command)) {
            return Ok(answer);
        }
        let script = match &command.stdin {
            Some(stdin) => format!("{}\n{}", command.script, String::from_utf8_lossy(stdin)),
            None => command.script.clone(),
        };
        let is_failing = {
            let mut state = self.hosts.state();
            state.scripts.push((self.address, script.clone()));
            state.failing.iter().any(|part| script.contains(part))
        };
        if is_failing {
            return Ok(Output::exited(1, "told to fail\n", ""));
        }
        let root = self.hosts.of(self.address);
        std::fs::create_dir_all(root.join("run")).map_err(|error| self.failed("make", SEALER, &error))?;
        let (own, run) = (root.display().to_string(), format!("{}/run/", root.display()));
        let moved = |text: &str| text.replace(RUN, &run).replace(SEALER, &own);
        let mut script = moved(&command.script);
        if let Some(stdin) = &command.stdin {
            // The script checks what it is sent, which is moved as well.
            let sum = |bytes: &[u8]| content_store::Digest::of(bytes).hex();
            script = script.replace(&sum(stdin), &sum(moved(&String::from_utf8_lossy(stdin)).as_bytes()));
        }
        let mut process = std::process::Command::new("sh");
        process.args(["-c", &script]).current_dir(&root);
        process.envs(command.env.iter().map(|(name, value)| (name, moved(value))));
        if let Some(stdin) = &command.stdin {
            let file = root.join("stdin");
            let text = moved(&String::from_utf8_lossy(stdin));
            let opened = std::fs::write(&file, text).and_then(|()| std::fs::File::open(&file));
            process.stdin(opened.map_err(|error| self.failed("write", SEALER, &error))?);
        }
        // On a thread of its own: tests whose time is paused wait for it.
        let ended = tokio::task::spawn_blocking(move || process.output()).await;
        let ended = ended.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)));
        let ended = ended.map_err(|error| self.failed("run a script below", SEALER, &error))?;
        let mut answer = Output::default();
        (answer.code, answer.stdout, answer.stderr) = (ended.status.code(), ended.stdout, ended.stderr);
        Ok(answer)
    }

    async fn stream(&self, command: &Command) -> Result<Session, Error> {
        let words: Vec<&str> = command.script.split_whitespace().collect();
        if !words.windows(2).any(|two| two == ["host", "pull"]) {
            return Ok(self.stream_script(command.clone()));
        }
        let platforms = words.windows(2).filter(|two| two[0] == "--platform").filter_map(|two| two[1].parse().ok());
        let value = |name: &str| {
            let at = words.iter().position(|word| *word == name);
            at.and_then(|at| words.get(at + 1)).copied().unwrap_or_default()
        };
        self.hosts.state().scripts.push((self.address, command.script.clone()));
        if self.hosts.state().failing.iter().any(|part| command.script.contains(part)) {
            let detail = "told to fail".to_owned();
            return Err(Error::ConnectionLost { host: self.address.into(), detail });
        }
        let detail = |what: &str| Error::File {
            host: self.address,
            act: "run",
            path: command.script.clone(),
            detail: what.to_owned(),
        };
        let request = PullRequest {
            root: self.place(value("--root")),
            image: value("--image").parse().map_err(|_| detail("only `host pull` can be streamed here"))?,
            rootfs: self.place(value("--rootfs")),
            cluster: value("--cluster").to_owned(),
            carried_images: words.contains(&"--carried-images"),
            platform: Some(Platform::of_machine(&self.machine())),
            platforms: platforms.collect(),
            from: Vec::new(),
            ca: None,
            login: words.contains(&"--login").then(|| self.place(value("--login"))),
        };
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let end = tokio::spawn(async move {
            Ok(match pull_over_stdio(&request, theirs).await {
                Ok(()) => Output::exited(0, "", ""),
                Err(error) => Output::exited(1, "", error_report::one_line(&error)),
            })
        });
        Ok(Session::new(ours, end))
    }

    async fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let place = self.place(path);
        let directory = place.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = directory.and_then(|()| atomic_file::write(&place, content, mode));
        written.map_err(|error| self.failed("write", path, &error))
    }

    async fn upload(
        &self,
        local: &Path,
        remote: &str,
        mode: u32,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, Error> {
        let content = std::fs::read(local).map_err(|error| self.failed("read", remote, &error))?;
        let sent = content.len() as u64;
        self.write(remote, mode, &content).await?;
        progress(sent);
        Ok(sent)
    }

    async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        atomic_file::read_limited(&self.place(path), limit).map_err(|error| self.failed("read", path, &error))
    }
}
