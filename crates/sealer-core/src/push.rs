//! Pushes a cluster image to a registry.

use cloudimage::{PushOptions, Pushed};

use crate::{Error, Event, Events, Sealer};

/// What to push.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PushRequest {
    /// The image: its name or digest.
    pub image: String,
    /// The name that it gets in the registry; its own without one.
    pub destination: Option<String>,
    /// How; its `cancel` ends the push.
    pub options: PushOptions,
}

impl PushRequest {
    /// Pushes `image` under its own name.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self { image: image.into(), destination: None, options: PushOptions::default() }
    }
}

/// Sends a cluster image to a registry: only what is missing there, the name last. After any failure or kill, the same call again
/// continues it.
///
/// # Errors
///
/// [`Error::Image`] when it is unknown or not whole; [`Error::Image`] around the registry's error otherwise.
pub async fn push(sealer: &Sealer, request: &PushRequest, events: Events<'_>) -> Result<Pushed, Error> {
    let tell = |transfer| events(Event::Transfer { transfer });
    let (image, destination) = (&request.image, request.destination.as_deref());
    Ok(sealer.images().push(sealer.registry_itself(), image, destination, &request.options, &tell).await?)
}
