//! A content store as a `Source`.

mod blob;
mod collect;
mod integrity;
mod names;
mod push;
mod source;

pub(crate) use push::{Deleted, Pushed, blocking, failed};
pub use source::ContentSource;
