//! Reads an OCI archive, or the layout that it holds as a directory, whoever wrote it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use content_store::{Descriptor, Digest, GcGuard, MediaType, NameKind, Named, REF_NAME_ANNOTATION, Reference};

use super::closure;
use crate::builder::seal::now;
use crate::documents::{Index, IndexEntry, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::image::Image;
use crate::images::Images;
use crate::layer::Compression;
use crate::layer::tar::{MemberKind, Reader};

/// The images of an archive: their blobs are in the store, and no name points at them yet.
#[derive(Debug)]
#[must_use = "without `set_names` the images are garbage"]
pub struct ReadArchive<'a> {
    images: &'a Images,
    named: Vec<Named>,
    names: Vec<String>,
    _guard: GcGuard,
}

/// A name of an archive that points at another image here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// The name.
    pub name: String,
    /// What it points at here.
    pub from: Digest,
    /// What it points at in the archive.
    pub to: Digest,
}

impl ReadArchive<'_> {
    /// The names that would point at another image than they do here.
    ///
    /// # Errors
    /// When the names of the store cannot be read.
    pub fn moved(&self) -> Result<Vec<Moved>> {
        let mut moved = Vec::new();
        for Named { kind, name, descriptor, .. } in &self.named {
            let Some(known) = self.images.content().resolve(*kind, name)? else { continue };
            if known.digest() != descriptor.digest() {
                let digest = |descriptor: &Descriptor| Digest::try_from(descriptor.digest());
                let (from, to) = (digest(&known), digest(descriptor));
                let (from, to) = (from.map_err(content_store::Error::from)?, to.map_err(content_store::Error::from)?);
                moved.push(Moved { name: name.clone(), from, to });
            }
        }
        Ok(moved)
    }

    /// Points the names at the images, all of them or none; gives the names, and the digests of images without one.
    ///
    /// # Errors
    /// When the names of the store cannot be written.
    pub fn set_names(self) -> Result<Vec<String>> {
        self.images.content().set_names(self.named)?;
        Ok(self.names)
    }
}

impl Images {
    /// Reads the images of an OCI archive (plain, gzip or zstd), or of a directory that is an OCI layout, into the store under
    /// the names that they have in it, and gives these names; for an image without a name, its digest. Blobs that are here
    /// already are not written again.
    ///
    /// # Errors
    /// [`Error::Archive`] when it is no OCI archive, is hostile, or lacks a blob; [`Error::Store`] for a blob that
    /// is not what its name says. Then no name was set.
    pub fn load(&self, path: &Path) -> Result<Vec<String>> {
        if path.is_dir() {
            return self.read_layout(path)?.set_names();
        }
        self.read_archive(File::open(path).map_err(Error::file("read", path))?, path)?.set_names()
    }

