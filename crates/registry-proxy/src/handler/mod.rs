//! Answers requests from the sources.
//!
//! `service` takes the request and hands it on; `manifest`, `blob`, `list` and `referrers` answer one kind each, `upload` and `put` take
//! what is pushed, with the functions of `response`. `access` counts and tells what became of a request.

mod access;
mod blob;
mod list;
mod manifest;
mod put;
mod referrers;
mod response;
mod service;
mod upload;

pub(crate) use access::PeerAddress;
pub use service::service;
