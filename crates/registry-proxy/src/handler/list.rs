//! Answers lists of tags and repositories, united over all sources.

use super::response::{self, Answer};
use super::service::Handler;
use crate::route::Page;
use crate::source::Repository;
use http::request::Parts;
use serde_json::json;
use std::collections::BTreeSet;

impl Handler {
    pub(super) async fn tags(&self, repository: &Repository, page: &Page, head: &Parts) -> Answer {
        let mut misses = self.misses(head);
        let mut all: Option<BTreeSet<String>> = None;
        for source in &self.sources {
            if let Some(tags) = misses.of(source.tags(repository).await).flatten() {
                all.get_or_insert_default().extend(tags);
            }
        }
        let path = &repository.path;
        let Some(all) = all else {
            return Err(misses.failure("NAME_UNKNOWN", path, false));
        };
        let (tags, last) = part(&all, page);
        let link = last.map(|last| response::next_page(&format!("/v2/{path}/tags/list"), page, last));
        response::json(&json!({ "name": path, "tags": tags }), head, link)
    }

    pub(super) async fn catalog(&self, page: &Page, head: &Parts) -> Answer {
        let mut misses = self.misses(head);
        let mut all = BTreeSet::new();
        for source in &self.sources {
            all.extend(misses.of(source.repositories().await).unwrap_or_default());
        }
        if all.is_empty() && misses.has_failed() {
            return Err(misses.failure("UNKNOWN", "the catalog", false));
        }
        let (repositories, last) = part(&all, page);
        let link = last.map(|last| response::next_page("/v2/_catalog", page, last));
        response::json(&json!({ "repositories": repositories }), head, link)
    }
}

/// One page of a sorted list, and the entry that the next page comes after.
fn part<'a>(entries: &'a BTreeSet<String>, page: &Page) -> (Vec<&'a str>, Option<&'a str>) {
    let after = |entry: &&str| page.after.as_deref().is_none_or(|last| *entry > last);
    let rest: Vec<&str> = entries.iter().map(String::as_str).filter(after).collect();
    match page.limit {
        Some(limit) if limit < rest.len() => (rest[..limit].to_vec(), limit.checked_sub(1).map(|last| rest[last])),
        _ => (rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_paged() {
        let entries = ["a", "b", "c"].map(str::to_owned).into();
        let read = |limit, after: Option<&str>| part(&entries, &Page { limit, after: after.map(str::to_owned) });
        assert_eq!(read(None, None), (vec!["a", "b", "c"], None));
        assert_eq!(read(Some(2), None), (vec!["a", "b"], Some("b")));
        assert_eq!(read(Some(2), Some("b")), (vec!["c"], None));
        assert_eq!(read(Some(0), None), (vec![], None));
        assert_eq!(read(Some(3), Some("0")), (vec!["a", "b", "c"], None));
    }
}
