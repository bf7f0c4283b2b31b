//! A content store as a `Source`.

mod blob;
mod integrity;
mod names;
mod source;

pub use source::ContentSource;
