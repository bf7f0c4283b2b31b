//! Writes the documents of a built image, and names it.

use std::collections::{BTreeMap, BTreeSet};

use content_store::Digest;

use super::draft::Draft;
use super::options::{BuildOptions, Built};
use crate::assemble::{self, Parts};
use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
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
        let parts = parts(draft, catalogue, options, created);
        entries.extend(assemble::put_platform(images.content(), parts)?.map(Entry::from));
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

/// What is written of a draft.
fn parts<'a>(draft: &'a Draft, catalogue: &'a Catalogue, options: &BuildOptions, created: &str) -> Parts<'a> {
    Parts {
        platform: &draft.rootfs.platform,
        layers: &draft.rootfs.layers,
        named_by: "the base image's config",
        created: Some(created.to_owned()),
        author: draft.author.clone(),
        environment: draft.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        labels: &draft.labels,
        history: &draft.history,
        extension: &draft.extension,
        catalogue,
        annotations: options.annotations.clone(),
    }
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
