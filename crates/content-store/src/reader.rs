//! Hashes content while it is read.

use crate::{Digest, Error};
use sha2::{Digest as _, Sha256};
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
    hasher: Option<Sha256>,
    sound: bool,
}

impl VerifiedReader {
    pub(crate) fn new(file: File, digest: Digest, path: PathBuf) -> Self {
        Self { file, digest, path, hasher: Some(Sha256::new()), sound: false }
    }

    /// Whether the end was reached and the bytes were right.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.sound
    }
}

impl std::fmt::Debug for VerifiedReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("VerifiedReader")
            .field("digest", &self.digest)
            .field("sound", &self.sound)
            .finish_non_exhaustive()
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.sound {
            return Ok(0);
        }
        let Some(hasher) = &mut self.hasher else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("blob {} is damaged", self.digest)));
        };
        let count = self.file.read(buffer)?;
        hasher.update(&buffer[..count]);
        if count > 0 {
            return Ok(count);
        }
        let found = Digest::finish(self.hasher.take().unwrap_or_default());
        self.sound = found == self.digest;
        if self.sound {
            return Ok(0);
        }
        Err(Error::Corrupt { digest: self.digest, path: self.path.clone(), found }.into())
    }
}

/// The digest of everything that `reader` still has.
pub(crate) fn hash(reader: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Digest::finish(hasher)),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
