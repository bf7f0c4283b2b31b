//! What a machine is for, as it stands in names, labels, tags and records.

use serde::{Deserialize, Serialize};

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MachineRole {
    /// Part of the control plane.
    Master,
    /// Everything else.
    Node,
}

impl MachineRole {
    /// As upstream writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Node => "node",
        }
    }

    /// Reads what [`Self::as_str`] gives.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Master, Self::Node].into_iter().find(|role| role.as_str() == text)
    }
}
