//! Finds the part of this host's kernel that balances.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

use crate::{Dataplane, Error, Ipvs, Nftables, Result, Scheduler};

/// Which part of the kernel is to balance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = unknown)]
#[non_exhaustive]
pub enum DataplaneKind {
    /// IPVS where the kernel has it, nftables otherwise.
    #[default]
    Auto,
    /// IPVS.
    Ipvs,
    /// nftables.
    Nftables,
}

fn unknown(name: &str) -> String {
    format!("unknown dataplane {name}; known are auto, ipvs, nftables")
}

/// Opens the part of the kernel that is to balance with this scheduler.
///
/// # Errors
/// When the kernel has not what is asked for. Where anything would do the error tells about both parts.
pub async fn detect(kind: DataplaneKind, scheduler: Scheduler) -> Result<Arc<dyn Dataplane>> {
    match kind {
        DataplaneKind::Ipvs => Ok(Arc::new(Ipvs::open().await?)),
        DataplaneKind::Nftables => nftables(scheduler).await,
        DataplaneKind::Auto => match Ipvs::open().await {
            Ok(ipvs) => Ok(Arc::new(ipvs)),
            Err(ipvs) => nftables(scheduler)
                .await
                .map_err(|nftables| Error::NoDataplane { ipvs: Box::new(ipvs), nftables: Box::new(nftables) }),
        },
    }
}

async fn nftables(scheduler: Scheduler) -> Result<Arc<dyn Dataplane>> {
    Nftables::knows(scheduler)?;
    Ok(Arc::new(Nftables::open().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names() {
        for kind in [DataplaneKind::Auto, DataplaneKind::Ipvs, DataplaneKind::Nftables] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("iptables".parse::<DataplaneKind>().is_err());
    }
}
