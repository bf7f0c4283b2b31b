//! Saves cluster images to an archive.

use std::io::Write;
use std::path::PathBuf;

use cloudimage::{SaveOptions, Saved};

use crate::{Error, Event, Events, Sealer};

/// What [`save`] works with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SaveRequest {
    /// Names or digests of the images.
    pub images: Vec<String>,
    /// Form, compression, platforms.
    pub options: SaveOptions,
}

/// Where an archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file or named pipe; of the form `oci-dir`, a directory.
    File(PathBuf),
    /// Files of at most `size` bytes: the path with `.001`, `.002`, … behind it.
    Parts {
        /// What they are named after.
        path: PathBuf,
        /// In bytes.
        size: u64,
    },
}

impl SaveRequest {
    /// Saves these images as one OCI archive.
    #[must_use]
    pub fn new(images: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { images: images.into_iter().map(Into::into).collect(), options: SaveOptions::default() }
    }
}

/// Writes the images into one archive. What its form cannot hold is told as a warning.
///
/// # Errors
///
/// [`Error::Image`] for an image that is not here or not whole, and for what cannot be written. Then nothing appears.
pub fn save(
    sealer: &Sealer,
    request: &SaveRequest,
    destination: &Destination,
    events: Events<'_>,
) -> Result<Saved, Error> {
    let (images, SaveRequest { images: names, options }) = (sealer.images(), request);
    let saved = match destination {
        Destination::File(path) => images.save_as(names, path, options, &progress(events))?,
        Destination::Parts { path, size } => images.save_parts(names, path, *size, options, &progress(events))?,
    };
    Ok(told(saved, events))
}

/// The same into a stream.
///
/// # Errors
///
/// As [`save`]; what was written until then is no archive.
pub fn save_to(
    sealer: &Sealer,
    request: &SaveRequest,
    output: &mut dyn Write,
    events: Events<'_>,
) -> Result<Saved, Error> {
    Ok(told(sealer.images().save_to(&request.images, output, &request.options, &progress(events))?, events))
}

/// How far an archive is, as an event.
pub(crate) fn progress(events: Events<'_>) -> impl Fn(u64, Option<u64>) + Sync {
    move |bytes, total| events(Event::Archive { bytes, total })
}

fn told(saved: Saved, events: Events<'_>) -> Saved {
    for message in &saved.left_out {
        events(Event::Warning { message: message.clone() });
    }
    saved
}
