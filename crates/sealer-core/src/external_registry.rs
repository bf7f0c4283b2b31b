//! Sees that a registry outside a cluster has the container images that the cluster needs, before any host is changed.

use std::collections::BTreeMap;
use std::time::Instant;

use cloudimage::CarriedImage;
use content_store::{Digest, Reference};
use content_transfer::{SendOptions, Sender};
use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::{Https, LoginFiles, Registry};
use serde::Serialize;

use crate::change::APPLIED;
use crate::run::Run;
use crate::target::Target;
use crate::{Error, Event, Sealer, place_images};

/// Images asked for at once.
const PARALLEL: usize = 8;

/// A container image that a cluster image carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) reference: Reference,
    pub(crate) digest: Digest,
    /// What is carried of it, for one platform each.
    pub(crate) images: Vec<CarriedImage>,
}

/// A container image and where container engines look for it in a registry outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlacedImage {
    /// Its own name, for example `quay.io/team/app:1`.
    pub name: String,
    /// Its name there, for example `hub.example.com/team/app:1`.
    pub place: String,
    #[serde(skip)]
    pub(crate) reference: Reference,
    #[serde(skip)]
    pub(crate) digest: Digest,
    #[serde(skip)]
    pub(crate) images: Vec<CarriedImage>,
}

/// What a registry outside lacks.
pub(crate) struct Missing {
    host: String,
    client: Https,
    images: Vec<PlacedImage>,
    total: usize,
}

/// What a registry says of an image.
enum Found {
    Same,
    /// Another one under the same name.
    Other,
    Missing,
}

/// Looks for the images of a cluster whose hosts pull from a registry outside, unless the cluster works with both already.
/// Gives what is to be pushed there.
///
/// # Errors
///
/// [`Error::SamePlace`] and [`Error::RegistryLogin`]; a registry that cannot be reached from here may be reached by the
/// hosts, so that is a warning.
pub(crate) async fn look_for(run: &Run<'_>, target: &Target<'_>) -> Result<Option<Missing>, Error> {
    let registry = &target.cluster().registry;
    let works = target.current.as_ref().is_some_and(|current| {
        current.registry == *registry && current.annotations.get(APPLIED) == Some(&target.image.digest)
    });
    if registry.external.is_none() || works {
        return Ok(None);
    }
    let (images, host) = (places(&registry.used_host(), &target.carried)?, registry.used_host());
    let client = client(run.sealer, registry)?;
    let looked = run.until_cancelled("looking for the images of the cluster", look(&client, images));
    match looked.await {
        Ok(Looked { missing: images, other, total }) => {
            if !other.is_empty() {
                let names: Vec<&str> = other.iter().map(|image| image.place.as_str()).collect();
                run.warn(format!("{host} has other images than the cluster image carries: {}", names.join(", ")));
            }
            Ok((!images.is_empty()).then_some(Missing { host, client, images, total }))
        }
        Err(Error::Registry(source @ registry_client::Error::Unreachable { .. })) => {
            let reason = error_report::one_line(&source);
            run.warn(format!("whether {host} has the images of the cluster cannot be seen from here: {reason}"));
            Ok(None)
        }
        Err(Error::Registry(source @ registry_client::Error::Unauthorised { .. })) if registry.login().is_some() => {
            Err(Error::RegistryLogin { host, source })
        }
        Err(error) => Err(error),
    }
}

impl Missing {
    /// A remark for a plan.
    pub(crate) fn note(&self) -> String {
        let Self { host, images, total, .. } = self;
        format!(
            "{host} lacks {} of the {total} container images of the cluster; they are pushed there first",
            images.len()
        )
    }

    /// Pushes what is missing with the login of the registry.
    ///
    /// # Errors
    ///
    /// [`Error::ImagesMissing`] when the registry does not take them; the error of the transfer otherwise.
    pub(crate) async fn push(self, run: &Run<'_>, target: &Target<'_>) -> Result<(), Error> {
        let (images, started) = (run.sealer.images(), Instant::now());
        let mut options = SendOptions::default();
        options.cancel = run.options.cancel.clone();
        let sender = Sender::new(images.content(), &images.root().join("cache/uploads"), options);
        let pushed = place_images::push(&sender, images.content(), &self.client, &self.images);
        match pushed.await {
            Err(Error::Transfer(content_transfer::Error::Cancelled)) => {
                Err(Error::Interrupted { act: "pushing the images of the cluster" })
            }
            Ok(()) => {
                let detail = format!("{} to {}", self.images.len(), self.host);
                let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                run.tell(Event::Phase { name: "push images".to_owned(), detail, millis });
                Ok(())
            }
            Err(error) if place_images::is_refusal(&error) => {
                run.warn(format!("{} does not take images from here: {}", self.host, error_report::one_line(&error)));
                let (host, image, total) = (self.host, target.cluster().image.clone(), self.total);
                Err(Error::ImagesMissing { host, image, missing: self.images, total })
            }
            Err(error) => Err(error),
        }
    }
}

