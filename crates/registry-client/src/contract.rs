//! The contract suite of [`Registry`], passed by the real implementations and by the stand-in.
#![expect(clippy::unwrap_used, reason = "a contract suite reports by panicking")]

use crate::{Digest, Error, Memory, Mount, Reference, Registry, Upload, UploadBody, UploadSession, wire};
use bytes::Bytes;
use futures_util::future::join_all;

/// Content that the registry under test holds before [`contract`] runs.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The tag of the image manifest.
    pub image: Reference,
    /// The image manifest.
    pub manifest: Bytes,
    /// The tag, in the same repository, of the index.
    pub index: Reference,
    /// The index, which lists the image manifest.
    pub index_bytes: Bytes,
    /// Config and layers, in the same repository.
    pub blobs: Vec<Bytes>,
}

impl Fixture {
    /// The same content each time, for a registry of this host name.
    #[must_use]
    pub fn new(registry: &str) -> Self {
        let image = Reference::new(registry, "contract/shop", "1.4").unwrap();
        let large: Vec<u8> =
            (0..3_000_007_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let blobs = vec![Bytes::from_static(config), Bytes::from_static(b"a small layer"), Bytes::from(large)];
        let describe = |kind: &str, bytes: &Bytes| serde_json::json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
        let manifest = Bytes::from(
            serde_json::json!({
                "schemaVersion": 2,
                "mediaType": wire::ACCEPT[1],
                "config": describe("application/vnd.oci.image.config.v1+json", &blobs[0]),
                "layers": [describe("application/vnd.oci.image.layer.v1.tar", &blobs[1]), describe("application/vnd.oci.image.layer.v1.tar", &blobs[2])],
                "unknown-field": { "kept": true },
            })
            .to_string(),
        );
        let index_bytes = serde_json::json!({ "schemaVersion": 2, "mediaType": wire::ACCEPT[0], "manifests": [describe(wire::ACCEPT[1], &manifest)] });
        Self {
            index: image.with_tag("index").unwrap(),
            image,
            manifest,
            index_bytes: Bytes::from(index_bytes.to_string()),
            blobs,
        }
    }

    /// Puts the content into a registry in memory.
    pub fn fill(&self, memory: &Memory) {
        for blob in &self.blobs {
            memory.add_blob(&self.image, blob.clone());
        }
        memory.add_manifest(&self.image, wire::ACCEPT[1], self.manifest.clone());
        memory.add_manifest(&self.index, wire::ACCEPT[0], self.index_bytes.clone());
    }
}

/// Checks the contract of [`Registry`].
pub async fn contract(registry: &dyn Registry, fixture: &Fixture) {
    manifests(registry, fixture).await;
    blobs(registry, fixture).await;
    absent(registry, fixture).await;
}

async fn manifests(registry: &dyn Registry, fixture: &Fixture) {
    let documents =
        [(&fixture.image, &fixture.manifest, wire::ACCEPT[1]), (&fixture.index, &fixture.index_bytes, wire::ACCEPT[0])];
    for (name, bytes, media_type) in documents {
        let digest = Digest::of(bytes);
        for name in [name.clone(), name.with_digest(digest)] {
            assert_eq!(registry.manifest_digest(&name).await.unwrap(), Some(digest), "{name}");
            for accept in [&[][..], &[media_type][..]] {
                let manifest = registry.manifest(&name, accept).await.unwrap();
                assert_eq!(manifest.bytes, bytes, "{name} came changed");
                assert_eq!((manifest.media_type.as_str(), manifest.digest), (media_type, digest), "{name}");
            }
        }
    }
}

async fn blobs(registry: &dyn Registry, fixture: &Fixture) {
    for bytes in &fixture.blobs {
        let digest = Digest::of(bytes);
        let size = bytes.len();
        assert_eq!(registry.blob_exists(&fixture.image, &digest).await.unwrap(), Some(size as u64));
        for offset in [0, 1, size / 2, size - 1, size, size + 1] {
            let (told, read) = read(registry, &fixture.image, &digest, offset).await;
            assert_eq!(read, bytes[offset.min(size)..], "blob {digest} from {offset}");
            if offset < size {
                assert_eq!(told, Some(size as u64), "the size told is that of the whole blob");
            }
        }
    }
    let digest = Digest::of(&fixture.blobs[2]);
    for (_, whole) in join_all((0..8).map(|_| read(registry, &fixture.image, &digest, 0))).await {
        assert_eq!(whole, fixture.blobs[2], "many at once");
    }
    // A blob that nobody reads to the end must not block the others.
    let idle = registry.blob(&fixture.image, &digest, 0).await.unwrap();
    assert_eq!(read(registry, &fixture.image, &Digest::of(&fixture.blobs[0]), 0).await.1, fixture.blobs[0]);
    drop(idle);
}

async fn absent(registry: &dyn Registry, fixture: &Fixture) {
    let absent = Digest::of(b"nobody has this");
    let elsewhere = in_repository(&fixture.image, "contract/none");
    let untagged = fixture.image.with_tag("none").unwrap();
    for name in [untagged, fixture.image.with_digest(absent), elsewhere.clone()] {
        assert_eq!(registry.manifest_digest(&name).await.unwrap(), None, "{name}");
        let error = registry.manifest(&name, &[]).await.unwrap_err();
        assert!(error.is_not_found(), "{name}: {error}");
        assert!(error.to_string().contains(name.repository()), "the message names the image: {error}");
    }
    let error = registry.blob(&fixture.image, &absent, 0).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(error.to_string().contains(&absent.to_string()), "the message names the blob: {error}");
    assert_eq!(registry.blob_exists(&fixture.image, &absent).await.unwrap(), None);
    assert!(registry.tags(&elsewhere).await.unwrap_err().is_not_found());
}

/// Checks the write half of [`Registry`] on a registry that [`contract`] passes on and that takes uploads. It leaves new repositories.
pub async fn write_contract(registry: &dyn Registry, fixture: &Fixture) {
    uploads(registry, fixture).await;
    resumed_upload(registry, fixture).await;
    refused_uploads(registry, fixture).await;
    mounted(registry, fixture).await;
}

/// The same registry, another repository.
fn in_repository(image: &Reference, repository: &str) -> Reference {
    Reference::new(image.registry(), repository, "1.4").unwrap()
}

async fn start(registry: &dyn Registry, image: &Reference) -> UploadSession {
    match registry.start_upload(image, None).await.unwrap() {
        Upload::Session(session) => session,
        Upload::Mounted => panic!("nothing was to be mounted"),
    }
}

/// A whole image: blobs in one piece, then the manifest under two tags and by digest.
async fn uploads(registry: &dyn Registry, fixture: &Fixture) {
    let image = in_repository(&fixture.image, "contract/pushed");
    for blob in &fixture.blobs {
        let (digest, session) = (Digest::of(blob), start(registry, &image).await);
        registry.finish_upload(&image, &session, &digest, blob.clone().into()).await.unwrap();
        assert_eq!(registry.blob_exists(&image, &digest).await.unwrap(), Some(blob.len() as u64));
        assert_eq!(read(registry, &image, &digest, 0).await.1, blob);
    }
    let digest = Digest::of(&fixture.manifest);
    for name in [image.clone(), image.with_tag("latest").unwrap(), image.with_digest(digest)] {
        registry.put_manifest(&name, wire::ACCEPT[1], fixture.manifest.clone()).await.unwrap();
        assert_eq!(registry.manifest(&name, &[]).await.unwrap().bytes, fixture.manifest, "{name}");
    }
    let mut tags = registry.tags(&image).await.unwrap();
    tags.sort();
    assert_eq!(tags, ["1.4", "latest"]);
}

/// An upload in chunks, continued by somebody who knows only where it was.
async fn resumed_upload(registry: &dyn Registry, fixture: &Fixture) {
    let image = in_repository(&fixture.image, "contract/resumed");
    let blob = &fixture.blobs[2];
    let digest = Digest::of(blob);
    let session = start(registry, &image).await;
    let session = registry.upload(&image, &session, blob.slice(..1_000_000).into()).await.unwrap();
    assert_eq!(session.offset, 1_000_000);
    let stored = UploadSession::new(session.location.clone(), 0);
    let session = registry.upload_status(&image, &stored).await.unwrap();
    assert_eq!(session.offset, 1_000_000, "the registry says how far the upload is");
    let session = registry.upload(&image, &session, blob.slice(1_000_000..2_000_000).into()).await.unwrap();
    assert_eq!(registry.blob_exists(&image, &digest).await.unwrap(), None, "an unfinished upload is no blob");
    registry.finish_upload(&image, &session, &digest, blob.slice(2_000_000..).into()).await.unwrap();
    assert_eq!(read(registry, &image, &digest, 0).await.1, blob);
}

async fn refused_uploads(registry: &dyn Registry, fixture: &Fixture) {
    let image = in_repository(&fixture.image, "contract/refused");
    let digest = Digest::of(b"other bytes");
    let session = start(registry, &image).await;
    let finished = registry.finish_upload(&image, &session, &digest, fixture.blobs[1].clone().into()).await;
    assert!(matches!(finished, Err(Error::Answer { .. })), "{finished:?}");
    assert_eq!(registry.blob_exists(&image, &digest).await.unwrap(), None);
    let forgotten = UploadSession::new(
        "/v2/contract/refused/blobs/uploads/5d2d7a1e-3f4a-4b6e-9d52-000000000000?_state=none".to_owned(),
        7,
    );
    assert!(registry.upload_status(&image, &forgotten).await.is_err());
    assert!(registry.finish_upload(&image, &forgotten, &digest, UploadBody::empty()).await.is_err());
    let wrong = registry.put_manifest(&image.with_digest(digest), wire::ACCEPT[1], fixture.manifest.clone()).await;
    assert!(wrong.is_err(), "a manifest is stored under its own digest only");
}

async fn mounted(registry: &dyn Registry, fixture: &Fixture) {
    let image = in_repository(&fixture.image, "contract/mounted");
    let digest = Digest::of(&fixture.blobs[2]);
    let mount = Mount { digest: &digest, from: fixture.image.repository() };
    // Whether a registry mounts is its choice; when it says so, the blob must be there.
    if registry.start_upload(&image, Some(mount)).await.unwrap() == Upload::Mounted {
        assert_eq!(registry.blob_exists(&image, &digest).await.unwrap(), Some(fixture.blobs[2].len() as u64));
    }
    let absent = Digest::of(b"nobody has this");
    let mount = Mount { digest: &absent, from: fixture.image.repository() };
    assert!(matches!(registry.start_upload(&image, Some(mount)).await.unwrap(), Upload::Session(_)));
}

async fn read(registry: &dyn Registry, image: &Reference, digest: &Digest, offset: usize) -> (Option<u64>, Bytes) {
    let blob = registry.blob(image, digest, offset as u64).await.unwrap();
    (blob.size, wire::collect(blob.stream, 64 << 20).await.unwrap().unwrap())
}
