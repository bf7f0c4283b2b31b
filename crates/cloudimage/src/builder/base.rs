//! Finds the base image of a build: here, or in its registry.

use std::collections::BTreeMap;

use kubefile::{Base, Kubefile, Resolved, ResolvedKind};
use registry_client::Registry;

use super::event::{BuildEvent, BuildEvents};
use super::options::BuildOptions;
use crate::error::{Error, Result};
use crate::images::Images;
use crate::platform::Platform;
use crate::transfer::{Platforms, PullOptions, PullPolicy};

/// The base image that FROM names, and the platform that it is wanted for in a build for `platform`; none for `scratch`.
pub(super) fn named(resolved: &Resolved, platform: &Platform) -> Result<Option<(String, Platform)>> {
    let base = resolved.instructions.iter().find_map(|instruction| match &instruction.kind {
        ResolvedKind::From { base: Base::Image(name), platform } => Some((name.clone(), platform.as_deref())),
        _ => None,
    });
    let Some((name, given)) = base else { return Ok(None) };
    Ok(Some((name, given.map_or_else(|| Ok(platform.clone()), str::parse)?)))
}

/// Pulls the base images of all platforms as far as the policy of the build wants it.
pub(super) async fn provide(
    images: &Images,
    kubefile: &Kubefile,
    options: &BuildOptions,
    registry: &dyn Registry,
    events: BuildEvents<'_>,
) -> Result<()> {
    let mut wanted: BTreeMap<String, Vec<Platform>> = BTreeMap::new();
    for platform in options.platforms() {
        let resolved = kubefile.expand(&options.build_args, &super::predefined(&platform))?;
        let Some((name, platform)) = named(&resolved, &platform)? else { continue };
        let platforms = wanted.entry(name).or_default();
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    for (name, platforms) in wanted {
        if images.by_digest(&name)?.is_some() {
            continue;
        }
        let mut pull = PullOptions::default();
        pull.platforms = Platforms::These(platforms);
        pull.policy = options.pull;
        pull.cancel = options.cancel.clone();
        let pulled = match images.pull(registry, &name, &pull, &|pull| events(BuildEvent::Pull { pull })).await {
            // All platforms that the image here lacks are told at once, later.
            Err(Error::NoPlatform { .. }) if options.pull == PullPolicy::Missing && images.resolve(&name).is_ok() => {
                continue;
            }
            pulled => pulled?,
        };
        if let Some(previous) = pulled.previous {
            let message = format!("{} was {previous} and is {} now", pulled.name, pulled.digest);
            events(BuildEvent::Warning { message });
        }
    }
    Ok(())
}
