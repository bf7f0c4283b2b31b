//! Keeps a copy of a cluster's state in the cluster itself, so that another operator can go on with it.
//!
//! | Secret in `kube-system` | what it holds |
//! |---|---|
//! | `sealer-state` | the index: generation, digests, how many parts; written last |
//! | `sealer-state-<generation>-<digest>-<part>` | the files, compressed, in parts below the limit of a Secret |
//!
//! A copy without its index, or whose parts do not match it, does not count: a write that was cut off leaves the copy
//! before it whole.

mod content;
mod index;
mod relation;
mod store;

use time::OffsetDateTime;

pub(crate) use content::Content;
pub(crate) use index::Index;
pub(crate) use relation::{Base, Relation, relation};
pub(crate) use store::{fetch, look};

use index::PART;

use crate::cluster_api::ClusterApi;
use crate::operator_lock::Operator;
use crate::run::Run;
use crate::{ClusterState, Error};

/// Refuses a state that is too large to be kept in its cluster, before anything is done with it.
///
/// # Errors
///
/// [`Error::CopyTooLarge`].
pub(crate) fn check(state: &ClusterState) -> Result<(), Error> {
    Content::of(state)?.map_or(Ok(()), |content| content.check_size())
}

/// Stores the state in its cluster, unless the copy there is the same. Without an API there is nothing to do yet.
///
/// That it could not be stored is only a warning: the cluster is as wanted, and the next apply stores it.
///
/// # Errors
///
/// [`Error::CopyTooLarge`], and when the state cannot be read.
pub(crate) async fn save(run: &Run<'_>, state: &ClusterState, api: Option<&ClusterApi>) -> Result<(), Error> {
    let (Some(api), Some(content)) = (api, Content::of(state)?) else { return Ok(()) };
    content.check_size()?;
    match store_unless_there(state, api, &content, PART).await {
        Ok(None) => {}
        Ok(Some(refused)) => run.warn(format!("the copy of the state in the cluster stays as it was: {refused}")),
        Err(error) => run.warn(format!(
            "the copy of the state in the cluster is older than this change: {error}; the next apply stores it"
        )),
    }
    Ok(())
}

/// Why the copy was not replaced; `None` when it now is, or was, the same.
async fn store_unless_there(
    state: &ClusterState,
    api: &ClusterApi,
    content: &Content,
    part: usize,
) -> Result<Option<String>, Error> {
    let operator = Operator::of(state)?;
    let packed = content.pack(part)?;
    // A conflict means that another copy was stored in between; it is looked at once more.
    for _ in 0..2 {
        let base = Base::read(state)?;
        let seen = look(api).await?;
        let kept = seen.index.as_ref().map(|(index, _)| index);
        if let Some(other) = kept.filter(|index| index.authority != content.authority()) {
            return Ok(Some(format!("it is of another cluster that is called {} too", other.cluster)));
        }
        let generation = match relation(base.as_ref(), content.digest(), kept, &operator) {
            Relation::Same => {
                Base::remember(state, kept.expect("the same as a copy that is there"), base.as_ref())?;
                return Ok(None);
            }
            Relation::ClusterNewer => return Ok(Some(newer(kept))),
            Relation::Missing | Relation::LocalNewer => {
                let known = base.as_ref().map_or(0, |base| base.generation);
                known.max(kept.map_or(0, |index| index.generation)) + 1
            }
        };
        let index = Index::new(generation, content, &packed, &operator, OffsetDateTime::now_utc());
        if store::write(api, seen.index.as_ref(), &index, &packed).await? {
            Base::remember(state, &index, base.as_ref())?;
            return Ok(None);
        }
    }
    Ok(Some("somebody else is changing it".to_owned()))
}

fn newer(index: Option<&Index>) -> String {
    let who = index.map_or("somebody else", |index| index.writer.as_str());
    format!("{who} changed the cluster meanwhile; apply again to go on from there")
}

#[cfg(test)]
mod real_api;
#[cfg(test)]
pub(crate) mod tests;
