//! Saves root file systems in the form that `docker load` reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use content_store::{Algorithm, Digest, Hasher, Reference, Store};

use super::members::{Data, Member};
use crate::docker_archive::{MANIFEST, Saved};
use crate::error::{Error, Result};
use crate::format;
use crate::image::{Image, Layer};
use crate::images::Images;
use crate::layer::stream::{self, Done};
use crate::platform::Platform;

/// The members of an archive of these images, and what it cannot hold.
///
/// Layers are uncompressed in it: every version of docker reads that, and checks it against the config.
pub(super) fn members(
    images: &Images,
    names: &[impl AsRef<str>],
    platforms: &[Platform],
) -> Result<(Vec<Member>, Vec<String>)> {
    if platforms.len() > 1 {
        return Err(Error::Option {
            option: "the platform of a docker-archive",
            value: platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            expected: "one platform: that format holds no more",
        });
    }
    let (mut saved, mut left_out) = (Vec::new(), Vec::new());
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for name in names {
        let image = images.find(name.as_ref(), platforms.first())?;
        left_out.extend(lost(&image, name.as_ref()));
        saved.push(add(images, &image, &mut members)?);
    }
    let manifest = serde_json::to_vec(&saved).map_err(Error::document(MANIFEST))?;
    let manifest = Member::document(MANIFEST, manifest);
    Ok((std::iter::once(manifest).chain(members.into_values()).collect(), left_out))
}

/// Adds config and layers of an image, unless another image has brought them.
fn add(images: &Images, image: &Image, members: &mut BTreeMap<String, Member>) -> Result<Saved> {
    let store = images.content();
    let (digest, _) = image.config_blob();
    let config = format!("{}.json", digest.hex());
    let bytes = store.read_verified(&digest, format::DOCUMENT_LIMIT)?;
    members.entry(config.clone()).or_insert_with(|| Member::document(config.clone(), bytes));
    let mut layers = Vec::new();
    for layer in image.layers() {
        let diff_id = layer.diff_id.ok_or_else(|| Error::NotAnImage {
            document: layer.digest.to_string(),
            reason: "the config does not name this layer".to_owned(),
        })?;
        let name = format!("{}.tar", diff_id.hex());
        if !members.contains_key(&name) {
            let (size, data) = (plain_size(store, layer, &diff_id)?, Data::Layer(Box::new(layer.clone())));
            members.insert(name.clone(), Member { name: name.clone(), size, data });
        }
        layers.push(name);
    }
    Ok(Saved { config, names: Some(familiar(images, image)?), layers })
}

/// The names of the image as docker writes them.
fn familiar(images: &Images, image: &Image) -> Result<Vec<String>> {
    let name = image.name();
    let names =
        if name.parse::<Digest>().is_ok() { images.names_of(image.index_digest())? } else { BTreeSet::from([name]) };
    let names = names.iter().filter_map(|name| name.parse::<Reference>().ok());
    Ok(names.filter(|name| name.digest().is_none()).map(|name| name.familiar()).collect())
}

/// The size of a layer without its compression, whose digest must be `diff_id`.
fn plain_size(store: &Store, layer: &Layer, diff_id: &Digest) -> Result<u64> {
    let (size, found) = stream::with_tar(store, layer, |tar| {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 256 << 10];
        let mut size = 0;
        loop {
            let count = tar.read(&mut buffer).map_err(Error::file("read", layer.digest.to_string()))?;
            if count == 0 {
                return Ok(Done::All((size, hasher.finish())));
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
    })?;
    if found == *diff_id {
        return Ok(size);
    }
    let reason = format!("its config says {diff_id} about it, and it unpacks to {found}");
    Err(Error::NotAnImage { document: layer.digest.to_string(), reason })
}

/// What the form does not hold of an image.
fn lost(image: &Image, name: &str) -> Vec<String> {
    let mut lost = Vec::new();
    let carried = image.catalogue().images.len();
    if carried > 0 {
        lost.push(format!("{name}: the {carried} container images that it carries are not in a docker-archive"));
    }
    if !image.extension().launch_commands(&BTreeMap::new()).is_empty() {
        lost.push(format!("{name}: its launch commands are not in a docker-archive"));
    }
    lost
}
