//! Flags of `run`, `apply`, `scale-up` and `join` of the original sealer that ask for what is done anyway, or for what is
//! done otherwise here.

use clap::Args;

use crate::exit::Failure;
use crate::output::Printer;

/// What they were called.
#[derive(Debug, Default, Args)]
pub(crate) struct OldClusterFlags {
    /// What is done with the image: apply, or loadImage
    #[arg(long, alias = "applyMode", hide = true, value_name = "MODE")]
    mode: Option<String>,
    /// Send to hosts what they have already
    #[arg(long, hide = true)]
    ignore_cache: bool,
    /// How content reaches hosts: sftp, or p2p
    #[arg(long, hide = true, value_name = "WAY")]
    distributor: Option<String>,
}

impl OldClusterFlags {
    /// Refuses what cannot be done, and tells what changes nothing.
    pub(crate) fn check(&self, printer: &Printer) -> Result<(), Failure> {
        let usage = |message: String| Err(Failure::Usage(message));
        match self.mode.as_deref() {
            None | Some("apply") => {}
            Some("loadImage") => {
                let instead = "with spec.registry.externalRegistry, `sealer apply` pushes the images that a registry outside lacks";
                return usage(format!("--mode loadImage is not supported: {instead}"));
            }
            Some(other) => return usage(format!("--mode {other}: expected apply")),
        }
        match self.distributor.as_deref() {
            None | Some("sftp") => {}
            Some("p2p") => {
                return usage(
                    "--distributor p2p is not supported: nodes fetch content from the masters anyway".to_owned(),
                );
            }
            Some(other) => return usage(format!("--distributor {other}: expected sftp")),
        }
        if self.ignore_cache {
            printer.warn("--ignore-cache has no effect: hosts compare digests, and fetch what differs or is missing");
        }
        Ok(())
    }
}
