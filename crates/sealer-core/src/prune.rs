//! Frees what no image needs, and keeps the images that clusters are made of or run.

use cloudimage::{PruneOptions, Pruned};

use crate::{Error, Sealer};

/// Frees what no cluster image of this machine needs. Images that clusters remembered here are made of, or run as
/// applications, are kept also when they have no name any more.
///
/// # Errors
///
/// As [`cloudimage::Images::prune`]; when the state of a cluster cannot be read, nothing is freed.
pub fn prune(sealer: &Sealer, options: PruneOptions) -> Result<Pruned, Error> {
    #[cfg(feature = "cluster")]
    let keep = crate::applications::in_use(sealer)?;
    #[cfg(not(feature = "cluster"))]
    let keep = Default::default();
    Ok(sealer.images().prune_keeping(options, &keep)?)
}
