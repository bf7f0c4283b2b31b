//! Decides which is newer: the state here or its copy in the cluster.

use serde::{Deserialize, Serialize};

use super::Index;
use crate::operator_lock::Operator;
use crate::{ClusterState, Error};

/// The file in a state directory that says which copy it was last equal to.
const FILE: &str = "copy.json";

/// The copy that a state directory was last equal to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) generation: u64,
    pub(crate) digest: String,
    pub(crate) time: String,
}

/// What a state directory and the copy in the cluster are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// There is no copy.
    Missing,
    /// They are the same.
    Same,
    /// The state was changed here since it was copied.
    LocalNewer,
    /// The cluster was changed from elsewhere since then.
    ClusterNewer,
}

impl Base {
    /// As it is remembered; one that cannot be read counts as none, and the copy is then the newer one.
    pub(crate) fn read(state: &ClusterState) -> Result<Option<Self>, Error> {
        Ok(state.read(FILE)?.and_then(|text| serde_json::from_str(text.expose()).ok()))
    }

    /// Remembers that the state is equal to this copy.
    pub(crate) fn remember(state: &ClusterState, index: &Index, known: Option<&Self>) -> Result<(), Error> {
        let base = Self { generation: index.generation, digest: index.digest.clone(), time: index.time.clone() };
        if known == Some(&base) {
            return Ok(());
        }
        let text = serde_json::to_string(&base).expect("numbers and texts");
        state.write(FILE, format!("{text}\n").as_bytes())
    }
}

/// Compares the state here, whose content has this digest, with the copy.
///
/// Generations decide: clocks of two operators may be apart. Times decide only between two copies of one generation,
/// which there are when the cluster's database was restored from a backup.
pub(crate) fn relation(base: Option<&Base>, digest: &str, index: Option<&Index>, operator: &Operator) -> Relation {
    let Some(index) = index else { return Relation::Missing };
    if index.digest == digest {
        return Relation::Same;
    }
    let known = base.map_or(0, |base| base.generation);
    // Killed between writing it and remembering that: nobody else wrote since.
    if index.generation > known && index.operator != operator.id() {
        return Relation::ClusterNewer;
    }
    let other = base.filter(|base| base.generation == index.generation && base.digest != index.digest);
    match other {
        Some(base) if index.time > base.time => Relation::ClusterNewer,
        _ => Relation::LocalNewer,
    }
}
