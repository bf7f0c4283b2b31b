//! The build cache: results of earlier builds by what they depend on.
//!
//! A result is kept under a digest of everything it depends on: the layers below, the instruction, the content of its
//! sources, how it is packed. It counts only while its blobs are in the store.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use atomic_file::TEMPORARY_PREFIX;
use content_store::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

use super::draft::RootfsState;
use super::options::BuildOptions;
use crate::catalogue::CarriedImage;
use crate::durable;
use crate::error::{Error, Result};
use crate::image::Layer;
use crate::images::Images;
use crate::layer::tree::{Content, Kind, Tree};
use crate::remove::{WorkDirectory, remove_directory};

/// What an instruction made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The layer; none when nothing changed.
    pub(super) layer: Option<Layer>,
    /// Number of files in it.
    pub(super) files: u64,
    /// Container images taken out of archives in it.
    pub(super) carried: Vec<CarriedImage>,
    /// What is probably a mistake, one sentence each.
    #[serde(default)]
    pub(super) remarks: Vec<String>,
}

/// Bumped when the meaning of keys or records changes.
const VERSION: &str = "2";

/// The key of a layer on `rootfs`; `parts` say what it is made from.
pub(super) fn key(rootfs: &RootfsState, options: &BuildOptions, instruction: &str, parts: &[&str]) -> Digest {
    let mut hash = Hasher::new(Algorithm::Sha256);
    let mut add = |part: &str| {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    };
    add(VERSION);
    add(&rootfs.platform.to_string());
    add(options.compression.as_str());
    add(&options.epoch().to_string());
    for layer in rootfs.diff_ids() {
        add(&layer.to_string());
    }
    add(instruction);
    parts.iter().for_each(|part| add(part));
    hash.finish()
}

/// What is kept under the key, if every blob of it is in the store.
pub(super) fn load(images: &Images, key: &Digest) -> Option<Record> {
    let bytes = fs::read(path(images, key)).ok()?;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    is_whole(&record, &|digest| images.content().contains(digest)).then_some(record)
}

/// Keeps a record.
pub(super) fn save(images: &Images, key: &Digest, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(Error::document("a build record"))?;
    durable::write(&path(images, key), &bytes)
}

fn path(images: &Images, key: &Digest) -> PathBuf {
    images.build_cache().join(format!("{}.json", key.hex()))
}

fn is_whole(record: &Record, stored: &dyn Fn(&Digest) -> bool) -> bool {
    let blobs = record.carried.iter().flat_map(|image| image.blobs.iter().map(|blob| blob.digest));
    record.layer.iter().map(|layer| layer.digest).chain(blobs).all(|digest| stored(&digest))
}

/// What of the caches is of no use.
#[derive(Debug, Default)]
pub(crate) struct Waste {
    /// Records of build results, listings, and directories of builds that were killed.
    pub(crate) cached: Vec<PathBuf>,
    /// Unpacked layers.
    pub(crate) layers: Vec<PathBuf>,
}

/// Records, listings and unpacked layers whose blobs are not `stored`; with `all`, also those that only make a next build
/// faster. Nobody may build meanwhile.
pub(crate) fn waste(images: &Images, all: bool, stored: &dyn Fn(&Digest) -> bool) -> Waste {
    let is_stored = |path: &Path| !all && blob_named(path).is_some_and(|digest| stored(&digest));
    let mut waste = Waste::default();
    for path in children(&images.build_cache()) {
        let is_record = path.extension().is_some_and(|extension| extension == "json");
        // A process that was killed left it: nobody builds now.
        let is_unfinished =
            path.file_name().is_some_and(|name| name.as_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()));
        let record = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        let is_useless = all || !record.is_some_and(|record| is_whole(&record, stored));
        if is_unfinished || (is_record && is_useless) || (path.is_dir() && is_abandoned(&path)) {
            waste.cached.push(path);
        }
    }
    waste.cached.extend(children(&images.listings()).into_iter().filter(|path| !is_stored(path)));
    waste.layers.extend(children(&images.unpacked_layers()).into_iter().filter(|path| !is_stored(path)));
    waste
}

