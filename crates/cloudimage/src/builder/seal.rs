//! Writes the documents of a built image, and names it.

use std::collections::{BTreeMap, BTreeSet};

use content_store::Digest;

use super::draft::Draft;
use super::options::{BuildOptions, Built};
use crate::assemble;
use crate::catalogue::Catalogue;
use crate::documents::{self, Config, Manifest, ProcessConfig, Rootfs};
use crate::error::{Error, Result};
use crate::format;
use crate::image::Layer;
use crate::images::Images;
use crate::joined::{Entry, Joined};
use crate::platform::Platform;

/// Writes the documents of an image, which has a draft and a catalogue for each platform, and names it. `before` are the
/// blobs that were in the store before the build.
pub(super) fn seal(
    images: &Images,
    drafts: &[(Draft, Catalogue)],
    options: &BuildOptions,
    created: &str,
    before: &BTreeSet<Digest>,
) -> Result<Built> {
    let mut entries = Vec::new();
    for (draft, catalogue) in drafts {
        let rootfs = put_rootfs(draft, catalogue, options, created)?;
        let carried = assemble::artifact_entry(images.content(), catalogue, &rootfs.digest)?;
        let rootfs = assemble::rootfs_entry(rootfs, &draft.rootfs.platform);
        entries.extend(std::iter::once(rootfs).chain(carried).map(Entry::from));
    }
    let descriptor = Joined::new(entries).put(images.content())?;
    let digest = Digest::try_from(descriptor.digest())?;
    let reference = options.tag.as_deref().map(|tag| images.check_name(tag)).transpose()?;
    if let Some(reference) = &reference {
        images.set_name(reference, descriptor)?;
    }
    let mut blobs = BTreeMap::new();
    for (draft, _) in drafts {
        blobs.extend(images.get_for(&digest.to_string(), &draft.rootfs.platform)?.blobs());
    }
    let carried: BTreeSet<&str> =
        drafts.iter().flat_map(|(_, catalogue)| &catalogue.images).map(|image| image.reference.as_str()).collect();
    let platforms: Vec<Platform> = drafts.iter().map(|(draft, _)| draft.rootfs.platform.clone()).collect();
    Ok(Built {
        reference,
        digest,
        platform: platforms.first().cloned().unwrap_or_default(),
        platforms,
        size: blobs.values().sum(),
        new_bytes: blobs.iter().filter(|(digest, _)| !before.contains(digest)).map(|(_, size)| size).sum(),
        carried_images: carried.len(),
    })
}

fn put_rootfs(
    draft: &Draft,
    catalogue: &Catalogue,
    options: &BuildOptions,
    created: &str,
) -> Result<documents::Descriptor> {
    let (platform, store) = (&draft.rootfs.platform, draft.images.content());
    let layers = &draft.rootfs.layers;
    let missing = |layer: &Layer| Error::NotAnImage {
        document: layer.digest.to_string(),
        reason: "the base image's config does not name this layer".to_owned(),
    };
    let diff_ids = layers.iter().map(|layer| layer.diff_id.ok_or_else(|| missing(layer))).collect::<Result<_>>()?;
    let environment: Vec<String> = draft.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let config = Config {
        created: Some(created.to_owned()),
        author: draft.author.clone(),
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone(),
        config: ProcessConfig {
            env: (!environment.is_empty()).then_some(environment),
            labels: (!draft.labels.is_empty()).then(|| draft.labels.clone()),
        },
        rootfs: Rootfs { diff_ids, ..Rootfs::default() },
        history: draft.history.clone(),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(format::MANIFEST.to_owned()),
        artifact_type: None,
        config: documents::put(store, &config, format::CONFIG)?,
        layers: layers
            .iter()
            .map(|layer| documents::Descriptor {
                media_type: layer.media_type.clone(),
                digest: layer.digest,
                size: layer.size,
            })
            .collect(),
        annotations: annotations(draft, catalogue, options)?,
    };
    documents::put(store, &manifest, format::MANIFEST)
}

fn annotations(draft: &Draft, catalogue: &Catalogue, options: &BuildOptions) -> Result<BTreeMap<String, String>> {
    let extension = serde_json::to_string(&draft.extension).map_err(Error::document("an annotation"))?;
    let mut annotations = options.annotations.clone();
    annotations.insert(format::EXTENSION_ANNOTATION.to_owned(), extension);
    if let Some(listed) = assemble::listed_images(catalogue)? {
        annotations.insert(format::IMAGES_ANNOTATION.to_owned(), listed);
    }
    Ok(annotations)
}

/// A time as documents write it.
pub(super) fn timestamp(seconds: i64) -> Result<String> {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Option {
        option: "the time of the build",
        value: seconds.to_string(),
        expected: "seconds since 1970",
    })?;
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    Ok(time.format(&format).unwrap_or_default())
}

pub(crate) fn now() -> Result<String> {
    timestamp(time::OffsetDateTime::now_utc().unix_timestamp())
}
