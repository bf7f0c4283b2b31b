//! Takes the blobs of an archive or layout into the store, before anything is known about its images.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use content_store::{Blob, Digest, Store};

use super::event::Telling;
use crate::catalogue::CarriedBlob;
use crate::docker_archive::{MANIFEST, normal};
use crate::error::{Error, Result};
use crate::format;
use crate::layer::Compression;
use crate::layer::tar::{MemberKind, Reader};

/// The document of an OCI layout that lists its images.
const INDEX: &str = "index.json";
/// The file in which upstream keeps the name of an image for several platforms; each of them is an archive beside it.
const METADATA: &str = "Metadata";
/// Longest name in it.
const NAME_LIMIT: u64 = 4096;
/// Names of files that configs and layers of docker's form have.
const DOCKER_FILES: [&str; 5] = [".json", ".tar", ".tar.gz", ".tgz", ".tar.zst"];

/// What an archive holds. Its blobs are in the store.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What errors call it.
    pub(super) archive: String,
    /// `index.json` of an OCI layout.
    pub(super) index: Option<Vec<u8>>,
    /// `manifest.json` of docker's form.
    pub(super) manifest: Option<Vec<u8>>,
    /// The name of an image of upstream for several platforms.
    pub(super) metadata: Option<Vec<u8>>,
    /// Files that docker's form may mean, by their paths.
    pub(super) files: BTreeMap<PathBuf, Blob>,
    /// Links among them.
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Taken {
    /// Reads a stream to its end; `tell` hears of the bytes that are stored.
    pub(super) fn from_stream(
        store: &Store,
        input: impl Read + Send + 'static,
        archive: &Path,
        tell: &dyn Fn(u64),
    ) -> Result<Self> {
        let input = plain(input, archive)?;
        let mut taken = Self { archive: archive.display().to_string(), ..Self::default() };
        let mut reader = Reader::new(input, &taken.archive);
        while let Some(member) = reader.next()? {
            let path = member.path;
            match member.kind {
                MemberKind::File { .. } => taken.take_file(store, &mut reader, path, tell)?,
                MemberKind::Symlink(target) => {
                    let target = normal(&path.parent().unwrap_or(Path::new("")).join(target));
                    taken.links.insert(path, target);
                }
                MemberKind::HardLink(target) => drop(taken.links.insert(path, target)),
                _ => {}
            }
        }
        Ok(taken)
    }

    fn take_file<R: Read>(
        &mut self,
        store: &Store,
        reader: &mut Reader<R>,
        path: PathBuf,
        tell: &dyn Fn(u64),
    ) -> Result<()> {
        let document = match path.to_str() {
            Some(INDEX) => Some((&mut self.index, format::DOCUMENT_LIMIT)),
            Some(MANIFEST) => Some((&mut self.manifest, format::DOCUMENT_LIMIT)),
            Some(METADATA) => Some((&mut self.metadata, NAME_LIMIT)),
            _ => None,
        };
        if let Some((place, limit)) = document {
            *place = Some(reader.read_data(limit, &path)?);
            return Ok(());
        }
        let name = path.to_string_lossy();
        let digest = blob_digest(&path);
        if digest.is_some() || DOCKER_FILES.iter().any(|end| name.ends_with(end)) {
            let blob = take(store, reader, digest.as_ref(), tell).map_err(|error| self.fault_of(&path, error))?;
            self.files.insert(path, blob);
        }
        Ok(())
    }

    /// Reads a directory that is an OCI layout, as `skopeo copy … oci:DIRECTORY` writes it.
    pub(super) fn from_layout(store: &Store, path: &Path, tell: &dyn Fn(u64)) -> Result<Self> {
        let mut taken = Self { archive: path.display().to_string(), ..Self::default() };
        let list = |directory: &Path| {
            let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            entries.map_err(Error::file("read", directory))
        };
        let index = path.join(INDEX);
        taken.index = atomic_file::read_limited(&index, format::DOCUMENT_LIMIT).map_err(Error::file("read", &index))?;
        let blobs = if taken.index.is_some() { list(&path.join("blobs"))? } else { Vec::new() };
        for algorithm in blobs.iter().filter(|entry| entry.path().is_dir()) {
            for blob in list(&algorithm.path())? {
                let file = blob.path();
                let digest = file.strip_prefix(path).ok().and_then(blob_digest);
                // What a link leads to is not part of the layout, and a pipe would be waited for.
                if let Some(digest) = digest.filter(|_| blob.file_type().is_ok_and(|kind| kind.is_file())) {
                    let mut input = File::open(&file).map_err(Error::file("read", &file))?;
                    take(store, &mut input, Some(&digest), tell).map_err(|error| taken.fault_of(&file, error))?;
                }
            }
        }
        Ok(taken)
    }

    /// An archive that is a file of this one.
    pub(super) fn inner(&self, store: &Store, path: &Path) -> Result<Self> {
        let blob = self.file(path)?;
        let input = store.verified_reader(&blob.digest)?;
        Self::from_stream(store, input, &Path::new(&self.archive).join(path), &|_| ())
    }

    /// A file, links followed.
    pub(super) fn file(&self, path: &Path) -> Result<Blob> {
        let mut path = normal(path);
        for _ in 0..8 {
            match (self.files.get(&path), self.links.get(&path)) {
                (Some(blob), _) => return Ok(*blob),
                (None, Some(target)) => path.clone_from(target),
                (None, None) => break,
            }
        }
        Err(self.fault(&path.display().to_string(), "it is missing"))
    }

    /// The same, described as a layer with its compression.
    pub(super) fn layer(&self, store: &Store, path: &Path) -> Result<CarriedBlob> {
        let Blob { digest, size } = self.file(path)?;
        let mut start = Vec::new();
        let read = store.open_blob(&digest)?.take(6).read_to_end(&mut start);
        read.map_err(Error::file("read", store.blob_path(&digest)))?;
        Ok(CarriedBlob { digest, media_type: Compression::of_magic(&start).media_type().to_owned(), size })
    }

    pub(super) fn fault(&self, entry: &str, reason: impl Into<String>) -> Error {
        Error::Archive { archive: self.archive.clone(), entry: entry.to_owned(), reason: reason.into() }
    }

    fn fault_of(&self, path: &Path, error: Fault) -> Error {
        match error {
            Fault::Read(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                self.fault(&path.display().to_string(), "it ends in the middle")
            }
            Fault::Read(source) => match source.downcast::<content_store::Error>() {
                Ok(error) => Error::Store(error),
                Err(source) => Error::file("load", &self.archive)(source),
            },
            Fault::Store(error) => Error::Store(error),
        }
    }
}

