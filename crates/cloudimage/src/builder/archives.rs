//! Imports container image archives found under `images/`, blobs unchanged.
//!
//! An archive that was understood does not stay in the rootfs: what it held travels in the catalogue.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use content_store::{Digest, Reference, Store};
use serde::de::DeserializeOwned;

use super::extract;
use super::layers::Job;
use crate::catalogue::{CarriedBlob, CarriedImage};
use crate::docker_archive::{self, Saved, normal};
use crate::documents::{self, Index, IndexEntry, Manifest};
use crate::error::{Error, Result};
use crate::format;
use crate::layer::Compression;
use crate::layer::tar::{MemberKind, Reader};
use crate::layer::tree::{Content, Kind, Tree};
use crate::platform::Platform;

/// Where archives of container images are.
const DIRECTORY: &str = "images";

/// Imports the archives below `images/` of the tree, told by their content, and removes them from it. Other files there
/// stay; of what looks as if it held images and is not taken, the sentences say why.
pub(super) fn take(job: &Job<'_>, tree: &mut Tree) -> Result<(Vec<CarriedImage>, Vec<String>)> {
    // Of a layout, the blobs are not looked at one by one.
    let layouts: Vec<PathBuf> = tree
        .iter()
        .filter(|(path, _)| path.starts_with(DIRECTORY) && path.ends_with("oci-layout"))
        .filter_map(|(path, _)| path.parent().map(Path::to_owned))
        .collect();
    let below = |path: &Path| {
        let in_layout = layouts.iter().any(|layout| path.starts_with(layout) && path != layout.join("oci-layout"));
        path.starts_with(DIRECTORY) && !in_layout
    };
    let candidates: Vec<(PathBuf, Kind)> = tree
        .iter()
        .filter(|(path, _)| below(path))
        .map(|(path, entry)| (path.to_owned(), entry.kind.clone()))
        .collect();
    let (mut carried, mut remarks) = (Vec::new(), Vec::new());
    for (path, kind) in candidates {
        let reason = match kind {
            Kind::File(content @ Content::Disk { .. }) if content.size() > 0 => match import(job, &path, &content)? {
                Found::Images(images) => {
                    carried.extend(images);
                    tree.remove(&path);
                    continue;
                }
                Found::Other(reason) => reason,
            },
            Kind::Symlink(_) if names_archive(&path) => Some("is a link; copy the archive itself"),
            _ => None,
        };
        remarks.extend(reason.map(|reason| format!("{}: no image is taken from it: it {reason}", path.display())));
    }
    Ok((carried, remarks))
}

fn names_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains(".tar") || name.ends_with(".tgz")
}

/// What a file turned out to be.
enum Found {
    Images(Vec<CarriedImage>),
    /// No archive of images; why not, when one could think that it is.
    Other(Option<&'static str>),
}

/// An archive of container images on disk, uncompressed.
struct Archive<'a> {
    store: &'a Store,
    /// Its path in the rootfs, for messages and for the catalogue.
    shown: String,
    file: File,
    /// Where the archive starts in the file.
    start: u64,
    members: BTreeMap<PathBuf, Place>,
    platform: &'a Platform,
}

enum Place {
    Data { offset: u64, size: u64 },
    Link(PathBuf),
}

/// The images of an archive.
fn import(job: &Job<'_>, path: &Path, content: &Content) -> Result<Found> {
    const NO_IMAGES: Found = Found::Other(Some("is an archive without a manifest.json or an OCI layout"));
    let Content::Disk { path: disk, offset, size } = content else { return Ok(Found::Other(None)) };
    let fault = |source| Error::File { act: "read", path: disk.clone(), source };
    let mut file = File::open(disk).map_err(fault)?;
    file.seek(SeekFrom::Start(*offset)).map_err(fault)?;
    let mut start = [0; 512];
    let got = extract::read_start(&mut (&mut file).take(*size), &mut start).map_err(fault)?;
    if Compression::unsupported(&start[..got]).is_some() {
        return Ok(Found::Other(Some("is packed with xz or bzip2; pack it as tar, tar.gz or tar.zst")));
    }
    if path.ends_with("oci-layout") {
        return Ok(Found::Other(Some("is part of an OCI layout; pack that directory as one tar")));
    }
    let (file, start, size) = match Compression::of_magic(&start[..got]) {
        Compression::None => (file, *offset, *size),
        _ if *offset > 0 => {
            let reason = "is packed inside an archive that ADD unpacked; COPY it by itself";
            return Ok(Found::Other(names_archive(path).then_some(reason)));
        }
        _ => match extract::plain_tar(disk, file, &start[..got], job.spool)? {
            Some(plain) => (File::open(&plain).map_err(Error::file("read", &plain))?, 0, u64::MAX),
            None => return Ok(Found::Other(None)),
        },
    };
    let shown = path.display().to_string();
    let Some(members) = members(&file, start, size, &shown)? else {
        return Ok(Found::Other(names_archive(path).then_some("is no tar")));
    };
    let archive = Archive { store: job.images.content(), shown, file, start, members, platform: &job.rootfs.platform };
    Ok(archive.images()?.map_or(NO_IMAGES, Found::Images))
}

