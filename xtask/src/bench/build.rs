//! Measures a build beside buildah and umoci.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cache::{Cache, Key};
use crate::dist::dist;
use crate::error::{Error, Result};
use crate::machine;
use crate::output;
use crate::program::{program, read, run_quietly};

/// Bytes of the measured rootfs: the size of a real base image.
pub(super) const ROOTFS_SIZE: u64 = 450_000_000;
const LARGE_FILES: u64 = 12;
const SMALL_FILES: u64 = 1_500;
const SMALL_SIZE: u64 = 20_000;
/// Measured runs of each contender, after one that only warms the page cache.
const RUNS: usize = 5;

/// Builds the same rootfs with sealer, buildah and umoci and prints times and ratios.
pub(crate) fn build(cache: &Cache) -> Result<()> {
    machine::require_root()?;
    machine::ensure_programs(&[("buildah", "buildah"), ("umoci", "umoci")])?;
    let context = rootfs(cache)?;
    let scratch = tempfile::tempdir_in(cache.root()).map_err(Error::file("create a directory in", cache.root()))?;
    let bench = Bench { sealer: dist(scratch.path())?, context, scratch: scratch.path().to_path_buf() };
    output::line(&format!("rootfs   {} MB in {} files", ROOTFS_SIZE / 1_000_000, LARGE_FILES + SMALL_FILES));
    output::line(&format!("buildah  {}", read(program("buildah").arg("--version"))?));
    output::line(&format!(
        "umoci    {} (both of this distribution, older than their upstreams)",
        read(program("umoci").arg("--version"))?
    ));

    let cold = bench.measure("sealer build, empty store", |bench| bench.forget(), |bench| bench.sealer())?;
    bench.sealer()?;
    let warm = bench.measure("sealer build, nothing changed", |_| Ok(()), |bench| bench.sealer())?;
    let buildah = bench.measure("buildah build", |bench| bench.forget_buildah(), |bench| bench.buildah())?;
    let umoci = bench.measure("umoci insert", |bench| bench.prepare_umoci(), |bench| bench.umoci())?;

    let ratio = |other: &Times, ours: &Times| other.mean().as_secs_f64() / ours.mean().as_secs_f64();
    output::line(&format!("\nbuildah takes {:.1} times as long as sealer with an empty store", ratio(&buildah, &cold)));
    output::line(&format!("umoci takes {:.1} times as long as sealer with an empty store", ratio(&umoci, &cold)));
    output::line(&format!("an empty store takes {:.1} times as long as a warm one", ratio(&cold, &warm)));
    bench.forget_buildah()
}

/// The contenders and where they work.
struct Bench {
    sealer: PathBuf,
    context: PathBuf,
    scratch: PathBuf,
}

impl Bench {
    /// Runs `act` once for the page cache and then [`RUNS`] times, each time after `prepare`; prints a row.
    fn measure(
        &self,
        name: &str,
        prepare: impl Fn(&Bench) -> Result<()>,
        act: impl Fn(&Bench) -> Result<()>,
    ) -> Result<Times> {
        let mut times = Times(Vec::new());
        for index in 0..=RUNS {
            prepare(self)?;
            let start = Instant::now();
            act(self)?;
            if index > 0 {
                times.0.push(start.elapsed());
            }
        }
        output::line(&format!("{name:30}  {times}"));
        Ok(times)
    }

    fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }

    fn sealer(&self) -> Result<()> {
        run_quietly(
            program(&self.sealer)
                .arg("--root")
                .arg(self.root())
                .args(["build", "-q", "-t", "bench:1"])
                .arg(&self.context),
        )
    }

    fn forget(&self) -> Result<()> {
        remove(&self.root())
    }

    fn buildah_command(&self) -> std::process::Command {
        let mut command = program("buildah");
        command.arg("--root").arg(self.scratch.join("buildah")).arg("--runroot").arg(self.scratch.join("buildah-run"));
        command.args(["--storage-driver", "overlay"]);
        command
    }

    fn buildah(&self) -> Result<()> {
        run_quietly(
            self.buildah_command()
                .args(["build", "-q", "--isolation", "chroot", "-t", "bench:1", "-f"])
                .arg(self.context.join("Kubefile"))
                .arg(&self.context),
        )
    }

    fn forget_buildah(&self) -> Result<()> {
        run_quietly(self.buildah_command().args(["rmi", "--all", "--force"]))
    }

    fn umoci(&self) -> Result<()> {
        let image = format!("{}:bench", self.scratch.join("umoci").display());
        run_quietly(program("umoci").args(["insert", "--image", &image]).arg(self.context.join("rootfs")).arg("/"))
    }

    fn prepare_umoci(&self) -> Result<()> {
        let layout = self.scratch.join("umoci");
        remove(&layout)?;
        run_quietly(program("umoci").args(["init", "--layout"]).arg(&layout))?;
        run_quietly(program("umoci").args(["new", "--image", &format!("{}:bench", layout.display())]))
    }
}

