//! Loads cluster images from an archive, and looks after names that would point at another image than before.

use std::io::Read;
use std::path::{Path, PathBuf};

use cloudimage::ReadArchive;

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
    set_names(sealer, sealer.images().read_archive(input, path)?, replace, events)
}

/// The same from files: an archive, a directory that is an OCI layout, or the parts of one archive in any order.
///
/// # Errors
///
/// As [`load`].
pub fn load_files(sealer: &Sealer, paths: &[PathBuf], replace: bool, events: Events<'_>) -> Result<Vec<String>, Error> {
    set_names(sealer, sealer.images().read_paths(paths)?, replace, events)
}

fn set_names(
    sealer: &Sealer,
    archive: ReadArchive<'_>,
    replace: bool,
    events: Events<'_>,
) -> Result<Vec<String>, Error> {
    for moved in archive.moved()? {
        #[cfg(feature = "cluster")]
        if !replace && let Some(cluster) = user(sealer, &moved.name)? {
            return Err(Error::ImageInUse { image: moved.name, cluster });
        }
        let message = format!("{} was {} and is {} now", moved.name, moved.from, moved.to);
        events(Event::Warning { message });
    }
    #[cfg(not(feature = "cluster"))]
    let _ = (sealer, replace);
    Ok(archive.set_names()?)
}

/// A cluster of which is remembered here that it runs the image of this name.
#[cfg(feature = "cluster")]
pub(crate) fn user(sealer: &Sealer, image: &str) -> Result<Option<String>, Error> {
    for cluster in sealer.state().clusters()? {
        // A state that cannot be read says nothing about images.
        let Ok(Some(known)) = sealer.state().clusterfile(&cluster) else { continue };
        let name = known.cluster.image.parse::<content_store::Reference>();
        if name.is_ok_and(|name| name.to_string() == image) {
            return Ok(Some(cluster));
        }
    }
    Ok(None)
}

/// Nothing is known of clusters.
#[cfg(not(feature = "cluster"))]
#[expect(clippy::unnecessary_wraps, reason = "with clusters it reads their states")]
pub(crate) fn user(_: &Sealer, _: &str) -> Result<Option<String>, Error> {
    Ok(None)
}