    /// The same from a stream, for example a pipe, without the names; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn read_archive(&self, input: impl Read + Send + 'static, path: &Path) -> Result<ReadArchive<'_>> {
        let guard = self.content().gc_guard()?;
        let archive = path.display().to_string();
        let mut reader = Reader::new(plain(input, path)?, &archive);
        let mut index = None;
        while let Some(member) = reader.next()? {
            let MemberKind::File { .. } = member.kind else { continue };
            if member.path == Path::new("index.json") {
                let bytes = reader.read_data(format::DOCUMENT_LIMIT, &member.path)?;
                index = Some(bytes);
            } else if let Some(digest) = blob_digest(&member.path) {
                self.take(&mut reader, &digest, path)?;
            }
        }
        self.named(index, &archive, guard)
    }

    /// The same from a directory that is an OCI layout, as `skopeo copy … oci:DIRECTORY` writes it.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn read_layout(&self, path: &Path) -> Result<ReadArchive<'_>> {
        let guard = self.content().gc_guard()?;
        let list = |directory: &Path| {
            let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            entries.map_err(Error::file("read", directory))
        };
        let index = path.join("index.json");
        let index = atomic_file::read_limited(&index, format::DOCUMENT_LIMIT).map_err(Error::file("read", &index))?;
        let blobs = if index.is_some() { list(&path.join("blobs"))? } else { Vec::new() };
        for algorithm in blobs.iter().filter(|entry| entry.path().is_dir()) {
            for blob in list(&algorithm.path())? {
                let file = blob.path();
                let digest = file.strip_prefix(path).ok().and_then(blob_digest);
                // What a link leads to is not part of the layout, and a pipe would be waited for.
                if let Some(digest) = digest.filter(|_| blob.file_type().is_ok_and(|kind| kind.is_file())) {
                    self.take(&mut File::open(&file).map_err(Error::file("read", &file))?, &digest, path)?;
                }
            }
        }
        self.named(index, &path.display().to_string(), guard)
    }

    /// Checks the images of an index whose blobs are here.
    fn named(&self, index: Option<Vec<u8>>, archive: &str, guard: GcGuard) -> Result<ReadArchive<'_>> {
        let fault = |entry: &str, reason: String| Error::Archive {
            archive: archive.to_owned(),
            entry: entry.to_owned(),
            reason,
        };
        let index = index.ok_or_else(|| fault("", "it is no OCI archive: it has no index.json".to_owned()))?;
        let index: Index = serde_json::from_slice(&index).map_err(Error::document(format!("{archive}: index.json")))?;
        let created = now()?;
        let (mut named, mut names, mut checked) = (Vec::new(), Vec::new(), BTreeMap::new());
        for entry in &index.manifests {
            let reference: Option<Reference> = name(entry).map(|name| name.parse()).transpose()?;
            let shown = reference.as_ref().map_or_else(|| entry.digest.to_string(), ToString::to_string);
            if reference.as_ref().and_then(Reference::digest).is_some_and(|digest| *digest != entry.digest) {
                return Err(fault("index.json", format!("{shown} is the name of {}", entry.digest)));
            }
            // Many names may point at one image: it is read once.
            let descriptor = match checked.entry(entry.digest) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.check(&entry.digest).map_err(|error| match error {
                    Error::Store(content_store::Error::Missing { digest, .. }) => {
                        fault("", format!("it lacks {digest}, a part of {shown}"))
                    }
                    other => other,
                })?),
            };
            names.push(shown);
            let Some(reference) = reference else { continue };
            let annotations = BTreeMap::from([(format::CREATED_ANNOTATION.to_owned(), created.clone())]);
            named.push(Named {
                kind: NameKind::ClusterImage,
                name: reference.to_string(),
                descriptor: descriptor.clone(),
                annotations,
            });
        }
        if names.is_empty() {
            return Err(fault("index.json", "there is no image in it".to_owned()));
        }
        Ok(ReadArchive { images: self, named, names, _guard: guard })
    }

    /// Copies the data of the current member into the store as the blob `digest`.
    fn take(&self, reader: &mut impl Read, digest: &Digest, path: &Path) -> Result<()> {
        // A blob that is here and corrupt is written again.
        if self.content().contains(digest) && self.content().verify(digest).is_ok() {
            return Ok(());
        }
        let mut writer = self.content().writer()?;
        io::copy(reader, &mut writer).map_err(Error::file("load", path))?;
        writer.commit(Some(digest))?;
        Ok(())
    }

    /// Describes an image that is whole and one that we understand.
    fn check(&self, digest: &Digest) -> Result<Descriptor> {
        closure::blobs(self.content(), digest)?;
        match Image::from_content(self.content(), digest) {
            // Made for another machine: that is no fault of the archive.
            Ok(_) | Err(Error::NoPlatform { .. }) => {}
            Err(error) => return Err(error),
        }
        let (top, size) = Top::read(self.content(), digest)?;
        Ok(Descriptor::new(MediaType::from(top.media_type()), size, *digest))
    }
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

/// The name of an entry; that of containerd is always whole.
fn name(entry: &IndexEntry) -> Option<&String> {
    entry.annotations.get(format::CONTAINERD_NAME_ANNOTATION).or_else(|| entry.annotations.get(REF_NAME_ANNOTATION))
}
