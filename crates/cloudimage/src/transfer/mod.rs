//! Saves cluster images to OCI archives and loads them back.

mod closure;
mod load;
mod save;

pub use load::{Moved, ReadArchive};
