//! Saves cluster images to OCI archives and loads them back; pushes them to registries and pulls them from there.

mod closure;
mod event;
mod load;
mod pull;
mod push;
mod save;

pub use event::{BlobOutcome, TransferEvent, TransferEvents};
pub use load::{Moved, ReadArchive};
pub use pull::{Platforms, PullOptions, PullPolicy, Pulled};
pub use push::{PushOptions, Pushed};
