//! Pulls cluster images from registries, when somebody asks for it or when a workflow needs one that is not here.

use cloudimage::{PullOptions, Pulled, TransferEvent};

use crate::load::{User, user};
use crate::short_name::explained;
use crate::{Error, Event, Events, Sealer};

/// What to pull.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PullRequest {
    /// The image: its name, with a tag or digest.
    pub image: String,
    /// Which platforms, and when the registry is asked; its `cancel` ends the pull.
    pub options: PullOptions,
}

impl PullRequest {
    /// Pulls `image` for the platform of this machine, when it is not here.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self { image: image.into(), options: PullOptions::default() }
    }
}

/// Brings a cluster image here: only what is missing, verified, named when it is whole. After any failure or kill, the same call again
/// continues it.
///
/// A name that points at another image from then on is told as a warning, with the cluster that runs it.
///
/// # Errors
///
/// [`Error::Image`] when it cannot be had.
pub async fn pull(sealer: &Sealer, request: &PullRequest, events: Events<'_>) -> Result<Pulled, Error> {
    let tell = |transfer| match transfer {
        TransferEvent::Warning { message } => events(Event::Warning { message }),
        transfer => events(Event::Transfer { transfer }),
    };
    let (name, whole) = (&request.image, sealer.whole_name(&request.image)?);
    let pulled = sealer.images().pull(sealer.registry().as_ref(), name, &request.options, &tell).await;
    let pulled = pulled.map_err(|error| explained(name, &whole, error.into()))?;
    if let Some(previous) = &pulled.previous {
        let mut message = format!("{} was {previous} and is {} now", pulled.name, pulled.digest);
        if let Some(User { cluster, is_by_digest }) = user(sealer, &pulled.name, previous)? {
            message.push_str(&match is_by_digest {
                true => format!("; cluster {cluster} runs what it was, by its digest"),
                false => format!("; cluster {cluster} runs it, and gets the new image when it is applied again"),
            });
        }
        events(Event::Warning { message });
    }
    Ok(pulled)
}

/// Brings the image of a workflow here if it is not. To plan with it, what it carries is left out, and told in a remark.
#[cfg(feature = "cluster")]
pub(crate) async fn provide(
    sealer: &Sealer,
    image: &str,
    only_to_plan: bool,
    cancel: &tokio_util::sync::CancellationToken,
    events: Events<'_>,
) -> Result<Option<String>, Error> {
    let mut request = PullRequest::new(image);
    if let Ok(here) = sealer.images().get(image) {
        if here.name() == here.index_digest().to_string() {
            return Ok(None); // Named by its digest, which says nothing about where it comes from.
        }
        // That of another machine may be the one that is wanted.
        request.options.platforms = cloudimage::Platforms::These(vec![here.platform().clone()]);
    }
    request.options.without_carried = only_to_plan;
    request.options.cancel = cancel.clone();
    let pulled = pull(sealer, &request, events).await?;
    let was_left_out = only_to_plan && pulled.fetched_bytes + pulled.left_out_bytes > 0;
    Ok(was_left_out.then(|| {
        let [fetched, left] = [pulled.fetched_bytes, pulled.left_out_bytes].map(|bytes| bytes.div_ceil(1_000_000));
        format!(
            "{image} is not here: {fetched} MB of it were pulled to make this plan, and without --dry-run {left} MB more are pulled first"
        )
    }))
}
