//! Input and result of a build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use content_store::{Digest, Reference};
use registry_client::Registry;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::ignore::Ignore;
use crate::error::{Error, Result};
use crate::extension::ImageKind;
use crate::layer::Compression;
use crate::platform::Platform;
use crate::sandbox::Sandbox;
use crate::source::ImageSource;
use crate::transfer::PullPolicy;

/// The directory that COPY and ADD read from, with its `.sealerignore`.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) directory: PathBuf,
    pub(crate) ignore: Ignore,
}

/// How an image is built; every field has a default.
///
/// ```
/// let mut options = cloudimage::BuildOptions::named("shop:1.4");
/// options.no_cache = true;
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BuildOptions {
    /// The name it gets; without one it is only known by its digest, until garbage is collected.
    pub tag: Option<String>,
    /// Values for ARG.
    pub build_args: BTreeMap<String, String>,
    /// Labels besides those of the Kubefile, over which they win.
    pub labels: BTreeMap<String, String>,
    /// The platforms it is for, in any order; this machine's when there is none.
    pub platforms: Vec<Platform>,
    /// Annotations of each platform's manifest, besides those of sealer.
    pub annotations: BTreeMap<String, String>,
    /// What kind of image the caller takes it to be; the build fails when its files say otherwise.
    pub kind: Option<ImageKind>,
    /// Carry no container images but those of the base image and of archives in `images/`.
    pub lite: bool,
    /// Names of container images that are not fetched, whoever asks for them.
    pub ignored_images: Vec<String>,
    /// How its layers are compressed.
    pub compression: Compression,
    /// When the registry is asked for the base image.
    pub pull: PullPolicy,
    /// Use no result of an earlier build.
    pub no_cache: bool,
    /// The time (seconds since 1970) that every file, the config and its history get; 1970 itself without one.
    pub source_date_epoch: Option<u64>,
    /// The largest file that is downloaded, in bytes; 0 means 16 GiB.
    pub download_limit: u64,
    /// How long the command of one RUN may take; an hour without a value, as long as it wants with zero.
    pub run_timeout: Option<Duration>,
    /// Whether the commands of RUN may send and receive packets whose headers they write and read themselves.
    pub raw_packets: bool,
    /// Ends the build with [`Error::Cancelled`]: a RUN under way and everything that it started is killed, no layer of it is kept,
    /// and no image is named. An image that is whole by then is named all the same.
    pub cancel: CancellationToken,
}

/// The outside worlds that a build touches.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Backends<'a> {
    /// Performs RUN.
    pub sandbox: &'a dyn Sandbox,
    /// Gives the carried images.
    pub registry: &'a dyn Registry,
    /// Name the carried images.
    pub sources: &'a [&'a dyn ImageSource],
}

impl<'a> Backends<'a> {
    /// All of them.
    #[must_use]
    pub fn new(sandbox: &'a dyn Sandbox, registry: &'a dyn Registry, sources: &'a [&'a dyn ImageSource]) -> Self {
        Self { sandbox, registry, sources }
    }
}

/// The image that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Built {
    /// Its name (whole), when it got one.
    #[serde(serialize_with = "as_text")]
    pub reference: Option<Reference>,
    /// Digest of its index.
    pub digest: Digest,
    /// The first of its platforms.
    pub platform: Platform,
    /// The platforms it is for, sorted.
    pub platforms: Vec<Platform>,
    /// Size of everything in it, in bytes; what platforms share counts once.
    pub size: u64,
    /// How much of it was not in the store before, in bytes.
    pub new_bytes: u64,
    /// Number of carried images, by name.
    pub carried_images: usize,
}

impl Context {
    /// Opens a context directory and reads its `.sealerignore`.
    ///
    /// # Errors
    /// [`Error::Context`] when it is not a directory, [`Error::Pattern`] for a malformed `.sealerignore`.
    pub fn open(directory: &Path) -> Result<Self> {
        let whole = directory.canonicalize().map_err(|_| Error::Context { path: directory.to_owned() })?;
        if !whole.is_dir() {
            return Err(Error::Context { path: whole });
        }
        let ignore = Ignore::read(&whole)?;
        Ok(Self { directory: whole, ignore })
    }

    /// The same without this file, when it is in the directory: it is not copied, whatever the Kubefile says.
    ///
    /// # Errors
    /// [`Error::Pattern`] when its name is none that could be left out.
    pub fn without(mut self, file: &Path) -> Result<Self> {
        let whole = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        if let Ok(path) = whole.strip_prefix(&self.directory) {
            self.ignore = self.ignore.without(path)?;
        }
        Ok(self)
    }

    /// The directory, without links in its path.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl BuildOptions {
    /// The default options, with a name for the image.
    pub fn named(tag: impl Into<String>) -> Self {
        Self { tag: Some(tag.into()), ..Self::default() }
    }

    /// Seconds since 1970 for everything in the image.
    pub(crate) fn epoch(&self) -> i64 {
        self.source_date_epoch.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0)
    }

    /// The platforms, each once and sorted; at least one.
    pub(crate) fn platforms(&self) -> Vec<Platform> {
        let unique: BTreeSet<Platform> = self.platforms.iter().cloned().collect();
        if unique.is_empty() { vec![Platform::host()] } else { unique.into_iter().collect() }
    }

    pub(crate) fn run_timeout(&self) -> Duration {
        match self.run_timeout {
            None => Duration::from_secs(3600),
            Some(Duration::ZERO) => Duration::MAX,
            Some(limit) => limit,
        }
    }

    pub(crate) fn download_limit(&self) -> u64 {
        if self.download_limit == 0 { 16 << 30 } else { self.download_limit }
    }
}

fn as_text<S: serde::Serializer>(reference: &Option<Reference>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match reference {
        Some(reference) => serializer.serialize_some(&reference.to_string()),
        None => serializer.serialize_none(),
    }
}