/// A client that asks as the container engines of the hosts will: with that login and no other, and no mirrors.
fn client(sealer: &Sealer, registry: &clusterfile::RegistrySettings) -> Result<Https, Error> {
    let mut options = sealer.settings().registry.clone();
    (options.logins, options.mirrors) = (LoginFiles::default(), BTreeMap::new());
    let host = registry.used_host();
    options.extra_ca.extend(registry.external.as_ref().and_then(|external| external.ca.clone()));
    if let Some((user, password)) = registry.login() {
        options.basic_logins.insert(host.clone(), (user.to_owned(), password.clone()));
    }
    if registry.is_plain_http() {
        options.plain_http.insert(host);
    }
    Ok(Https::new(options)?)
}

/// Where engines look for images: under their own names, at another host.
fn places(host: &str, images: &[Carried]) -> Result<Vec<PlacedImage>, Error> {
    let mut places: BTreeMap<String, PlacedImage> = BTreeMap::new();
    for Carried { reference, digest, images } in images {
        let own = Reference::new(host, reference.repository(), &reference.tag_or_digest());
        let placed = own.map_err(content_store::Error::from)?;
        let (name, place) = (reference.to_string(), placed.to_string());
        let (place_name, images) = (place.clone(), images.clone());
        let image = PlacedImage { name, place: place_name, reference: placed, digest: *digest, images };
        if let Some(before) = places.insert(place.clone(), image)
            && before.digest != *digest
        {
            return Err(Error::SamePlace { place, images: [before.name, reference.to_string()] });
        }
    }
    Ok(places.into_values().collect())
}

/// Which images are there.
struct Looked {
    missing: Vec<PlacedImage>,
    other: Vec<PlacedImage>,
    total: usize,
}

async fn look(registry: &dyn Registry, images: Vec<PlacedImage>) -> Result<Looked, Error> {
    let total = images.len();
    let ask = async |image: PlacedImage| match registry.manifest(&image.reference, &[]).await {
        Ok(found) if found.digest == image.digest || place_images::leads_to_all(&found, &image.images) => {
            Ok((image, Found::Same))
        }
        Ok(_) => Ok((image, Found::Other)),
        Err(error) if error.is_not_found() => Ok((image, Found::Missing)),
        Err(error) => Err(Error::from(error)),
    };
    let found: Vec<_> = stream::iter(images).map(ask).buffered(PARALLEL).try_collect().await?;
    let mut looked = Looked { missing: Vec::new(), other: Vec::new(), total };
    for (image, found) in found {
        match found {
            Found::Same => {}
            Found::Other => looked.other.push(image),
            Found::Missing => looked.missing.push(image),
        }
    }
    Ok(looked)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn carried(name: &str, content: &str) -> Carried {
        Carried { reference: name.parse().unwrap(), digest: Digest::of(content.as_bytes()), images: Vec::new() }
    }

    #[test]
    fn images_keep_their_names_at_the_other_host() {
        let digest = Digest::of(b"c");
        let images = [
            carried("redis:6.2", "a"),
            carried("quay.io/team/app:1", "b"),
            carried(&format!("quay.io/team/app@{digest}"), "c"),
        ];
        let places = places("hub.example:5443", &images).unwrap();
        let names: Vec<&str> = places.iter().map(|image| image.place.as_str()).collect();
        let pinned = format!("hub.example:5443/team/app@{digest}");
        assert_eq!(names, ["hub.example:5443/library/redis:6.2", "hub.example:5443/team/app:1", &pinned]);
    }

    #[test]
    fn two_images_cannot_have_one_place() {
        let images = |second| [carried("quay.io/team/app:1", "a"), carried("ghcr.io/team/app:1", second)];
        assert_eq!(places("hub.example", &images("a")).unwrap().len(), 1, "one and the same may");
        let refused = places("hub.example", &images("b")).unwrap_err().to_string();
        for named in ["quay.io/team/app:1", "ghcr.io/team/app:1", "hub.example/team/app:1"] {
            assert!(refused.contains(named), "{refused}");
        }
    }
}
