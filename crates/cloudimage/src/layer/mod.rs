//! Layers: trees of entries, written as blobs, read back, applied to directories.
//!
//! [`tree`] is the value, [`scan`] makes it from a directory, [`write`] turns it into a blob, [`tar`] and
//! [`stream`] read blobs, [`place`] and [`apply`] put them on disk, [`listing`] remembers what is in one.

pub(crate) mod apply;
pub(crate) mod compression;
pub(crate) mod listing;
mod pax;
pub(crate) mod place;
#[cfg(test)]
mod roundtrip_tests;
pub(crate) mod scan;
mod sparse;
pub(crate) mod stream;
pub(crate) mod tar;
pub(crate) mod tree;
pub(crate) mod write;

pub use compression::Compression;

/// Prefix of a file name that deletes its namesake of the layers below (OCI image layer specification).
pub(crate) const WHITEOUT_PREFIX: &str = ".wh.";
/// File name that hides everything the layers below have in its directory.
pub(crate) const OPAQUE_WHITEOUT: &str = ".wh..wh..opq";
