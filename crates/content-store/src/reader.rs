//! Hashes content while it is read.

use crate::{Algorithm, Digest, Error, Hasher};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// Large enough that the hash, not the system call, is the cost.
const BUFFER: usize = 1 << 20;

/// Reads a blob and fails at its end when the bytes were not those of the digest.
pub struct VerifiedReader {
    file: File,
    digest: Digest,
    path: PathBuf,
    hasher: Option<Hasher>,
    verified: bool,
}

impl VerifiedReader {
    pub(crate) fn new(file: File, digest: Digest, path: PathBuf) -> Self {
        Self { file, digest, path, hasher: Some(Hasher::new(digest.algorithm())), verified: false }
    }

    /// Whether the end was reached and the bytes were right.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verified
    }
}

impl std::fmt::Debug for VerifiedReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("VerifiedReader")
            .field("digest", &self.digest)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.verified {
            return Ok(0);
        }
        let Some(hasher) = &mut self.hasher else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("blob {} is corrupt", self.digest)));
        };
        let count = self.file.read(buffer)?;
        hasher.update(&buffer[..count]);
        if count > 0 {
            return Ok(count);
        }
        let found = hasher.clone().finish();
        self.hasher = None;
        self.verified = found == self.digest;
        if self.verified {
            return Ok(0);
        }
        Err(Error::Corrupt { digest: self.digest, path: self.path.clone(), found: Box::new(found) }.into())
    }
}

/// The digest of everything that `reader` still has.
pub(crate) fn hash(reader: &mut impl Read, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
