//! Loads cluster images from an archive, and looks after names that would point at another image than before.

use std::io::Read;
use std::path::{Path, PathBuf};

use cloudimage::ReadArchive;
use content_store::Digest;
#[cfg(feature = "cluster")]
use content_store::Reference;

use crate::save::progress;
use crate::{Error, Event, Events, Sealer};

/// Reads the images of an archive into the store, and gives their names; `path` is what errors call the archive.
///
/// A name that points at another image from then on is told as a warning. One that a cluster runs is moved only with
/// `replace`: applying that cluster's Clusterfile again would otherwise mean another image than before, unseen.
///
/// # Errors
///
/// [`Error::ImageInUse`] without `replace`; [`Error::Image`] when the archive is none. Then no name was set.
pub fn load(
    sealer: &Sealer,
    input: impl Read + Send + 'static,
    path: &Path,
    replace: bool,
    events: Events<'_>,
) -> Result<Vec<String>, Error> {
    set_names(sealer, sealer.images().read_archive(input, path, &progress(events))?, replace, events)
}

/// The same from files: an archive, a directory that is an OCI layout, or the parts of one archive in any order.
///
/// # Errors
///
/// As [`load`].
pub fn load_files(sealer: &Sealer, paths: &[PathBuf], replace: bool, events: Events<'_>) -> Result<Vec<String>, Error> {
    set_names(sealer, sealer.images().read_paths(paths, &progress(events))?, replace, events)
}

fn set_names(
    sealer: &Sealer,
    archive: ReadArchive<'_>,
    replace: bool,
    events: Events<'_>,
) -> Result<Vec<String>, Error> {
    for moved in archive.moved()? {
        #[cfg(feature = "cluster")]
        if !replace && let Some(User { cluster, .. }) = user(sealer, &moved.name, &moved.from)? {
            return Err(Error::ImageInUse { image: moved.name, cluster });
        }
        let message = format!("{} was {} and is {} now", moved.name, moved.from, moved.to);
        events(Event::Warning { message });
    }
    #[cfg(not(feature = "cluster"))]
    let _ = (sealer, replace);
    Ok(archive.set_names()?)
}

/// A cluster that runs an image.
pub(crate) struct User {
    pub(crate) cluster: String,
    /// Whether its Clusterfile names the image by digest, whatever its name points at.
    pub(crate) is_by_digest: bool,
}

/// A cluster of which is remembered here that it runs the image of this whole name and digest.
#[cfg(feature = "cluster")]
pub(crate) fn user(sealer: &Sealer, name: &str, digest: &Digest) -> Result<Option<User>, Error> {
    for cluster in sealer.state().clusters()? {
        // A state that cannot be read says nothing about images.
        let Ok(Some(known)) = sealer.state().clusterfile(&cluster) else { continue };
        let applications = crate::applications::Record::read_of(sealer.state(), &cluster).unwrap_or_default().images;
        let images = applications.iter().filter(|image| !image.is_cluster_image).map(|image| &image.image);
        let mut images = std::iter::once(&known.cluster.image).chain(images);
        if let Some(is_by_digest) = images.find_map(|image| runs(sealer, image, name, digest)) {
            return Ok(Some(User { cluster, is_by_digest }));
        }
    }
    Ok(None)
}

/// Whether a Clusterfile's image is that of a name, or of a digest.
#[cfg(feature = "cluster")]
fn runs(sealer: &Sealer, image: &str, name: &str, digest: &Digest) -> Option<bool> {
    let written = image.parse::<Reference>().ok();
    if let Some(pinned) = written.as_ref().and_then(Reference::digest) {
        return (pinned == digest).then_some(true);
    }
    let whole = match sealer.images().get_any(image) {
        Ok(found) if found.name() == found.index_digest().to_string() => {
            return (found.index_digest() == digest).then_some(true);
        }
        Ok(found) => found.name(),
        // It cannot be read: it has docker's meaning, as without a default registry.
        Err(_) => written?.to_string(),
    };
    (whole == name).then_some(false)
}

/// Nothing is known of clusters.
#[cfg(not(feature = "cluster"))]
#[expect(clippy::unnecessary_wraps, reason = "with clusters it reads their states")]
pub(crate) fn user(_: &Sealer, _: &str, _: &Digest) -> Result<Option<User>, Error> {
    Ok(None)
}
