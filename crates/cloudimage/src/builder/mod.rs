//! Builds a cluster image from a Kubefile.
//!
//! [`build`] goes through the instructions, once for each platform: FROM puts down a base, COPY, ADD, RUN and APP add layers, the others record
//! something. Then the container images to carry are found and fetched, and everything is sealed into an image.
//!
//! Archives of container images that land in `images/` do not stay in the rootfs: their content travels in the catalogue.

mod applications;
mod archives;
mod base;
pub(crate) mod cache;
mod copy;
mod download;
mod draft;
mod event;
mod extract;
mod fetch_images;
mod find;
mod ignore;
mod launch_paths;
mod layers;
mod links;
mod options;
mod owner;
mod perform;
mod plan;
mod prepare;
mod run;
pub(crate) mod seal;

pub use event::{BuildEvent, BuildEvents, StepOutcome};
pub use options::{Backends, BuildOptions, Built, Context};
pub use perform::build;
#[cfg(feature = "testing")]
pub(crate) use plan::command_text;
pub use plan::{Effect, LayerPlan, PlannedStep, plan_build};

use std::collections::BTreeMap;

use crate::platform::Platform;

/// Variables that every Kubefile may use without declaring them.
fn predefined(platform: &Platform) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: &str| drop(variables.insert(name.to_owned(), value.to_owned()));
    set("ARCH", &platform.architecture);
    set("TARGETARCH", &platform.architecture);
    set("TARGETOS", &platform.os);
    set("TARGETPLATFORM", &platform.to_string());
    set("TARGETVARIANT", platform.variant.as_deref().unwrap_or_default());
    let builder = Platform::host();
    set("BUILDARCH", &builder.architecture);
    set("BUILDOS", &builder.os);
    set("BUILDPLATFORM", &builder.to_string());
    set("BUILDVARIANT", builder.variant.as_deref().unwrap_or_default());
    variables
}
