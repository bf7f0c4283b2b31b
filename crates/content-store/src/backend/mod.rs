//! Where objects can be kept besides the local store: the seam for object stores, and its contract.

#[cfg(feature = "testing")]
mod contract;
mod disk;
mod key;
#[cfg(feature = "testing")]
mod memory;

#[cfg(feature = "testing")]
pub use contract::contract;
pub use disk::Disk;
#[cfg(feature = "testing")]
pub use memory::Memory;

use crate::Result;
use std::io::Read;

/// Keeps objects under keys.
///
/// A key is one or more parts joined by `/`; a part is not empty, not `.` or `..`, has no backslash and no control character, and does
/// not start with a dot. Keys have at most 512 bytes. Everything else is [`crate::Error::InvalidKey`]. An object appears whole or not at
/// all, and replaces the one of the same key.
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// A reader over the object from byte `offset` on; past its end there is nothing to read.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NoObject`] when it is not there.
    fn get(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>>;

    /// Stores everything that `source` has; returns the size in bytes. After an error the former object, if any, is still there.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Source`] when `source` fails, [`crate::Error::NoSpace`] or [`crate::Error::File`].
    fn put(&self, key: &str, source: &mut dyn Read) -> Result<u64>;

    /// The size of the object in bytes, `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`crate::Error::File`] when it cannot be found out.
    fn size(&self, key: &str) -> Result<Option<u64>>;

    /// The keys that start with `prefix`, sorted; all for the empty prefix.
    ///
    /// # Errors
    ///
    /// [`crate::Error::File`] when they cannot be listed.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes the object; says whether it was there.
    ///
    /// # Errors
    ///
    /// [`crate::Error::File`] when it cannot be removed.
    fn remove(&self, key: &str) -> Result<bool>;
}
