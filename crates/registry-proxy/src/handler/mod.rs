//! Answers requests from the sources.
//!
//! `service` takes the request and hands it on; `manifest`, `blob` and `list` answer one kind each, with the functions of `response`.

mod blob;
mod list;
mod manifest;
mod response;
mod service;

pub use service::service;