/// Why a blob could not be taken.
enum Fault {
    Read(io::Error),
    Store(content_store::Error),
}

impl From<content_store::Error> for Fault {
    fn from(error: content_store::Error) -> Self {
        Self::Store(error)
    }
}

/// Copies data into the store as a blob; `digest` is what it must have.
fn take(
    store: &Store,
    input: &mut impl Read,
    digest: Option<&Digest>,
    tell: &dyn Fn(u64),
) -> std::result::Result<Blob, Fault> {
    // A blob that is here and corrupt is written again.
    if let Some(digest) = digest
        && store.verify(digest).is_ok()
    {
        return Ok(Blob { digest: *digest, size: store.size(digest)? });
    }
    let mut writer = store.writer()?;
    if let Some(digest) = digest {
        writer = writer.with_algorithm(digest.algorithm());
    }
    io::copy(input, &mut Telling::new(&mut writer, tell)).map_err(Fault::Read)?;
    Ok(writer.commit(digest)?)
}

/// The stream, decompressed.
fn plain(mut input: impl Read + Send + 'static, path: &Path) -> Result<Box<dyn Read + Send>> {
    let fault = |source| Error::File { act: "read", path: path.to_owned(), source };
    let mut start = Vec::new();
    input.by_ref().take(6).read_to_end(&mut start).map_err(fault)?;
    if let Some(kind) = Compression::unsupported(&start) {
        let reason = format!("it is packed with {kind}: unpack it, or pack it with gzip or zstd");
        return Err(Error::Archive { archive: path.display().to_string(), entry: String::new(), reason });
    }
    let compression = Compression::of_magic(&start);
    compression.decoder(BufReader::with_capacity(1 << 20, io::Cursor::new(start).chain(input))).map_err(fault)
}

fn blob_digest(path: &Path) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs").ok()?.to_str()?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}
