//! Content in files of others, served where it lies: saved archives, and the directories of other registries.
//!
//! `archive` finds the blobs in a tar, `tree` those of layouts and of docker's registry, `names` the images that documents name, `source` answers.

mod archive;
mod names;
mod source;
mod tree;

pub use source::ReadOnlySource;

use content_store::{BlobFile, DOCUMENT_LIMIT, Digest, Named};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;

/// The most blobs of one archive or directory.
const LIMIT: usize = 1_000_000;

/// Where the bytes of a blob are.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    range: Range<u64>,
}

impl Place {
    /// A document; one that is larger than any is refused.
    fn document(&self, digest: Digest) -> io::Result<Vec<u8>> {
        let mut file = BlobFile::within(&self.path, digest, self.range.clone())?;
        if file.size() > DOCUMENT_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    }
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    blobs: BTreeMap<Digest, Place>,
    names: Vec<Named>,
}
