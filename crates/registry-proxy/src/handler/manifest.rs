//! Answers requests for manifests and indexes.

use super::response::{self, Answer, Failure};
use super::service::Handler;
use crate::document;
use crate::range;
use crate::route::{Place, Refusal, Wanted};
use axum::body::Body;
use content_store::{DOCUMENT_LIMIT, Error as ContentError};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

impl Handler {
    pub(super) async fn manifest(
        self: Arc<Self>,
        place: Place,
        wanted: Wanted,
        is_head: bool,
        headers: &HeaderMap,
    ) -> Answer {
        let title = match &wanted {
            Wanted::Tag(tag) => format!("{}:{tag}", place.repository),
            Wanted::Digest(digest) => format!("{}@{digest}", place.repository),
        };
        let refusal = |reason| Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("{title} is {reason}"));
        let unknown = || refusal("not here");
        let (digest, stored_as) = match wanted {
            Wanted::Digest(digest) => (digest, None),
            Wanted::Tag(tag) => {
                let table = self.table().await?;
                let target = table.resolve(&place, &self.options.own_names, &tag).ok_or_else(unknown)?;
                (target.digest, Some(target.media_type.clone()))
            }
        };
        let this = self.clone();
        let bytes = match response::blocking(move || this.content.read_verified(&digest, DOCUMENT_LIMIT)).await? {
            Ok(bytes) => bytes,
            Err(ContentError::Missing { .. } | ContentError::TooLarge { .. }) => return Err(unknown().into()),
            Err(ContentError::Corrupt { .. }) => {
                self.report_corrupt(digest);
                return Err(refusal("damaged here").into());
            }
            Err(error) => return Err(Failure::caused_by(&error)),
        };
        let media_type = document::media_type(&bytes, stored_as.as_deref()).ok_or_else(unknown)?;
        let etag = format!("\"{digest}\"");
        if range::is_known(headers, &etag) {
            return response::finish(response::described(StatusCode::NOT_MODIFIED, &digest, &etag), Body::empty());
        }
        let response = response::described(StatusCode::OK, &digest, &etag);
        let response = response.header(CONTENT_TYPE, media_type).header(CONTENT_LENGTH, bytes.len());
        response::finish(response, if is_head { Body::empty() } else { bytes.into() })
    }
}
