//! Reads everything of cluster images again and names what is damaged.

use cloudimage::Verification;

use crate::{Error, Event, Events, Sealer};

/// Reads and hashes every blob of these images, or of all images when none is named. What is damaged, and which images have
/// it, is part of the answer.
///
/// # Errors
///
/// [`Error::Image`] for an image that is not here.
pub fn verify(sealer: &Sealer, images: &[String], events: Events<'_>) -> Result<Verification, Error> {
    Ok(sealer.images().verify(images, &|bytes, total| events(Event::Verify { bytes, total }))?)
}
