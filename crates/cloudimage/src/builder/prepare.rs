//! Finds out, before anything is built, whether the build can be done for every platform.

use std::collections::BTreeMap;

use kubefile::{Kubefile, Resolved, ResolvedKind};

use super::base;
use super::options::BuildOptions;
use super::run::enters;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::images::Images;
use crate::layer::listing::Merged;
use crate::platform::Platform;
use crate::sandbox::Sandbox;

/// What a build for one platform starts with.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) platform: Platform,
    /// The instructions, with the variables of this platform.
    pub(super) resolved: Resolved,
    /// The base image with the paths of its rootfs; none for `scratch`.
    pub(super) base: Option<(Image, Merged)>,
    /// What of a registry in the base image could not be imported.
    pub(super) left_out: Vec<String>,
}

/// The starting points of a build, one for each platform.
pub(super) fn prepare(images: &Images, kubefile: &Kubefile, options: &BuildOptions) -> Result<Vec<Prepared>> {
    let (mut prepared, mut lacking) = (Vec::new(), BTreeMap::new());
    for platform in options.platforms() {
        match one(images, kubefile, options, platform) {
            Ok(one) => prepared.push(one),
            // All platforms that a base lacks are told at once.
            Err(Error::NoPlatform { name, wanted, available }) => {
                let (all, _) = lacking.entry(name).or_insert_with(|| (Vec::new(), available));
                all.push(wanted);
            }
            Err(error) => return Err(error),
        }
    }
    match lacking.into_iter().next() {
        Some((name, (wanted, available))) => Err(Error::NoPlatform { name, wanted: wanted.join(", "), available }),
        None => Ok(prepared),
    }
}

/// Replaces variables; those of the base image are known to its children.
fn one(images: &Images, kubefile: &Kubefile, options: &BuildOptions, platform: Platform) -> Result<Prepared> {
    let mut variables = super::predefined(&platform);
    let resolved = kubefile.expand(&options.build_args, &variables)?;
    let Some((name, given)) = base::named(&resolved, &platform)? else {
        return Ok(Prepared { platform, resolved, base: None, left_out: Vec::new() });
    };
    let (base, left_out) = images.get_base(&name, &given)?;
    let merged = base.merged()?;
    let inherited = base.config().and_then(|config| config.config.env.clone()).unwrap_or_default();
    for variable in &inherited {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let resolved = if inherited.is_empty() { resolved } else { kubefile.expand(&options.build_args, &variables)? };
    Ok(Prepared { platform, resolved, base: Some((base, merged)), left_out })
}

/// Refuses a RUN that would enter the base's operating system, when this machine cannot run programs for its platform.
pub(super) fn refuse_foreign(prepared: &[Prepared], sandbox: &dyn Sandbox) -> Result<()> {
    for Prepared { platform, resolved, base, .. } in prepared {
        let enters = base.as_ref().is_some_and(|(_, merged)| enters(merged));
        let run = resolved.instructions.iter().find(|one| matches!(one.kind, ResolvedKind::Run { .. }));
        if let Some(run) = run.filter(|_| enters) {
            refuse_entering(platform, run.span.line, sandbox)?;
        }
    }
    Ok(())
}

/// Refuses to enter an operating system for `platform`, when nothing here can run its programs.
pub(super) fn refuse_entering(platform: &Platform, line: usize, sandbox: &dyn Sandbox) -> Result<()> {
    match sandbox.foreign_obstacle(platform).filter(|_| !platform.is_native()) {
        Some(reason) => Err(Error::ForeignRun { line, platform: platform.to_string(), reason }),
        None => Ok(()),
    }
}
