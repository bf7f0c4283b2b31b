//! Collects what `images` and `inspect` show.

use std::collections::{BTreeMap, BTreeSet};

use content_store::{Digest, Named};
use serde::Serialize;

use crate::catalogue::CarriedImage;
use crate::error::Result;
use crate::extension::Application;
use crate::format;
use crate::image::{Image, Layer};
use crate::images::Images;
use crate::platform::Platform;

/// One cluster image in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Summary {
    /// The whole name.
    pub name: String,
    /// The short name, as a user writes it.
    pub familiar: String,
    /// Other names of the same image, as a user writes them.
    pub other_names: Vec<String>,
    /// Digest of its index.
    pub digest: Digest,
    /// Its platforms that are in the store.
    pub platforms: Vec<Platform>,
    /// When it was built or loaded here (RFC 3339).
    pub created: Option<String>,
    /// Size of everything for the shown platform, in bytes.
    pub size: u64,
    /// Number of carried images.
    pub carried_images: usize,
    /// Why nothing more is known about it: a document of it is missing or corrupt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Everything about a cluster image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Inspection {
    /// The whole name, or the digest when asked by digest.
    pub name: String,
    /// Other names of the same image.
    pub names: Vec<String>,
    /// Digest of the index.
    pub digest: Digest,
    /// Digest of the rootfs manifest.
    pub manifest: Digest,
    /// The platform shown.
    pub platform: Platform,
    /// All platforms.
    pub platforms: Vec<Platform>,
    /// Those of them that are not in the store.
    pub absent_platforms: Vec<Platform>,
    /// When it was built or loaded here (RFC 3339).
    pub created: Option<String>,
    /// Version of sealer that built it.
    pub sealer_version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Variables.
    pub env: Vec<String>,
    /// Layers, bottom first.
    pub layers: Vec<Layer>,
    /// Carried images with their digests and where they were named.
    pub images: Vec<CarriedImage>,
    /// Applications.
    pub applications: Vec<Application>,
    /// What is run when the image is run, parents' commands first.
    pub launch: Vec<String>,
    /// Defaults of ARG that launch commands may use.
    pub arguments: BTreeMap<String, String>,
    /// Where its bytes are.
    pub sizes: Sizes,
}

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Sizes {
    /// Everything.
    pub total: u64,
    /// The rootfs layers.
    pub rootfs: u64,
    /// The carried images.
    pub carried: u64,
    /// What no other cluster image in the store has.
    pub own: u64,
    /// What other cluster images have too.
    pub shared: u64,
    /// How many cluster images share something with this one.
    pub shared_with: usize,
}

impl Summary {
    /// One corrupt image must not hide the others: its problem is part of its line.
    pub(crate) fn read(images: &Images, named: &Named, all: &[Named]) -> Result<Self> {
        let familiar = |name: &str| {
            name.parse::<content_store::Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar())
        };
        let digest = named.descriptor.digest();
        let others = all.iter().filter(|other| other.descriptor.digest() == digest && other.name != named.name);
        let mut summary = Self {
            name: named.name.clone(),
            familiar: familiar(&named.name),
            other_names: others.map(|other| familiar(&other.name)).collect(),
            digest: Digest::try_from(named.descriptor.digest())?,
            platforms: Vec::new(),
            created: named.annotations.get(format::CREATED_ANNOTATION).cloned(),
            size: 0,
            carried_images: 0,
            problem: None,
        };
        match images.get_any(&named.name) {
            Ok(image) => {
                summary.platforms = image.platforms().to_vec();
                summary.platforms.retain(|platform| !image.absent_platforms().contains(platform));
                summary.size = image.blobs().values().sum();
                summary.carried_images = image.catalogue().images.len();
            }
            Err(error) => summary.problem = Some(error.to_string()),
        }
        Ok(summary)
    }
}

impl Inspection {
    pub(crate) fn read(images: &Images, name: &str, platform: Option<&Platform>) -> Result<Self> {
        let image = match platform {
            Some(platform) => images.get_for(name, platform),
            None => images.get_any(name),
        }?;
        let all = images.names()?;
        let is_same = |named: &&Named| {
            Digest::try_from(named.descriptor.digest()).is_ok_and(|digest| digest == *image.index_digest())
        };
        let names: Vec<String> = all.iter().filter(is_same).map(|named| named.name.clone()).collect();
        let created =
            all.iter().filter(is_same).find_map(|named| named.annotations.get(format::CREATED_ANNOTATION).cloned());
        let version = &image.extension().build_client.sealer_version;
        Ok(Self {
            name: image.name(),
            names: names.into_iter().filter(|other| *other != image.name()).collect(),
            digest: *image.index_digest(),
            manifest: *image.manifest_digest(),
            platform: image.platform().clone(),
            platforms: image.platforms().to_vec(),
            absent_platforms: image.absent_platforms().to_vec(),
            created,
            sealer_version: image.labels().get(format::VERSION_LABEL).unwrap_or(version).clone(),
            labels: image.labels().clone(),
            env: image.config().and_then(|config| config.config.env.clone()).unwrap_or_default(),
            layers: image.layers().to_vec(),
            images: image.catalogue().images.clone(),
            applications: image.extension().applications.clone(),
            launch: image.launch_commands(&BTreeMap::new()),
            arguments: image.extension().arguments.clone(),
            sizes: sizes(images, &image, &all)?,
        })
    }
}

fn sizes(images: &Images, image: &Image, all: &[Named]) -> Result<Sizes> {
    let blobs = image.blobs();
    let mut others = BTreeSet::new();
    let mut sharing = BTreeSet::new();
    for named in all {
        let digest = Digest::try_from(named.descriptor.digest())?;
        if digest == *image.index_digest() {
            continue;
        }
        // One that cannot be read shares nothing that could be counted.
        let Ok(other) = images.get_any(&named.name) else {
            continue;
        };
        let theirs = other.blobs();
        let common: Vec<Digest> = theirs.into_keys().filter(|digest| blobs.contains_key(digest)).collect();
        if !common.is_empty() {
            sharing.insert(digest);
            others.extend(common);
        }
    }
    let total = blobs.values().sum();
    let shared = blobs.iter().filter(|(digest, _)| others.contains(digest)).map(|(_, size)| size).sum();
    Ok(Sizes {
        total,
        rootfs: image.rootfs_bytes(),
        carried: image.carried_bytes(),
        own: total - shared,
        shared,
        shared_with: sharing.len(),
    })
}
