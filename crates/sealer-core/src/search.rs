//! Lists the tags of repositories.

use std::cmp::Ordering;

use serde::Serialize;

use crate::short_name::explained;
use crate::{Error, Sealer};

/// What to search for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchRequest {
    /// A repository, such as `kubernetes` or `registry.example.com/team/shop`.
    pub name: String,
    /// The most tags to give.
    pub limit: Option<usize>,
}

impl SearchRequest {
    /// All tags of a repository.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), limit: None }
    }
}

/// The tags of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FoundTags {
    /// The repository with its registry.
    pub repository: String,
    /// Its tags, `v1.9` before `v1.10`.
    pub tags: Vec<String>,
    /// How many more there are.
    pub omitted: usize,
}

/// Asks the registry for the tags of a repository. A name without a registry means that of [`crate::Settings::default_registry`].
///
/// # Errors
///
/// [`Error::NotARepository`] for a name with a tag or digest; [`Error::ShortName`] and [`Error::Registry`] for what the registry says.
pub async fn search(sealer: &Sealer, request: &SearchRequest) -> Result<FoundTags, Error> {
    let name = &request.name;
    let whole = sealer.whole_name(name)?;
    if name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        return Err(Error::NotARepository { name: name.clone() });
    }
    let mut tags = sealer.registry().tags(&whole).await.map_err(|error| explained(name, &whole, error.into()))?;
    tags.sort_by(|one, other| by_version(one, other).then_with(|| one.cmp(other)));
    tags.dedup();
    let omitted = tags.len().saturating_sub(request.limit.unwrap_or(usize::MAX));
    tags.truncate(tags.len() - omitted);
    Ok(FoundTags { repository: format!("{}/{}", whole.registry(), whole.repository()), tags, omitted })
}

/// Compares numbers as numbers and the rest as text.
fn by_version(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let ((text, number, rest), (other_text, other_number, other_rest)) = (split(one), split(other));
        let order =
            text.cmp(other_text).then_with(|| number.len().cmp(&other_number.len()).then(number.cmp(other_number)));
        if order != Ordering::Equal || (rest.is_empty() && other_rest.is_empty()) {
            return order.then(rest.len().cmp(&other_rest.len()));
        }
        (one, other) = (rest, other_rest);
    }
}

/// What comes before the first number, the number without leading zeros, and the rest.
fn split(text: &str) -> (&str, &str, &str) {
    let start = text.find(|letter: char| letter.is_ascii_digit()).unwrap_or(text.len());
    let (before, rest) = text.split_at(start);
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    (before, number.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_sorted_as_people_count() {
        let sorted = ["1", "1.9.0", "1.10.0", "1.10.0-rc1", "2", "10", "latest", "v1.9", "v1.10", "v1.10-alpine", "v2"];
        let mut tags = sorted.to_vec();
        tags.reverse();
        tags.sort_by(|one, other| by_version(one, other));
        assert_eq!(tags, sorted);
        assert_eq!(by_version("v01", "v1"), Ordering::Equal);
        assert_eq!(by_version("", ""), Ordering::Equal);
        assert_eq!(by_version("99999999999999999999999", "100000000000000000000000"), Ordering::Less);
    }
}
