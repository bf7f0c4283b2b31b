//! Removes cluster images, and looks after those that clusters run.

use cloudimage::{Platform, Removed};

use crate::load::{User, user};
use crate::{Error, Event, Events, Sealer};

/// What [`remove`] takes away.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RemoveRequest {
    /// Names or digests of the images.
    pub images: Vec<String>,
    /// All images; those that a cluster runs stay, unless `force` says otherwise.
    pub all: bool,
    /// Only this platform of the images.
    pub platform: Option<Platform>,
    /// No error when an image is not there, and a digest may stand for several names.
    pub force: bool,
}

/// Takes names of images away and frees what nothing else needs. Without any image, it only frees.
///
/// # Errors
///
/// [`Error::Image`]; then no name was taken away.
pub fn remove(sealer: &Sealer, request: &RemoveRequest, events: Events<'_>) -> Result<Removed, Error> {
    let RemoveRequest { images, all, platform, force } = request;
    let mut names = images.clone();
    if *all {
        for image in sealer.images().list()? {
            match user(sealer, &image.name, &image.digest)? {
                Some(User { cluster, .. }) if !force => {
                    let message = format!("{} stays: cluster {cluster} runs it", image.familiar);
                    events(Event::Warning { message });
                }
                _ => names.push(image.name),
            }
        }
    }
    Ok(match platform {
        Some(platform) => sealer.images().remove_platform(&names, platform, *force)?,
        None => sealer.images().remove(&names, *force)?,
    })
}
