//! Makes an image that carries its container images as ours do, out of one of upstream's.

use std::collections::BTreeSet;

use content_store::{Descriptor, Digest, MediaType, NameKind, Named, Reference, Store};
use serde_json::Value;

use super::{names, scan};
use crate::assemble;
use crate::catalogue::{CarriedBlob, CarriedImage, Catalogue};
use crate::documents::{self, Index, IndexEntry, Manifest, Top};
use crate::durable;
use crate::error::{Error, Result};
use crate::format;
use crate::image::{self, Image};
use crate::images::Images;
use crate::platform::Platform;
use crate::transfer::closure;

/// An image whose registry was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The image as upstream made it.
    pub from: Digest,
    /// The same image with its container images in the catalogue.
    pub to: Digest,
    /// Number of container images, each platform counted.
    pub images: usize,
    /// Images of the registry that are not whole there, one sentence each.
    pub left_out: Vec<String>,
}

/// What is kept of an import, so that the next one reads no layers.
#[derive(serde::Serialize, serde::Deserialize)]
struct Record {
    to: Digest,
    images: usize,
    left_out: Vec<String>,
    /// Manifests that were not in the store; with one that is by now, there is more to import.
    absent: Vec<Digest>,
}

impl Images {
    /// Imports the container images that an image of upstream sealer (v0.9 and later) keeps as files under
    /// `registry/docker/registry/v2`, and gives an image that carries them; `None` for every other image. Layers that hold
    /// nothing else are not part of the new image. No name is changed.
    ///
    /// # Errors
    /// As [`Images::get`]; [`Error::Archive`] for a blob that is not what its path says.
    pub fn import_registry(&self, name: &str) -> Result<Option<Imported>> {
        let (_, digest) = self.resolve(name)?;
        let _guard = self.content().gc_guard()?;
        if let Some(known) = self.imported(&digest) {
            return Ok(Some(known));
        }
        let index = match Top::read(self.content(), &digest)? {
            (Top::Index(index), _) => index,
            (Top::Manifest(manifest), size) => image::single(self.content(), &digest, size, manifest)?,
        };
        let mut entries = Vec::new();
        let mut record = Record { to: digest, images: 0, left_out: Vec::new(), absent: Vec::new() };
        for entry in index.rootfs_entries() {
            entries.extend(self.import_platform(&digest, &index, entry, &mut record)?);
        }
        if record.images == 0 && record.left_out.is_empty() {
            return Ok(None);
        }
        if record.images > 0 {
            record.to = assemble::put_index(self.content(), entries)?.digest;
        }
        let bytes = serde_json::to_vec(&record).map_err(Error::document("an import"))?;
        durable::write(&self.import_record(&digest), &bytes)?;
        let Record { to, images, left_out, .. } = record;
        Ok(Some(Imported { from: digest, to, images, left_out }))
    }

    /// Points a name at the image that [`Images::import_registry`] made of it.
    ///
    /// # Errors
    /// [`Error::UnknownImage`]; [`Error::Option`] for a name with a digest; [`Error::Store`] when the names cannot be written.
    pub fn adopt(&self, name: &str, imported: &Imported) -> Result<()> {
        // The image may be under the default registry's meaning of the name.
        let (whole, _) = self.resolve(name)?;
        let reference = self.check_name(whole.as_deref().unwrap_or(name))?;
        let old = self.names()?.into_iter().find(|named| named.name == reference.to_string());
        let annotations = old.map(|named| named.annotations).unwrap_or_default();
        let size = self.content().size(&imported.to)?;
        let descriptor = Descriptor::new(MediaType::ImageIndex, size, imported.to);
        let named = Named { kind: NameKind::ClusterImage, name: reference.to_string(), descriptor, annotations };
        Ok(self.content().set_names(vec![named])?)
    }

    /// The image of this name for a platform; of one that upstream made, the one that carries its images. Also says which
    /// of them are not whole.
    pub(crate) fn get_base(&self, name: &str, platform: &Platform) -> Result<(Image, Vec<String>)> {
        match self.import_registry(name)? {
            Some(imported) => {
                let left_out = imported.left_out.iter().map(|line| format!("{name}: {line}")).collect();
                Ok((self.get_for(&imported.to.to_string(), platform)?, left_out))
            }
            None => Ok((self.get_for(name, platform)?, Vec::new())),
        }
    }

