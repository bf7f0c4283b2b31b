//! The contract suite of [`Source`], passed by the content store and by the stand-in.
#![expect(clippy::unwrap_used, reason = "a contract suite reports by panicking")]

use crate::source::{ManifestReference, Repository, Source, SourceError};
use bytes::Bytes;
use content_store::Digest;
use futures_util::TryStreamExt;
use std::ops::Range;

/// Content that the source under test holds before [`contract`] runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fixture {
    /// The repository.
    pub repository: Repository,
    /// Its only tag.
    pub tag: String,
    /// The media type of the manifest under the tag.
    pub media_type: String,
    /// The manifest.
    pub manifest: Bytes,
    /// Blobs in the repository: an empty, a small and a large one.
    pub blobs: Vec<Bytes>,
}

impl Default for Fixture {
    fn default() -> Self {
        let large: Vec<u8> =
            (0..1_500_007_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Self {
            repository: Repository::new(Some("registry.example"), "contract/source"),
            tag: "1.4".to_owned(),
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            manifest: Bytes::from_static(br#"{"schemaVersion":2,"manifests":[],"unknown-field":{"kept":true}}"#),
            blobs: vec![Bytes::new(), Bytes::from_static(b"a small layer"), Bytes::from(large)],
        }
    }
}

/// Checks the contract of [`Source`] on a source that holds the fixture. `corrupt` changes the stored bytes of a blob.
pub async fn contract(source: &dyn Source, fixture: &Fixture, corrupt: impl Fn(&Digest)) {
    manifests(source, fixture).await;
    lists(source, fixture).await;
    blobs(source, fixture).await;
    absent(source, fixture).await;
    corrupt_content(source, fixture, corrupt).await;
}

async fn manifests(source: &dyn Source, fixture: &Fixture) {
    let digest = Digest::of(&fixture.manifest);
    let tag = ManifestReference::Tag(fixture.tag.clone());
    let tagged = source.manifest(&fixture.repository, &tag).await.unwrap().unwrap();
    assert_eq!((&tagged.bytes, tagged.digest), (&fixture.manifest, digest), "by tag");
    assert_eq!(tagged.media_type.as_deref(), Some(fixture.media_type.as_str()));
    let pinned = source.manifest(&fixture.repository, &ManifestReference::Digest(digest)).await.unwrap().unwrap();
    assert_eq!((&pinned.bytes, pinned.digest), (&fixture.manifest, digest), "by digest");
}

async fn lists(source: &dyn Source, fixture: &Fixture) {
    assert_eq!(source.tags(&fixture.repository).await.unwrap(), Some(vec![fixture.tag.clone()]));
    assert_eq!(source.repositories().await.unwrap(), std::slice::from_ref(&fixture.repository.path));
}

async fn blobs(source: &dyn Source, fixture: &Fixture) {
    for bytes in &fixture.blobs {
        let size = bytes.len() as u64;
        // Parts before and after the whole: what was verified stays so.
        for range in [size / 3..size / 2, 0..size, size / 2..size, 0..size.min(1)] {
            let part = bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
            let read = read(source, fixture, bytes, range.clone()).await.unwrap();
            assert!(read == part, "{} bytes instead of {range:?} of {size}", read.len());
        }
    }
    // A blob that nobody reads must not block the others.
    let idle = source.blob(&fixture.repository, &Digest::of(&fixture.blobs[2])).await.unwrap().unwrap();
    let idle = idle.read(0..fixture.blobs[2].len() as u64).await.unwrap();
    assert_eq!(read(source, fixture, &fixture.blobs[1], 0..3).await.unwrap(), fixture.blobs[1][..3]);
    drop(idle);
}

async fn absent(source: &dyn Source, fixture: &Fixture) {
    let absent = Digest::of(b"nobody has this");
    let elsewhere = Repository::new(Some("registry.example"), "contract/none");
    let other_registry = Repository::new(Some("other.example"), fixture.repository.path.as_str());
    let tag = |name: &str| ManifestReference::Tag(name.to_owned());
    for (repository, reference) in [
        (&fixture.repository, tag("none")),
        (&fixture.repository, ManifestReference::Digest(absent)),
        (&elsewhere, tag(&fixture.tag)),
        (&other_registry, tag(&fixture.tag)),
    ] {
        let found = source.manifest(repository, &reference).await.unwrap();
        assert_eq!(found, None, "{repository:?}{reference}");
    }
    assert!(source.blob(&fixture.repository, &absent).await.unwrap().is_none());
    assert_eq!(source.tags(&elsewhere).await.unwrap(), None);
    assert_eq!(source.tags(&other_registry).await.unwrap(), None);
}

/// Nothing of a corrupt blob is returned as a part, and a whole one never arrives at its end, neither now nor later.
async fn corrupt_content(source: &dyn Source, fixture: &Fixture, corrupt: impl Fn(&Digest)) {
    for bytes in &fixture.blobs[1..] {
        let size = bytes.len() as u64;
        corrupt(&Digest::of(bytes));
        for range in [0..size, 0..2, 0..size] {
            let read = read(source, fixture, bytes, range.clone()).await;
            assert!(read.is_err(), "{range:?} of a corrupt blob of {size} bytes");
        }
    }
    let digest = Digest::of(&fixture.manifest);
    corrupt(&digest);
    for reference in [ManifestReference::Tag(fixture.tag.clone()), ManifestReference::Digest(digest)] {
        let failed = source.manifest(&fixture.repository, &reference).await;
        assert!(matches!(failed, Err(SourceError::Corrupt { digest: named }) if named == digest), "{failed:?}");
    }
}

async fn read(
    source: &dyn Source,
    fixture: &Fixture,
    bytes: &Bytes,
    range: Range<u64>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let blob = source.blob(&fixture.repository, &Digest::of(bytes)).await?.ok_or("the blob is not here")?;
    assert_eq!(blob.size(), bytes.len() as u64);
    let pieces = blob.read(range).await?.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    Ok(pieces.await?)
}
