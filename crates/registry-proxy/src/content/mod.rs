//! A content store as a `Source`.

mod blob;
mod collect;
mod integrity;
mod names;
mod push;
mod read_only;
mod source;

pub(crate) use push::{Deleted, Pushed, blocking, failed};
pub use read_only::ReadOnlySource;
pub use source::ContentSource;
