//! Saves cluster images to archives and loads them back; pushes them to registries and pulls them from there.

pub(crate) mod closure;
mod docker;
mod event;
mod instances;
mod load;
mod members;
mod parts;
mod pull;
mod push;
mod save;
mod take;
mod unfinished;

pub use event::{ArchiveProgress, BlobOutcome, TransferEvent, TransferEvents};
pub use load::{Moved, ReadArchive};
pub use pull::{Platforms, PullOptions, PullPolicy, Pulled};
pub use push::{PushOptions, Pushed};
pub use save::{ArchiveFormat, SaveOptions, Saved};
