//! Answers lists of tags and repositories.

use super::response::{self, Answer};
use super::service::Handler;
use crate::names;
use crate::route::{Page, Place, Refusal};
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

impl Handler {
    pub(super) async fn tags(self: Arc<Self>, place: Place, page: Page, is_head: bool) -> Answer {
        let table = self.table().await?;
        let repository = &place.repository;
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("{repository} is not here"));
        let tags = table.tags(&place, &self.options.own_names).ok_or_else(unknown)?;
        let (tags, last) = names::page(&tags, &page);
        let link = last.map(|last| response::next_page(&format!("/v2/{repository}/tags/list"), &page, last));
        response::json(&json!({ "name": repository, "tags": tags }), is_head, link)
    }

    pub(super) async fn catalog(self: Arc<Self>, page: Page, is_head: bool) -> Answer {
        let table = self.table().await?;
        let (repositories, last) = names::page(&table.repositories(), &page);
        let link = last.map(|last| response::next_page("/v2/_catalog", &page, last));
        response::json(&json!({ "repositories": repositories }), is_head, link)
    }
}
