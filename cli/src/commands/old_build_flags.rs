//! Flags of `build` that older versions of the original sealer had: taken where they change nothing, else refused with the
//! reason and with what to use instead.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Failure;

const ELSEWHERE: &str =
    "images are built on this machine, without a cluster: name the container images to carry in manifests/imageList";

/// What they were called.
#[derive(Debug, Default, Args)]
pub(crate) struct OldBuildFlags {
    /// Whether the base image is part of the image (until 0.8)
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    base: Option<bool>,
    /// Where the image is built (until 0.8)
    #[arg(short, long, hide = true, value_name = "MODE")]
    mode: Option<String>,
    /// Where the image is built (until 0.5)
    #[arg(short = 'b', long = "buildType", hide = true, value_name = "TYPE")]
    build_type: Option<String>,
    /// The context (until 0.1)
    #[arg(short = 'c', long = "context", hide = true, value_name = "DIR", id = "old_context")]
    context: Option<PathBuf>,
}

impl OldBuildFlags {
    /// The context as the flag names it; what cannot be done is refused.
    pub(crate) fn context(&self) -> Result<Option<&PathBuf>, Failure> {
        let usage = |message: String| Err(Failure::Usage(message));
        if self.base == Some(false) {
            return usage("--base=false: an image has all layers of its base; for one without, write `FROM scratch` in the Kubefile and run it on a cluster of the other image".to_owned());
        }
        for (flag, value) in [("--mode", &self.mode), ("--buildType", &self.build_type)] {
            match value.as_deref() {
                None | Some("" | "lite") => {}
                Some(value @ ("cloud" | "container" | "local")) => {
                    return usage(format!("{flag} {value}: {ELSEWHERE}"));
                }
                Some(value) => return usage(format!("{flag} {value}: expected lite, or nothing at all")),
            }
        }
        Ok(self.context.as_ref())
    }
}
