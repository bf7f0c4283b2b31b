//! Reads archives of cluster images, whoever wrote them: OCI archives and layouts, docker's form, upstream sealer's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use content_store::{Descriptor, Digest, GcGuard, MediaType, NameKind, Named, REF_NAME_ANNOTATION, Reference};

use super::event::ArchiveProgress;
use super::take::Taken;
use super::{closure, instances, parts};
use crate::builder::seal::now;
use crate::docker_archive::{self, MANIFEST, Saved};
use crate::documents::{Index, IndexEntry, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::image::Image;
use crate::images::Images;

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

/// Counts the bytes that are read.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// An image of an archive, and its name there.
type Found = (Option<Reference>, Digest);

impl Images {
    /// Reads the images of an archive (plain, gzip or zstd), or of a directory that is an OCI layout, into the store under
    /// the names that they have in it, and gives these names; for an image without a name, its digest. Blobs that are here
    /// already are not written again.
    ///
    /// # Errors
    /// [`Error::Archive`] when it is no archive of images, is hostile, or lacks a blob; [`Error::Store`] for a blob that
    /// is not what its name says. Then no name was set.
    pub fn load(&self, path: &Path) -> Result<Vec<String>> {
        self.read_paths(&[path.to_owned()], &|_, _| ())?.set_names()
    }

    /// The same without the names, from files: one archive, or the parts of one in any order, of which those may be left out
    /// that are beside the others.
    ///
    /// # Errors
    /// As [`Images::load`]; [`Error::Archive`] names a part that is missing, cut short, or of another archive.
    pub fn read_paths(&self, paths: &[PathBuf], progress: ArchiveProgress<'_>) -> Result<ReadArchive<'_>> {
        match paths {
            [path] if path.is_dir() => self.read_layout(path, progress),
            [path] if !parts::is_part(path)? => {
                let file = File::open(path).map_err(Error::file("read", path))?;
                // A pipe has no size.
                let size = file.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len());
                self.read_archive(file, path, &|bytes, _| progress(bytes, size))
            }
            paths => {
                let shown = paths.first().map(PathBuf::as_path).unwrap_or(Path::new("no file"));
                self.read_plain(parts::open(paths)?, shown, progress)
            }
        }
    }

    /// The same from a stream, for example a pipe; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn read_archive(
        &self,
        mut input: impl Read + Send + 'static,
        path: &Path,
        progress: ArchiveProgress<'_>,
    ) -> Result<ReadArchive<'_>> {
        let mut start = Vec::new();
        let begun = input.by_ref().take(parts::MAGIC.len() as u64).read_to_end(&mut start);
        begun.map_err(Error::file("read", path))?;
        let is_parts = start == parts::MAGIC;
        let input = Cursor::new(start).chain(input);
        if is_parts {
            self.read_plain(parts::Joined::new(input), path, progress)
        } else {
            self.read_plain(input, path, progress)
        }
    }

    /// From a stream that is no part of an archive.
    fn read_plain(
        &self,
        input: impl Read + Send + 'static,
        path: &Path,
        progress: ArchiveProgress<'_>,
    ) -> Result<ReadArchive<'_>> {
        let guard = self.content().gc_guard()?;
        let read = Arc::new(AtomicU64::new(0));
        let input = Counted { input, read: Arc::clone(&read) };
        // What was read of the file is told, not what came out of it when it is compressed.
        let tell = |_| progress(read.load(Ordering::Relaxed), None);
        self.named(&Taken::from_stream(self.content(), input, path, &tell)?, guard)
    }

    /// The same from a directory that is an OCI layout, as `skopeo copy … oci:DIRECTORY` writes it.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn read_layout(&self, path: &Path, progress: ArchiveProgress<'_>) -> Result<ReadArchive<'_>> {
        let guard = self.content().gc_guard()?;
        let read = AtomicU64::new(0);
        let tell = |bytes| progress(read.fetch_add(bytes, Ordering::Relaxed) + bytes, None);
        self.named(&Taken::from_layout(self.content(), path, &tell)?, guard)
    }

    /// Checks the images whose blobs are here.
    fn named(&self, taken: &Taken, guard: GcGuard) -> Result<ReadArchive<'_>> {
        let (created, known) = (now()?, self.names()?);
        let (mut named, mut names, mut checked) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (reference, digest) in self.find_images(taken)? {
            let shown = reference.as_ref().map_or_else(|| digest.to_string(), ToString::to_string);
            // Many names may point at one image: it is read once.
            let descriptor = match checked.entry(digest) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.check(&digest).map_err(|error| match error {
                    Error::Store(content_store::Error::Missing { digest, .. }) => {
                        taken.fault("", format!("it lacks {digest}, a part of {shown}"))
                    }
                    other => other,
                })?),
            };
            names.push(shown);
            let Some(reference) = reference else { continue };
            let is_this = |one: &Named| one.name == reference.to_string() && one.descriptor == *descriptor;
            if known.iter().any(is_this) {
                continue; // It stays as old as it is, and nothing is written.
            }
            let annotations = BTreeMap::from([(format::CREATED_ANNOTATION.to_owned(), created.clone())]);
            named.push(Named {
                kind: NameKind::ClusterImage,
                name: reference.to_string(),
                descriptor: descriptor.clone(),
                annotations,
            });
        }
        if names.is_empty() {
            return Err(taken.fault("", "there is no image in it"));
        }
        Ok(ReadArchive { images: self, named, names, _guard: guard })
    }

    /// The images of an archive of any form.
    fn find_images(&self, taken: &Taken) -> Result<Vec<Found>> {
        match (&taken.index, &taken.manifest, &taken.metadata) {
            (Some(index), manifest, _) => {
                let index: Index =
                    serde_json::from_slice(index).map_err(Error::document(format!("{}: index.json", taken.archive)))?;
                // Docker writes both forms, and names only in one of them when a tag has no whole name.
                match manifest {
                    Some(manifest) if !index.manifests.iter().all(|entry| name(entry).is_some()) => {
                        self.of_docker(taken, manifest)
                    }
                    _ => of_layout(taken, &index),
                }
            }
            (None, Some(manifest), _) => self.of_docker(taken, manifest),
            (None, None, Some(name)) => {
                let images = |inner: &Taken| {
                    if inner.index.is_none() && inner.manifest.is_none() {
                        return Err(inner.fault("", "it is no archive of an image"));
                    }
                    Ok(self.find_images(inner)?.into_iter().map(|(_, digest)| digest).collect())
                };
                let (name, digest) = instances::join(self.content(), taken, name, &images)?;
                Ok(vec![(Some(name), digest)])
            }
            (None, None, None) => {
                Err(taken
                    .fault("", "it is no OCI archive and none of docker: it has no index.json and no manifest.json"))
            }
        }
    }

    /// The images of docker's form, each under a manifest made over config and layers.
    fn of_docker(&self, taken: &Taken, manifest: &[u8]) -> Result<Vec<Found>> {
        let saved: Vec<Saved> =
            serde_json::from_slice(manifest).map_err(Error::document(format!("{}: {MANIFEST}", taken.archive)))?;
        let store = self.content();
        let mut found = Vec::new();
        for one in &saved {
            let blob = |path: &Path| taken.layer(store, path);
            let composed = docker_archive::compose(store, &taken.archive, one, &blob, &|_| Ok(()))?;
            let digest = composed.manifest.digest;
            let names = one.names.iter().flatten();
            let before = found.len();
            for name in names {
                found.push((Some(name.parse()?), digest));
            }
            if found.len() == before {
                found.push((None, digest));
            }
        }
        Ok(found)
    }

    /// Describes an image that is whole and one that we understand.
    fn check(&self, digest: &Digest) -> Result<Descriptor> {
        closure::blobs(self.content(), digest, &[])?;
        match Image::from_content(self.content(), digest) {
            // Made for another machine: that is no fault of the archive.
            Ok(_) | Err(Error::NoPlatform { .. }) => {}
            Err(error) => return Err(error),
        }
        let (top, size) = Top::read(self.content(), digest)?;
        Ok(Descriptor::new(MediaType::from(top.media_type()), size, *digest))
    }
}

/// The images of an OCI layout.
fn of_layout(taken: &Taken, index: &Index) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in &index.manifests {
        let reference: Option<Reference> = name(entry).map(|name| name.parse()).transpose()?;
        if let Some(reference) = &reference
            && reference.digest().is_some_and(|digest| *digest != entry.digest)
        {
            return Err(taken.fault("index.json", format!("{reference} is the name of {}", entry.digest)));
        }
        found.push((reference, entry.digest));
    }
    Ok(found)
}

/// The name of an entry; that of containerd is always whole.
fn name(entry: &IndexEntry) -> Option<&String> {
    entry.annotations.get(format::CONTAINERD_NAME_ANNOTATION).or_else(|| entry.annotations.get(REF_NAME_ANNOTATION))
}