/// Durations of one contender.
pub(super) struct Times(pub(super) Vec<Duration>);

impl Times {
    pub(super) fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / u32::try_from(self.0.len().max(1)).unwrap_or(u32::MAX)
    }

    /// Standard deviation.
    fn deviation(&self) -> Duration {
        let mean = self.mean().as_secs_f64();
        let squares: f64 = self.0.iter().map(|time| (time.as_secs_f64() - mean).powi(2)).sum();
        Duration::from_secs_f64((squares / self.0.len().max(1) as f64).sqrt())
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        write!(
            formatter,
            "{:7.3} s ± {:.3} s  ({:.3} … {:.3}, {} runs)",
            self.mean().as_secs_f64(),
            self.deviation().as_secs_f64(),
            shown(self.0.iter().min()),
            shown(self.0.iter().max()),
            self.0.len()
        )
    }
}

/// A context with the same rootfs every time, made up as base images are: packed blobs, programs, and many small files.
pub(super) fn rootfs(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new("2").text(&format!("{ROOTFS_SIZE} {LARGE_FILES} {SMALL_FILES} {SMALL_SIZE}"));
    cache.entry("bench-rootfs", &key, |target| {
        output::step("making the rootfs");
        let mut content = Content::new(0x9e37_79b9_7f4a_7c15);
        let large = (ROOTFS_SIZE - SMALL_FILES * SMALL_SIZE) / LARGE_FILES;
        for index in 0..LARGE_FILES / 2 {
            write_file(&target.join(format!("rootfs/images/blob-{index}")), large, || content.packed())?;
            write_file(&target.join(format!("rootfs/bin/program-{index}")), large, || content.program())?;
        }
        for index in 0..SMALL_FILES {
            let path = target.join(format!("rootfs/etc/{}/file-{index}", index % 40));
            write_file(&path, SMALL_SIZE, || content.program())?;
        }
        let kubefile = target.join("Kubefile");
        fs::write(&kubefile, "FROM scratch\nCOPY rootfs .\n").map_err(Error::file("write", &kubefile))
    })
}

/// Writes a file of `size` bytes, block by block.
fn write_file(path: &Path, size: u64, mut block: impl FnMut() -> Vec<u8>) -> Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    let mut file = BufWriter::new(File::create(path).map_err(Error::file("create", path))?);
    let mut left = size;
    while left > 0 {
        let block = block();
        let count = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(count).unwrap_or(block.len())]).map_err(Error::file("write", path))?;
        left -= count;
    }
    file.flush().map_err(Error::file("write", path))
}

/// Generates the same bytes on every machine, from a small generator (xorshift) with a fixed start.
struct Content {
    state: u64,
    /// What programs repeat: sequences of 8 to 64 bytes.
    phrases: Vec<Vec<u8>>,
}

impl Content {
    fn new(state: u64) -> Content {
        let mut content = Content { state, phrases: Vec::new() };
        content.phrases = (0..4096)
            .map(|_| {
                let length = 8 + content.below(57);
                content.bytes(length)
            })
            .collect();
        content
    }

    /// A block that cannot be compressed, like a layer that already is.
    fn packed(&mut self) -> Vec<u8> {
        self.bytes(4096)
    }

    /// A block that compresses about as well as machine code: phrases, a few of them very common, and loose bytes.
    fn program(&mut self) -> Vec<u8> {
        let mut block = Vec::with_capacity(4096 + 80);
        while block.len() < 4096 {
            let range = 1 + self.below(self.phrases.len());
            let index = self.below(range);
            block.extend_from_slice(&self.phrases[index]);
            let loose = self.below(8);
            block.extend(self.bytes(loose));
        }
        block
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_the_same_every_time() {
        let (mut one, mut two) = (Content::new(7), Content::new(7));
        assert_eq!(one.program(), two.program());
        assert_eq!(one.packed(), two.packed());
        assert_ne!(one.packed(), two.program());
    }

    #[test]
    fn times_are_summed_up() {
        let times = Times([2, 4].map(Duration::from_secs).to_vec());
        assert_eq!(times.mean(), Duration::from_secs(3));
        assert_eq!(times.deviation(), Duration::from_secs(1));
        assert!(times.to_string().contains("3.000 s ± 1.000 s  (2.000 … 4.000, 2 runs)"), "{times}");
    }
}
