//! Saves cluster images to archives and loads them back.

pub(crate) mod closure;
mod docker;
mod instances;
mod load;
mod members;
mod parts;
mod save;
mod take;

pub use load::{Moved, ReadArchive};
pub use save::{ArchiveFormat, SaveOptions, Saved};
