//! Measures moving an image beside skopeo: to and from a registry, into and out of archives.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::build::{self, Times, remove};
use crate::cache::Cache;
use crate::dist::dist;
use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{find, program, read, run_quietly};

/// Measured runs of each contender, after one that only warms the page cache.
const RUNS: usize = 3;
/// What GNU time is told to write: the most memory of the process, in kB.
const MEMORY: &str = "%M";

/// Pushes, pulls, saves and loads one image with sealer and skopeo and prints times, memory and ratios.
pub(crate) fn image(cache: &Cache) -> Result<()> {
    machine::require_root()?;
    let needs = [("skopeo", "skopeo"), ("docker-registry", "docker-registry"), ("time", "time")];
    machine::ensure_programs(&needs)?;
    let context = build::rootfs(cache)?;
    let scratch = tempfile::tempdir_in(cache.root()).map_err(Error::file("create a directory in", cache.root()))?;
    let mut bench = Bench { sealer: dist(scratch.path())?, scratch: scratch.path().to_path_buf(), registry: None };
    bench.restart_registry()?;
    run_quietly(bench.sealer("root").args(["build", "-q", "-t"]).arg(bench.name()).arg(&context))?;
    bench.save("layout")?;
    output::line(&format!("rootfs   {} MB", build::ROOTFS_SIZE / 1_000_000));
    output::line(&format!(
        "{} (of this distribution, older than its upstream)",
        read(program("skopeo").arg("--version"))?
    ));

    let push = bench.measure("sealer push, empty registry", Bench::restart_registry, |bench| {
        let name = bench.name();
        bench.timed(bench.sealer("root").arg("push").arg(name))
    })?;
    let again = bench.measure(
        "sealer push, nothing changed",
        |_| Ok(()),
        |bench| {
            let name = bench.name();
            bench.timed(bench.sealer("root").arg("push").arg(name))
        },
    )?;
    let theirs = bench.measure("skopeo copy, empty registry", Bench::restart_registry, |bench| {
        bench.timed(&mut bench.skopeo(&bench.layout(), &format!("docker://{}", bench.name())))
    })?;
    let pull = bench.measure(
        "sealer pull, empty store",
        |bench| remove(&bench.path("other")),
        |bench| {
            let name = bench.name();
            bench.timed(bench.sealer("other").arg("pull").arg(name))
        },
    )?;
    let fetched = bench.measure(
        "skopeo copy to a layout",
        |bench| remove(&bench.path("copied")),
        |bench| {
            let target = format!("oci:{}:bench", bench.path("copied").display());
            bench.timed(&mut bench.skopeo(&format!("docker://{}", bench.name()), &target))
        },
    )?;
    let saved = bench.measure(
        "sealer save",
        |_| Ok(()),
        |bench| {
            let name = bench.name();
            let target = bench.path("saved.tar");
            bench.timed(bench.sealer("root").args(["save", "-o"]).arg(target).arg(name))
        },
    )?;
    let archived = bench.measure(
        "skopeo copy to an archive",
        |bench| remove_file(&bench.path("theirs.tar")),
        |bench| {
            let target = format!("oci-archive:{}:bench", bench.path("theirs.tar").display());
            bench.timed(&mut bench.skopeo(&bench.layout(), &target))
        },
    )?;
    bench.measure(
        "sealer load, empty store",
        |bench| remove(&bench.path("loaded")),
        |bench| {
            let source = bench.path("saved.tar");
            bench.timed(bench.sealer("loaded").args(["load", "-i"]).arg(source))
        },
    )?;

    let ratio = |other: &Times, ours: &Times| other.mean().as_secs_f64() / ours.mean().as_secs_f64();
    output::line(&format!("\nskopeo takes {:.1} times as long to push", ratio(&theirs, &push)));
    output::line(&format!("skopeo takes {:.1} times as long to pull", ratio(&fetched, &pull)));
    output::line(&format!("skopeo takes {:.1} times as long to make an archive", ratio(&archived, &saved)));
    output::line(&format!("the first push takes {:.0} times as long as the second", ratio(&push, &again)));
    Ok(())
}

/// The contenders and where they work.
struct Bench {
    sealer: PathBuf,
    scratch: PathBuf,
    registry: Option<Registry>,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The image in the registry.
    fn name(&self) -> String {
        let port = self.registry.as_ref().map_or(0, |registry| registry.port);
        format!("127.0.0.1:{port}/bench/image:1")
    }

    fn layout(&self) -> String {
        format!("oci:{}", self.path("layout").display())
    }

    fn sealer(&self, root: &str) -> Command {
        let mut command = program("time");
        command.args(["-f", MEMORY, "-o"]).arg(self.path("memory")).arg(&self.sealer);
        command.arg("--root").arg(self.path(root)).arg("-q");
        command
    }

    fn skopeo(&self, from: &str, to: &str) -> Command {
        let mut command = program("time");
        command.args(["-f", MEMORY, "-o"]).arg(self.path("memory")).arg("skopeo");
        command.args([
            "copy",
            "--quiet",
            "--all",
            "--preserve-digests",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
        ]);
        command.args([from, to]);
        command
    }

    fn save(&self, directory: &str) -> Result<()> {
        run_quietly(
            self.sealer("root").args(["save", "--format", "oci-dir", "-o"]).arg(self.path(directory)).arg(self.name()),
        )
    }

    fn timed(&self, command: &mut Command) -> Result<u64> {
        run_quietly(command)?;
        let path = self.path("memory");
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        Ok(text.trim().parse().unwrap_or_default())
    }

    /// A registry without images, at the port of the one before.
    fn restart_registry(&mut self) -> Result<()> {
        let port = self.registry.take().map(|registry| registry.port);
        remove(&self.path("registry"))?;
        self.registry = Some(Registry::start(&self.scratch, port)?);
        Ok(())
    }

    /// Runs `act` once for the page cache and then [`RUNS`] times, each time after `prepare`; prints a row.
    fn measure(
        &mut self,
        name: &str,
        prepare: impl Fn(&mut Bench) -> Result<()>,
        act: impl Fn(&Bench) -> Result<u64>,
    ) -> Result<Times> {
        let (mut times, mut memory) = (Times(Vec::new()), 0);
        for index in 0..=RUNS {
            prepare(self)?;
            let start = Instant::now();
            memory = act(self)?.max(memory);
            if index > 0 {
                times.0.push(start.elapsed());
            }
        }
        output::line(&format!("{name:30}  {times}  {:>4} MB", memory / 1_000));
        Ok(times)
    }
}

/// Debian's registry on loopback; it ends with its value.
struct Registry {
    port: u16,
    child: Child,
}

impl Registry {
    fn start(scratch: &Path, port: Option<u16>) -> Result<Self> {
        let free = || TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = port.map_or_else(|| free().map(|address| address.port()), Ok);
        let port = port.map_err(Error::file("listen for", scratch))?;
        let (path, place) = (scratch.join("registry.yaml"), scratch.join("registry"));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            place.display()
        );
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        let registry = find("docker-registry").unwrap_or_else(|| PathBuf::from("docker-registry"));
        let mut command = program(&registry);
        let child = command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|source| Error::Start { program: registry.display().to_string(), source })?;
        let started = Self { port, child };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(started);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Error::Machine { missing: format!("no registry listens on port {port}"), remedy: "try again".into() })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}