    /// The entries of one platform: its rootfs, and what it carries.
    fn import_platform(
        &self,
        top: &Digest,
        index: &Index,
        entry: &IndexEntry,
        record: &mut Record,
    ) -> Result<Vec<IndexEntry>> {
        let store = self.content();
        let artifact = index.artifact_of(&entry.digest).cloned();
        let unchanged = std::iter::once(entry.clone()).chain(artifact.clone()).collect();
        if artifact.is_some() {
            return Ok(unchanged);
        }
        if !store.contains(&entry.digest) {
            record.absent.push(entry.digest);
            return Ok(unchanged);
        }
        let platform = entry.platform.clone().unwrap_or_default();
        let image = self.find(&top.to_string(), Some(&platform))?;
        // Ours have a catalogue; only upstream names the builder that it uses.
        if image.extension().build_client.buildah_version.is_empty() {
            return Ok(unchanged);
        }
        let Some(scanned) = scan::scan(&image, &image.merged()?)? else { return Ok(unchanged) };
        let (catalogue, left_out) = catalogue(store, &image, &scanned)?;
        record.images += catalogue.images.len();
        record.left_out.extend(left_out);
        if catalogue.images.is_empty() {
            return Ok(unchanged);
        }
        let rootfs = without_layers(store, &entry.digest, &scanned.layers)?;
        let carried = assemble::artifact_entry(store, &catalogue, &rootfs.digest)?;
        Ok(std::iter::once(assemble::rootfs_entry(rootfs, &platform)).chain(carried).collect())
    }

    /// An earlier import whose image is still whole, when nothing was pulled since that it left out.
    fn imported(&self, from: &Digest) -> Option<Imported> {
        let bytes = std::fs::read(self.import_record(from)).ok()?;
        let Record { to, images, left_out, absent } = serde_json::from_slice(&bytes).ok()?;
        if absent.iter().any(|manifest| self.content().contains(manifest)) {
            return None;
        }
        closure::blobs(self.content(), &to, &[]).ok()?;
        Some(Imported { from: *from, to, images, left_out })
    }

    fn import_record(&self, from: &Digest) -> std::path::PathBuf {
        self.root().join("cache/imported").join(from.hex())
    }
}

/// The images of the registry, and which of them are not whole.
fn catalogue(store: &Store, image: &Image, scanned: &scan::Scanned) -> Result<(Catalogue, Vec<String>)> {
    let listed = names::listed(image)?;
    let (mut images, mut left_out) = (Vec::new(), Vec::new());
    let mut reached = BTreeSet::new();
    let mut add = |references: Option<Vec<Reference>>,
                   shown: String,
                   digest: &Digest,
                   reached: &mut BTreeSet<Digest>| {
        let carried = references.ok_or_else(|| "it has no name that an image may have".to_owned());
        match carried.and_then(|references| Ok((references, carried_blobs(store, image.platform(), digest)?))) {
            Ok((references, (media_type, blobs))) => {
                reached.extend(blobs.iter().map(|blob| blob.digest));
                images.extend(references.iter().map(|name| carried_image(name, image.platform(), &media_type, &blobs)));
            }
            Err(reason) => left_out.push(format!("{shown} of its registry is left out: {reason}")),
        }
    };
    for ((repository, tag), digest) in &scanned.tags {
        add(names::of_tag(&listed, repository, tag), format!("{repository}:{tag}"), digest, &mut reached);
    }
    // What no tag reaches was asked for by its digest: indexes first, they reach manifests.
    let mut rest: Vec<(bool, &str, &Digest)> = (scanned.revisions.iter())
        .map(|(repository, digest)| (!is_index(store, digest), repository.as_str(), digest))
        .collect();
    rest.sort();
    let listed_digests: BTreeSet<Digest> = listed.iter().filter_map(|name| name.digest().copied()).collect();
    for (_, repository, digest) in rest {
        if !reached.contains(digest) && listed_digests.contains(digest) {
            let name = names::of_digest(&listed, repository, digest).map(|name| vec![name]);
            add(name, format!("{repository}@{digest}"), digest, &mut reached);
        }
    }
    let mut catalogue = Catalogue::default();
    catalogue.unite(images);
    Ok((catalogue, left_out))
}

