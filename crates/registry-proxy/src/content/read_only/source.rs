//! Answers from an archive or a directory that stays as it is.

use super::super::blob::{Keeper, StoredBlob};
use super::super::integrity::Integrity;
use super::super::names::Table;
use super::{Found, archive, tree};
use crate::error::Error;
use crate::event::Reporter;
use crate::source::{Manifest, ManifestReference, Repository, Source, SourceBlob, SourceError};
use crate::{Event, Options};
use async_trait::async_trait;
use content_store::{BlobFile, DOCUMENT_LIMIT, Digest};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An OCI archive (an uncompressed tar), an OCI layout, or the directory of docker's registry, as a [`Source`]. Nothing is unpacked or copied.
///
/// Only headers and documents are read at first; what is added later is not seen. A whole blob is compared with its digest while it is sent,
/// and its last bytes follow only when it was right.
#[derive(Clone, Debug)]
pub struct ReadOnlySource(Arc<Files>);

#[derive(Debug)]
struct Files {
    path: PathBuf,
    found: Found,
    table: Table,
    integrity: Integrity,
    reporter: Reporter,
}

impl ReadOnlySource {
    /// Opens what is at `path`: an OCI archive as `sealer save` writes it, an OCI layout, or a directory with `docker/registry/v2` in it. Of the
    /// options it follows [`Options::events`].
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when it is none of these, [`Error::File`] when it cannot be read.
    pub fn open(path: &Path, options: &Options) -> Result<Arc<dyn Source>, Error> {
        let refused = |reason: String| Error::Store { path: path.to_owned(), reason };
        let found = match tree::root(path) {
            _ if path.join("oci-layout").is_file() => tree::layout(path)?,
            Some(root) => tree::scan(&root)?,
            None if path.is_dir() => {
                return Err(refused("it is neither an OCI layout nor the directory of a registry".to_owned()));
            }
            None => archive::scan(path)?,
        };
        Ok(Arc::new(Self(Arc::new(Files {
            path: path.to_owned(),
            table: Table::new(&found.names),
            found,
            integrity: Integrity::default(),
            reporter: options.reporter(),
        }))))
    }
}

impl Files {
    fn open(&self, digest: &Digest) -> Result<Option<BlobFile>, SourceError> {
        let Some(place) = self.found.blobs.get(digest) else { return Ok(None) };
        let file = BlobFile::within(&place.path, *digest, place.range.clone()).map_err(SourceError::failed)?;
        if self.integrity.get(&file) == Some(false) {
            return Err(SourceError::Corrupt { digest: *digest });
        }
        Ok(Some(file))
    }

    fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let (digest, media_type) = match reference {
            ManifestReference::Digest(digest) => (*digest, None),
            ManifestReference::Tag(tag) => match self.table.resolve(repository, tag) {
                Some(target) => (target.digest, Some(target.media_type.clone())),
                None => return Ok(None),
            },
        };
        let Some(mut file) = self.open(&digest)?.filter(|file| file.size() <= DOCUMENT_LIMIT) else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(SourceError::failed)?;
        if !digest.matches(&bytes) {
            return Err(self.corrupt(digest));
        }
        let media_type = media_type.filter(|media_type| !media_type.is_empty());
        Ok(Some(Manifest::new(digest, media_type, bytes)))
    }
}

impl Keeper for Files {
    fn integrity(&self) -> &Integrity {
        &self.integrity
    }

    fn verifies_late(&self) -> bool {
        true
    }

    fn corrupt(&self, digest: Digest) -> SourceError {
        self.reporter.tell(Event::Corrupt { digest, path: self.path.clone() });
        SourceError::Corrupt { digest }
    }
}

#[async_trait]
impl Source for ReadOnlySource {
    async fn manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Option<Manifest>, SourceError> {
        let (files, repository, reference) = (self.0.clone(), repository.clone(), reference.clone());
        let read = tokio::task::spawn_blocking(move || files.manifest(&repository, &reference));
        read.await.map_err(SourceError::failed)?
    }

    async fn blob(&self, _: &Repository, digest: &Digest) -> Result<Option<Box<dyn SourceBlob>>, SourceError> {
        let (files, digest) = (self.0.clone(), *digest);
        let opened = tokio::task::spawn_blocking(move || files.open(&digest));
        let file = opened.await.map_err(SourceError::failed)??;
        Ok(file.map(|file| Box::new(StoredBlob { keeper: self.0.clone(), file }) as Box<dyn SourceBlob>))
    }

    async fn tags(&self, repository: &Repository) -> Result<Option<Vec<String>>, SourceError> {
        Ok(self.0.table.tags(repository))
    }

    async fn repositories(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.0.table.repositories())
    }

    /// Nothing here is about another manifest.
    async fn referrers(&self, _: &Repository, _: &Digest) -> Result<Vec<Manifest>, SourceError> {
        Ok(Vec::new())
    }
}
