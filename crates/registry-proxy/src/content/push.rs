//! Takes what clients push and delete: uploads, manifests with their tags, and their removal.

use super::source::ContentSource;
use crate::source::{ManifestReference, Repository, SourceError};
use content_store::{
    Descriptor, Digest, Error as ContentError, GcGuard, MediaType, NameKind, Named, References, Upload,
};
use std::collections::BTreeMap;

/// The annotation of a name that holds what its manifest is about.
pub(super) const SUBJECT_ANNOTATION: &str = "io.sealer.subject";

/// A manifest that a client pushes.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) media_type: &'static str,
    pub(crate) references: References,
    /// The tags to set.
    pub(crate) tags: Vec<String>,
    /// Whether it is kept without a tag, because it was pushed by its digest.
    pub(crate) is_pinned: bool,
}

/// What became of something that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    Done,
    NotHere,
    /// It is part of an image that has a name, or belongs to one that was not pushed.
    InUse,
}

impl ContentSource {
    /// Starts an upload under a new identifier.
    pub(crate) async fn start_upload(&self) -> Result<(String, Upload), ContentError> {
        let store = self.shared().store.clone();
        blocking(move || {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(std::io::Error::other).map_err(failed)?;
            let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            store.start_upload(&id).map(|upload| (id, upload))
        })
        .await
    }

    /// The upload with this identifier.
    pub(crate) async fn upload(&self, id: String) -> Result<Option<Upload>, ContentError> {
        let store = self.shared().store.clone();
        blocking(move || store.upload(&id)).await
    }

    /// Keeps collections away until the answer is dropped.
    pub(crate) async fn guard(&self) -> Result<GcGuard, ContentError> {
        let store = self.shared().store.clone();
        blocking(move || store.gc_guard()).await
    }

    /// Whether the blob is in the store; one that is will not be garbage for a while.
    pub(crate) async fn adopt(&self, digest: Digest) -> Result<bool, ContentError> {
        let store = self.shared().store.clone();
        blocking(move || {
            if !store.contains(&digest) {
                return Ok(false);
            }
            store.protect(&digest)?;
            // A collection that had begun before may have taken it.
            let is_here = store.contains(&digest);
            if is_here { Ok(true) } else { store.unprotect(&digest).map(|()| false) }
        })
        .await
    }

    /// Which of the blobs are not in the store.
    pub(crate) async fn missing(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, ContentError> {
        let store = self.shared().store.clone();
        blocking(move || Ok(digests.into_iter().filter(|digest| !store.contains(digest)).collect())).await
    }

    /// Stores a manifest and sets its names, all at once. The caller holds a guard since it looked for what the manifest needs.
    pub(crate) async fn put_manifest(&self, repository: &Repository, pushed: Pushed) -> Result<(), ContentError> {
        let (store, path) = (self.shared().store.clone(), repository.path.clone());
        blocking(move || {
            let Pushed { bytes, digest, media_type, references, tags, is_pinned } = pushed;
            let mut writer = store.writer()?.with_algorithm(digest.algorithm());
            std::io::Write::write_all(&mut writer, &bytes).map_err(failed)?;
            if is_pinned && tags.is_empty() {
                store.protect(&digest)?;
            }
            let blob = writer.commit(Some(&digest))?;
            let subject = references.subject.map(|subject| (SUBJECT_ANNOTATION.to_owned(), subject.to_string()));
            let annotations: BTreeMap<String, String> = subject.into_iter().collect();
            let descriptor = Descriptor::new(MediaType::from(media_type), blob.size, digest);
            let pin = is_pinned.then(|| format!("{path}@{digest}"));
            let names = tags.iter().map(|tag| format!("{path}:{tag}")).chain(pin);
            let named = |name| Named {
                kind: NameKind::PushedImage,
                name,
                descriptor: descriptor.clone(),
                annotations: annotations.clone(),
            };
            store.set_names(names.map(named).collect())?;
            // Names reach them now.
            references.required.iter().chain(&references.optional).try_for_each(|digest| store.unprotect(digest))
        })
        .await
    }

    /// Removes a tag, or a manifest with all its tags, from a repository. The manifest itself goes unless something else has it, too.
    pub(crate) async fn delete_manifest(
        &self,
        repository: &Repository,
        reference: &ManifestReference,
    ) -> Result<Deleted, SourceError> {
        let (path, wanted) = (repository.path.clone(), reference.clone());
        let prefix = [format!("{path}:"), format!("{path}@")];
        let removed = self
            .blocking(move |shared| {
                let is_wanted = |named: &Named| match &wanted {
                    ManifestReference::Tag(tag) => named.name == format!("{path}:{tag}"),
                    ManifestReference::Digest(digest) => {
                        let is_ours = prefix.iter().any(|prefix| named.name.starts_with(prefix));
                        is_ours && Digest::try_from(named.descriptor.digest()).is_ok_and(|found| found == *digest)
                    }
                };
                let is_unwanted = |named: &Named| named.kind == NameKind::PushedImage && is_wanted(named);
                shared.store.remove_names_where(is_unwanted).map_err(SourceError::failed)
            })
            .await?;
        let ManifestReference::Digest(digest) = *reference else {
            let tagged = crate::Source::manifest(self, repository, reference).await?;
            return Ok(match (removed, tagged) {
                (0, None) => Deleted::NotHere,
                (0, Some(_)) => Deleted::InUse,
                _ => Deleted::Done,
            });
        };
        match self.remove_unnamed(digest).await {
            Ok(gone) if removed == 0 => Ok(gone),
            // The names are gone; what nothing reaches any more the next collection takes.
            Err(SourceError::Failed(error))
                if removed > 0 && matches!(error.downcast_ref(), Some(ContentError::InUse { .. })) =>
            {
                Ok(Deleted::Done)
            }
            done => done.map(|_| Deleted::Done),
        }
    }

    /// Removes a blob that no name reaches.
    pub(crate) async fn delete_blob(&self, digest: Digest) -> Result<Deleted, SourceError> {
        self.remove_unnamed(digest).await
    }

    async fn remove_unnamed(&self, digest: Digest) -> Result<Deleted, SourceError> {
        let store = self.shared().store.clone();
        self.alone(move |alone| {
            let is_removed = alone.remove_unnamed(&digest)?;
            Ok(match is_removed {
                true => Deleted::Done,
                false if store.contains(&digest) => Deleted::InUse,
                false => Deleted::NotHere,
            })
        })
        .await
    }
}

/// The error of the store that travelled inside another, if there is one.
pub(crate) fn failed(error: std::io::Error) -> ContentError {
    let file = |source| ContentError::File { act: "write to", path: "the content store".into(), source };
    error.downcast::<ContentError>().unwrap_or_else(file)
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ContentError> + Send + 'static,
) -> Result<T, ContentError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| failed(std::io::Error::other(error)))?
}
