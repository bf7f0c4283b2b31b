//! How a request is answered from the content.
//!
//! `service` takes the request and hands it on; `manifest`, `blob` and `list` answer one kind each in the words of `form`.

mod blob;
mod form;
mod list;
mod manifest;
mod service;

pub use service::service;