/// Where each member's data is; `None` when the file is no tar, which then is no archive of images.
fn members(mut file: &File, start: u64, size: u64, shown: &str) -> Result<Option<BTreeMap<PathBuf, Place>>> {
    file.seek(SeekFrom::Start(start)).map_err(Error::file("read", shown))?;
    let mut reader = Reader::new(file.take(size), shown);
    let mut members = BTreeMap::new();
    let mut first = true;
    loop {
        let member = match reader.next() {
            Ok(Some(member)) => member,
            Ok(None) => return Ok(Some(members)),
            Err(Error::Archive { .. }) if first => return Ok(None),
            Err(error) => return Err(error),
        };
        first = false;
        let place = match member.kind {
            // Neither documents nor layers are packed with holes.
            MemberKind::File { .. } if reader.is_sparse() => continue,
            MemberKind::File { size } => Place::Data { offset: reader.position(), size },
            MemberKind::Symlink(target) => {
                Place::Link(normal(&member.path.parent().unwrap_or(Path::new("")).join(target)))
            }
            MemberKind::HardLink(target) => Place::Link(target),
            _ => continue,
        };
        members.insert(member.path, place);
    }
}

impl Archive<'_> {
    fn images(&self) -> Result<Option<Vec<CarriedImage>>> {
        let has = |name: &str| self.members.contains_key(Path::new(name));
        if has("index.json") && has("oci-layout") {
            let index: Index = self.document("index.json")?;
            let named: Vec<(&IndexEntry, Option<String>)> =
                index.manifests.iter().map(|entry| (entry, oci_name(entry))).collect();
            // Docker writes both forms, and names only in one of them when a tag has no whole name.
            if named.iter().all(|(_, name)| name.is_some()) || !has("manifest.json") {
                return named
                    .into_iter()
                    .map(|(entry, name)| self.oci_image(entry, name))
                    .collect::<Result<_>>()
                    .map(Some);
            }
        }
        if has("manifest.json") {
            let saved: Vec<Saved> = self.document("manifest.json")?;
            let mut images = Vec::new();
            for one in &saved {
                images.extend(self.saved_images(one)?);
            }
            return Ok(Some(images));
        }
        Ok(None)
    }

    /// Imports an image of an OCI layout: its documents and blobs as they are.
    fn oci_image(&self, entry: &IndexEntry, name: Option<String>) -> Result<CarriedImage> {
        let name = name.ok_or_else(|| {
            self.fault(
                "index.json",
                format!("{} has no name (annotation {})", entry.digest, content_store::REF_NAME_ANNOTATION),
            )
        })?;
        let mut blobs = Vec::new();
        self.import_document(entry.digest, &entry.media_type, &mut blobs)?;
        let mut manifest = entry.digest;
        if format::is_index(&entry.media_type) {
            let index: Index = documents::read(self.store, &entry.digest, format::DOCUMENT_LIMIT)?;
            let serves = |entry: &&IndexEntry| {
                entry.platform.as_ref().is_none_or(|platform| platform.serves(self.platform))
                    && self.has_blob(&entry.digest)
            };
            let chosen = index.rootfs_entries().find(serves);
            let chosen =
                chosen.ok_or_else(|| self.fault("index.json", format!("{name} is not in it for {}", self.platform)))?;
            self.import_document(chosen.digest, &chosen.media_type, &mut blobs)?;
            manifest = chosen.digest;
        }
        let document: Manifest = documents::read(self.store, &manifest, format::DOCUMENT_LIMIT)?;
        self.import_document(document.config.digest, &document.config.media_type, &mut blobs)?;
        for layer in &document.layers {
            let blob = self.import_blob(&blob_path(&layer.digest), Some(&layer.digest))?;
            blobs.push(CarriedBlob { media_type: layer.media_type.clone(), ..blob });
        }
        self.carried(&name, entry.digest, &entry.media_type, blobs)
    }

    /// Imports an image of docker's form: config and layers as they are, under a manifest made over them.
    fn saved_images(&self, saved: &Saved) -> Result<Vec<CarriedImage>> {
        let names = saved.names.clone().unwrap_or_default();
        if names.is_empty() {
            return Err(
                self.fault("manifest.json", "an image in it has no name; save it by name, not by its id".to_owned())
            );
        }
        let accept = |platform: &Platform| {
            let reason = || format!("{} is for {platform}, the image is built for {}", names.join(", "), self.platform);
            if platform.serves(self.platform) { Ok(()) } else { Err(self.fault("manifest.json", reason())) }
        };
        let blob = |path: &Path| self.import_blob(path, None);
        let composed = docker_archive::compose(self.store, &self.shown, saved, &blob, &accept)?;
        let (digest, media_type) = (composed.manifest.digest, &composed.manifest.media_type);
        names.iter().map(|name| self.carried(name, digest, media_type, composed.blobs.clone())).collect()
    }

    fn carried(&self, name: &str, digest: Digest, media_type: &str, blobs: Vec<CarriedBlob>) -> Result<CarriedImage> {
        let reference: Reference =
            name.parse().map_err(|error: content_store::ReferenceError| self.fault("", error.to_string()))?;
        let size = blobs.iter().find(|blob| blob.digest == digest).map_or(0, |blob| blob.size);
        Ok(CarriedImage {
            name: name.to_owned(),
            reference: reference.to_string(),
            tag: reference.tag().map(str::to_owned),
            digest,
            media_type: media_type.to_owned(),
            size,
            platform: self.platform.clone(),
            source: self.shown.clone(),
            blobs,
        })
    }

    fn import_document(&self, digest: Digest, media_type: &str, blobs: &mut Vec<CarriedBlob>) -> Result<()> {
        let blob = self.import_blob(&blob_path(&digest), Some(&digest))?;
        blobs.push(CarriedBlob { media_type: media_type.to_owned(), ..blob });
        Ok(())
    }

    fn has_blob(&self, digest: &Digest) -> bool {
        self.members.contains_key(&blob_path(digest))
    }

    /// Copies a member into the store as it is; its media type is that of a layer with its compression.
    fn import_blob(&self, path: &Path, expected: Option<&Digest>) -> Result<CarriedBlob> {
        let (offset, size) = self.place(path)?;
        let mut input = self.data(offset, size)?;
        let mut start = [0; 512];
        let got = extract::read_start(&mut input, &mut start).map_err(Error::file("read", &self.shown))?;
        let media_type = Compression::of_magic(&start[..got]).media_type().to_owned();
        if let Some(expected) = expected
            && self.store.contains(expected)
        {
            return Ok(CarriedBlob { digest: *expected, media_type, size });
        }
        let mut writer = self.store.writer()?;
        io::copy(&mut (&start[..got]).chain(input), &mut writer).map_err(Error::file("import", &self.shown))?;
        let blob = writer.commit(expected).map_err(|error| match error {
            content_store::Error::Mismatch { found, .. } => {
                self.fault(&path.display().to_string(), format!("it is corrupt: its digest is {found}"))
            }
            other => other.into(),
        })?;
        if blob.size != size {
            return Err(self.fault(&path.display().to_string(), "it ends in the middle".to_owned()));
        }
        Ok(CarriedBlob { digest: blob.digest, media_type, size })
    }

    fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let (offset, size) = self.place(Path::new(name))?;
        if size > format::DOCUMENT_LIMIT {
            return Err(self.fault(name, format!("it is longer than {} bytes", format::DOCUMENT_LIMIT)));
        }
        let mut bytes = Vec::new();
        self.data(offset, size)?.read_to_end(&mut bytes).map_err(Error::file("read", &self.shown))?;
        serde_json::from_slice(&bytes).map_err(Error::document(format!("{}: {name}", self.shown)))
    }

    /// Where a member's data is, links followed.
    fn place(&self, path: &Path) -> Result<(u64, u64)> {
        let mut path = normal(path);
        for _ in 0..8 {
            match self.members.get(&path) {
                Some(Place::Data { offset, size }) => return Ok((*offset, *size)),
                Some(Place::Link(target)) => path.clone_from(target),
                None => break,
            }
        }
        Err(self.fault(&path.display().to_string(), "it is missing".to_owned()))
    }

    fn data(&self, offset: u64, size: u64) -> Result<io::Take<&File>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start + offset)).map_err(Error::file("read", &self.shown))?;
        Ok(file.take(size))
    }

    fn fault(&self, entry: &str, reason: String) -> Error {
        Error::Archive { archive: self.shown.clone(), entry: entry.to_owned(), reason }
    }
}

/// The whole name of an entry of an OCI layout. A bare tag, as docker writes into `ref.name`, is none.
fn oci_name(entry: &IndexEntry) -> Option<String> {
    let whole = entry.annotations.get(format::CONTAINERD_NAME_ANNOTATION);
    let written = entry.annotations.get(content_store::REF_NAME_ANNOTATION).filter(|name| name.contains([':', '/']));
    whole.or(written).cloned()
}

fn blob_path(digest: &Digest) -> PathBuf {
    Path::new("blobs").join(digest.algorithm().as_str()).join(digest.hex())
}