fn is_index(store: &Store, digest: &Digest) -> bool {
    Top::read(store, digest).is_ok_and(|(top, _)| matches!(top, Top::Index(_)))
}

/// Every blob of a container image for a platform, the document that it is called by first, and that document's media type.
fn carried_blobs(
    store: &Store,
    platform: &Platform,
    digest: &Digest,
) -> std::result::Result<(String, Vec<CarriedBlob>), String> {
    let read = |digest: &Digest| Top::read(store, digest).map_err(|error| error_report::one_line(&error));
    let (top, size) = read(digest)?;
    let media_type = top.media_type().to_owned();
    let mut blobs = vec![CarriedBlob { digest: *digest, media_type: media_type.clone(), size }];
    let manifest: Manifest = match top {
        Top::Manifest(manifest) => manifest,
        Top::Index(index) => {
            let serves = |entry: &&IndexEntry| {
                store.contains(&entry.digest) && entry.platform.as_ref().is_none_or(|known| known.serves(platform))
            };
            let chosen =
                index.rootfs_entries().find(serves).ok_or_else(|| format!("it is not there for {platform}"))?;
            let (Top::Manifest(manifest), size) = read(&chosen.digest)? else {
                return Err("its index lists another index".to_owned());
            };
            blobs.push(CarriedBlob { digest: chosen.digest, media_type: chosen.media_type.clone(), size });
            manifest
        }
    };
    for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
        if !store.size(&blob.digest).is_ok_and(|size| size == blob.size) {
            return Err(format!("its blob {} is not there, or not whole", blob.digest));
        }
        blobs.push(CarriedBlob { digest: blob.digest, media_type: blob.media_type.clone(), size: blob.size });
    }
    Ok((media_type, blobs))
}

fn carried_image(name: &Reference, platform: &Platform, media_type: &str, blobs: &[CarriedBlob]) -> CarriedImage {
    let (digest, size) = blobs.first().map_or((Digest::of(b""), 0), |top| (top.digest, top.size));
    CarriedImage {
        name: name.familiar(),
        reference: name.to_string(),
        tag: name.tag().map(str::to_owned),
        digest,
        media_type: media_type.to_owned(),
        size,
        platform: platform.clone(),
        source: "registry/docker/registry/v2".to_owned(),
        blobs: blobs.to_vec(),
    }
}

/// The rootfs without some layers: manifest and config are written anew, every other field stays as it is.
fn without_layers(store: &Store, rootfs: &Digest, dropped: &BTreeSet<Digest>) -> Result<documents::Descriptor> {
    let mut manifest: Value = documents::read(store, rootfs, format::DOCUMENT_LIMIT)?;
    let parsed: Manifest = documents::read(store, rootfs, format::DOCUMENT_LIMIT)?;
    let keeps: Vec<bool> = parsed.layers.iter().map(|layer| !dropped.contains(&layer.digest)).collect();
    let media_type = parsed.media_type.clone().unwrap_or_else(|| format::MANIFEST.to_owned());
    if keeps.iter().all(|keep| *keep) {
        return Ok(documents::Descriptor { media_type, digest: *rootfs, size: store.size(rootfs)? });
    }
    let mut config: Value = documents::read(store, &parsed.config.digest, format::DOCUMENT_LIMIT)?;
    retain(&mut manifest["layers"], &keeps);
    retain(&mut config["rootfs"]["diff_ids"], &keeps);
    let mut at = 0;
    for step in config["history"].as_array_mut().into_iter().flatten() {
        if step["empty_layer"] != Value::Bool(true) {
            if keeps.get(at) == Some(&false) {
                step["empty_layer"] = Value::Bool(true);
            }
            at += 1;
        }
    }
    let config = documents::put(store, &config, &parsed.config.media_type)?;
    manifest["config"]["digest"] = Value::String(config.digest.to_string());
    manifest["config"]["size"] = Value::from(config.size);
    documents::put(store, &manifest, &media_type)
}

fn retain(list: &mut Value, keeps: &[bool]) {
    if let Some(list) = list.as_array_mut() {
        let mut keeps = keeps.iter();
        list.retain(|_| keeps.next().copied().unwrap_or(true));
    }
}
