//! Answers requests from the content.
//!
//! `service` takes the request and hands it on; `manifest`, `blob` and `list` answer one kind each in the words of `form`.

mod blob;
mod list;
mod manifest;
mod response;
mod service;

pub use service::service;
