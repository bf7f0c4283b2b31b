//! Writes cluster images into archives and layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use content_store::{Digest, REF_NAME_ANNOTATION};

use super::closure;
use super::docker;
use super::event::ArchiveProgress;
use super::members::{self, Member};
use super::parts::PartWriter;
use super::unfinished::{self, parent};
use crate::documents::{Index, IndexEntry, Top};
use crate::error::{Error, Result};
use crate::format;
use crate::images::Images;
use crate::layer::Compression;
use crate::platform::Platform;

/// How images are saved.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SaveOptions {
    /// The form of the archive.
    pub format: ArchiveFormat,
    /// How the whole archive is compressed; its layers stay as they are.
    pub compression: Option<Compression>,
    /// The platforms to save; all that are here when it is empty.
    pub platforms: Vec<Platform>,
}

/// The form of an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar of an OCI image layout: everything of the images.
    #[default]
    OciArchive,
    /// An OCI image layout as a directory: everything of the images.
    OciDir,
    /// What `docker load` reads: the root file systems for one platform, without carried images and launch commands.
    DockerArchive,
}

/// What was saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Its size in bytes.
    pub bytes: u64,
    /// The files of an archive in parts, in their order.
    pub parts: Vec<PathBuf>,
    /// What of the images the form cannot hold, one sentence each.
    pub left_out: Vec<String>,
}

impl std::str::FromStr for ArchiveFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "oci-archive" => Ok(Self::OciArchive),
            "oci-dir" => Ok(Self::OciDir),
            "docker-archive" => Ok(Self::DockerArchive),
            other => Err(Error::Option {
                option: "the format of an archive",
                value: other.to_owned(),
                expected: "oci-archive, oci-dir or docker-archive",
            }),
        }
    }
}

impl Images {
    /// Writes the images of these names into one OCI archive. Gives its size in bytes.
    ///
    /// # Errors
    /// As [`Images::save_as`].
    pub fn save(&self, names: &[impl AsRef<str>], path: &Path) -> Result<u64> {
        self.save_as(names, path, &SaveOptions::default(), &|_, _| ()).map(|saved| saved.bytes)
    }