fn children(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Whether the command that made this directory or file was killed: one at work holds its lock.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// The digest that a file or directory is named after.
fn blob_named(path: &Path) -> Option<Digest> {
    Digest::from_hex(path.file_name()?.to_str()?).ok()
}

/// A digest of everything in a tree, file contents included; files are hashed on all cores.
pub(super) fn digest_of(tree: &Tree) -> Result<Digest> {
    let contents: Vec<&Content> = tree
        .iter()
        .filter_map(|(_, entry)| match &entry.kind {
            Kind::File(content) => Some(content),
            _ => None,
        })
        .collect();
    let mut digests = hash_all(&contents)?.into_iter();
    let mut hash = Hasher::new(Algorithm::Sha256);
    for (path, entry) in tree.iter() {
        let mut add = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(path.as_os_str().as_bytes());
        match &entry.kind {
            Kind::Directory => add(b"directory"),
            Kind::File(_) => add(digests.next().map(|digest| digest.to_string()).unwrap_or_default().as_bytes()),
            Kind::Symlink(target) => [b"symlink", target.as_os_str().as_bytes()].iter().for_each(|part| add(part)),
            Kind::HardLink(target) => [b"hardlink", target.as_os_str().as_bytes()].iter().for_each(|part| add(part)),
            Kind::Fifo => add(b"fifo"),
            Kind::Character { major, minor } => add(format!("character {major} {minor}").as_bytes()),
            Kind::Block { major, minor } => add(format!("block {major} {minor}").as_bytes()),
        }
        add(format!("{:o} {} {}", entry.mode, entry.uid, entry.gid).as_bytes());
        entry.xattrs.iter().for_each(|(name, value)| [name, value].iter().for_each(|part| add(part)));
    }
    Ok(hash.finish())
}

/// Hashes contents in parallel; the digests are in their order.
fn hash_all(contents: &[&Content]) -> Result<Vec<Digest>> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8).min(contents.len().max(1));
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Digest)>> {
        let mut done = Vec::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(content) = contents.get(at) else { return Ok(done) };
            let digest = hash_one(content, &mut buffer).map_err(Error::file("read", content.path()))?;
            done.push((at, digest));
        }
    };
    let mut digests = Vec::with_capacity(contents.len());
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            digests.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(())
    })?;
    digests.sort_unstable_by_key(|(at, _)| *at);
    Ok(digests.into_iter().map(|(_, digest)| digest).collect())
}

fn hash_one(content: &Content, buffer: &mut [u8]) -> io::Result<Digest> {
    let mut hash = Hasher::new(Algorithm::Sha256);
    let mut input = content.open()?;
    loop {
        match input.read(buffer) {
            Ok(0) => return Ok(hash.finish()),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A directory for one build's temporary files, removed at its end; what killed builds left is removed at its start.
#[derive(Debug)]
pub(crate) struct Workplace {
    directory: WorkDirectory,
    _lock: File,
}

impl Workplace {
    pub(crate) fn open(images: &Images) -> Result<Self> {
        let parent = images.build_cache();
        atomic_file::create_dir(&parent, 0o755).map_err(Error::file("create", &parent))?;
        // No other build can be between making its directory and locking it.
        let _lock = lock(&parent)?;
        for path in children(&parent).into_iter().filter(|path| path.is_dir()) {
            if is_abandoned(&path) {
                // It is in nobody's way; the next build tries again.
                let _ = remove_directory(&path);
            }
        }
        let directory = WorkDirectory::new_in(&parent, "at-work-")?;
        let lock = lock(directory.path())?;
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Locks a directory, waiting for whoever holds it.
fn lock(directory: &Path) -> Result<File> {
    let lock = File::open(directory).map_err(Error::file("open", directory))?;
    lock.lock().map_err(Error::file("lock", directory))?;
    Ok(lock)
}
