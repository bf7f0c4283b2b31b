//! Finds the part of this host's kernel that balances.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Dataplane, Error, Ipvs, Nftables, Result, Scheduler};

/// Which part of the kernel is to balance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

impl DataplaneKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Ipvs, Self::Nftables];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
        }
    }
}

impl fmt::Display for DataplaneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DataplaneKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("unknown dataplane {text}; known are auto, ipvs, nftables"))
    }
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
        for kind in DataplaneKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("iptables".parse::<DataplaneKind>().is_err());
    }
}