    /// Writes the images of these names into one archive, or into a directory. `progress` hears of the bytes before the
    /// archive is compressed.
    ///
    /// Each image is named in it as it is named here, so `skopeo copy oci-archive:FILE:NAME …` finds it; one that is asked
    /// for by digest, by all its names. Every blob is verified while it is copied. A file or directory appears whole or not
    /// at all, a link is followed, a named pipe is written to. A directory must not be there, or be empty.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Store`] for a missing or corrupt blob, which is named; [`Error::File`],
    /// also for a device or a socket; [`Error::NoPlatform`].
    pub fn save_as(
        &self,
        names: &[impl AsRef<str>],
        path: &Path,
        options: &SaveOptions,
        progress: ArchiveProgress<'_>,
    ) -> Result<Saved> {
        if options.format == ArchiveFormat::OciDir {
            return self.save_directory(names, path, options, progress);
        }
        let (members, left_out) = self.members(names, options)?;
        if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            let mut pipe = OpenOptions::new().write(true).open(path).map_err(Error::file("write", path))?;
            let bytes = self.write(&members, &mut pipe, path, options, progress)?;
            return Ok(Saved { bytes, left_out, ..Saved::default() });
        }
        let path = &atomic_file::target(path).map_err(Error::file("write", path))?;
        let fault = |source| Error::File { act: "write", path: path.clone(), source };
        let old = fs::metadata(path).ok().map(|metadata| metadata.permissions());
        let mut file = unfinished::file(path).map_err(fault)?;
        let bytes = self.write(&members, &mut file, path, options, progress)?;
        old.map_or(Ok(()), |old| file.as_file().set_permissions(old)).map_err(fault)?;
        file.persist(path).and_then(|()| atomic_file::sync_dir(parent(path))).map_err(fault)?;
        Ok(Saved { bytes, left_out, ..Saved::default() })
    }

    /// Writes an archive as a stream, for example into a pipe.
    ///
    /// # Errors
    /// As [`Images::save_as`]; what was written until then is no archive.
    pub fn save_to(
        &self,
        names: &[impl AsRef<str>],
        output: &mut dyn Write,
        options: &SaveOptions,
        progress: ArchiveProgress<'_>,
    ) -> Result<Saved> {
        let (members, left_out) = self.members(names, options)?;
        let bytes = self.write(&members, output, Path::new("the output"), options, progress)?;
        Ok(Saved { bytes, left_out, ..Saved::default() })
    }

    /// Writes an archive as files of at most `part_size` bytes: `PATH.001`, `PATH.002`, … Each says to which set it belongs
    /// and which number it has. They appear when all of them are written.
    ///
    /// # Errors
    /// As [`Images::save_as`]; [`Error::File`] when a part of that name is there.
    pub fn save_parts(
        &self,
        names: &[impl AsRef<str>],
        path: &Path,
        part_size: u64,
        options: &SaveOptions,
        progress: ArchiveProgress<'_>,
    ) -> Result<Saved> {
        let (members, left_out) = self.members(names, options)?;
        let mut parts = PartWriter::create(path, part_size)?;
        self.write(&members, &mut parts, path, options, progress)?;
        let (parts, bytes) = parts.finish()?;
        Ok(Saved { bytes, parts, left_out })
    }

    fn save_directory(
        &self,
        names: &[impl AsRef<str>],
        path: &Path,
        options: &SaveOptions,
        progress: ArchiveProgress<'_>,
    ) -> Result<Saved> {
        let fault = |source| Error::File { act: "write", path: path.to_owned(), source };
        let is_free = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err(),
        };
        if !is_free {
            let reason = "something is there; name a directory that is empty or is still to be made";
            return Err(fault(io::Error::new(io::ErrorKind::AlreadyExists, reason)));
        }
        let (members, left_out) = self.members(names, options)?;
        let (work, _lock) = unfinished::directory(path)?;
        let layout = work.path();
        let bytes = members::write_directory(self.content(), &members, layout, progress)?;
        for below in ["", "blobs", "blobs/sha256"] {
            atomic_file::sync_dir(&layout.join(below)).map_err(fault)?;
        }
        fs::rename(layout, path).and_then(|()| atomic_file::sync_dir(parent(path))).map_err(fault)?;
        Ok(Saved { bytes, left_out, ..Saved::default() })
    }

    /// Writes the tar, compressed where that is wanted; gives the size of what came out.
    fn write(
        &self,
        members: &[Member],
        output: &mut dyn Write,
        path: &Path,
        options: &SaveOptions,
        progress: ArchiveProgress<'_>,
    ) -> Result<u64> {
        let fault = |source| Error::File { act: "write", path: path.to_owned(), source };
        let counted = Counted { output, bytes: 0 };
        let compression = options.compression.unwrap_or(Compression::None);
        let mut output = compression.encoder(BufWriter::with_capacity(1 << 20, counted)).map_err(fault)?;
        members::write_tar(self.content(), members, &mut output, path, progress)?;
        let mut output = output.finish().map_err(fault)?;
        output.flush().map_err(fault)?;
        Ok(output.get_ref().bytes)
    }

    /// What an archive of these images holds, and what it cannot hold.
    fn members(&self, names: &[impl AsRef<str>], options: &SaveOptions) -> Result<(Vec<Member>, Vec<String>)> {
        if options.format == ArchiveFormat::DockerArchive {
            return docker::members(self, names, &options.platforms);
        }
        let mut entries = Vec::new();
        let mut blobs = BTreeMap::new();
        for name in names {
            let (whole, digest) = self.resolve(name.as_ref())?;
            match whole {
                Some(whole) => entries.push(self.entry(name.as_ref(), Some(whole), &digest)?),
                None => entries.extend(self.entries_of(&digest)?),
            }
            blobs.append(&mut closure::blobs(self.content(), &digest, &options.platforms)?);
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(format::INDEX.to_owned()),
            manifests: entries,
            annotations: BTreeMap::new(),
        };
        let index = serde_json::to_vec(&index).map_err(Error::document("index.json"))?;
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        let documents = [Member::document("oci-layout", layout), Member::document("index.json", index)];
        let blobs = blobs.into_iter().map(|(digest, size)| Member::blob(digest, size));
        Ok((documents.into_iter().chain(blobs).collect(), Vec::new()))
    }

    /// An entry for each name of an image, or one without a name.
    fn entries_of(&self, digest: &Digest) -> Result<Vec<IndexEntry>> {
        let names = self.names_of(digest)?;
        if names.is_empty() {
            return Ok(vec![self.entry("", None, digest)?]);
        }
        names.into_iter().map(|name| self.entry(&name, Some(name.clone()), digest)).collect()
    }

    /// All names of an image.
    pub(super) fn names_of(&self, digest: &Digest) -> Result<BTreeSet<String>> {
        let is_same = |other: std::result::Result<Digest, _>| other.is_ok_and(|other: Digest| other == *digest);
        let named = self.names()?.into_iter().filter(|named| is_same(Digest::try_from(named.descriptor.digest())));
        Ok(named.map(|named| named.name).collect())
    }

    fn entry(&self, written: &str, whole: Option<String>, digest: &Digest) -> Result<IndexEntry> {
        let mut annotations = BTreeMap::new();
        if let Some(whole) = whole {
            annotations.insert(REF_NAME_ANNOTATION.to_owned(), written.to_owned());
            annotations.insert(format::CONTAINERD_NAME_ANNOTATION.to_owned(), whole);
        }
        let size = self.content().size(digest)?;
        Ok(IndexEntry {
            media_type: Top::read(self.content(), digest)?.0.media_type().to_owned(),
            digest: *digest,
            size,
            platform: None,
            annotations,
        })
    }
}

/// Counts the bytes that go through it.
struct Counted<'a> {
    output: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
