//! Finds the base image of a build: here, or in its registry.

use kubefile::{Base, Kubefile, Resolved, ResolvedKind};
use registry_client::Registry;

use super::event::{BuildEvent, BuildEvents};
use super::options::BuildOptions;
use crate::error::Result;
use crate::images::Images;
use crate::platform::Platform;
use crate::transfer::{Platforms, PullOptions};

/// The base image that FROM names, and the platform that it is wanted for; none for `scratch`.
pub(super) fn named(resolved: &Resolved, options: &BuildOptions) -> Result<Option<(String, Platform)>> {
    let base = resolved.instructions.iter().find_map(|instruction| match &instruction.kind {
        ResolvedKind::From { base: Base::Image(name), platform } => Some((name.clone(), platform.clone())),
        _ => None,
    });
    let Some((name, platform)) = base else { return Ok(None) };
    let platform = platform.map_or_else(|| Ok(options.platform.clone()), |platform| platform.parse())?;
    Ok(Some((name, platform)))
}

/// Pulls the base image as far as the policy of the build wants it.
pub(super) async fn provide(
    images: &Images,
    kubefile: &Kubefile,
    options: &BuildOptions,
    registry: &dyn Registry,
    events: BuildEvents<'_>,
) -> Result<()> {
    let resolved = kubefile.expand(&options.build_args, &super::predefined(&options.platform))?;
    let Some((name, platform)) = named(&resolved, options)? else { return Ok(()) };
    if images.by_digest(&name)?.is_some() {
        return Ok(());
    }
    let mut pull = PullOptions::default();
    pull.platforms = Platforms::These(vec![platform]);
    pull.policy = options.pull;
    pull.cancel = options.cancel.clone();
    images.pull(registry, &name, &pull, &|pull| events(BuildEvent::Pull { pull })).await?;
    Ok(())
}
