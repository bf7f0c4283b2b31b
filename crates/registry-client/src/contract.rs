//! What every registry implementation must do; run by the real ones and by the stand-in.
#![expect(clippy::unwrap_used, reason = "a contract suite reports by panicking")]

use crate::{Error, ImageName, Memory, Registry, wire};
use bytes::Bytes;
use futures_util::future::join_all;

/// Content that the registry under test holds before [`contract`] runs.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The tag of the image manifest.
    pub image: ImageName,
    /// The image manifest.
    pub manifest: Bytes,
    /// The tag, in the same repository, of the index.
    pub index: ImageName,
    /// The index, which lists the image manifest.
    pub index_bytes: Bytes,
    /// Config and layers, in the same repository.
    pub blobs: Vec<Bytes>,
}

impl Fixture {
    /// The same content each time, for a registry of this host name.
    #[must_use]
    pub fn new(registry: &str) -> Self {
        let image = ImageName::new(registry, "contract/shop", "1.4");
        let large: Vec<u8> =
            (0..3_000_007_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let blobs = vec![Bytes::from_static(config), Bytes::from_static(b"a small layer"), Bytes::from(large)];
        let describe = |kind: &str, bytes: &Bytes| serde_json::json!({ "mediaType": kind, "digest": wire::digest_of(bytes), "size": bytes.len() });
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
            index: image.with_reference("index"),
            image,
            manifest,
            index_bytes: Bytes::from(index_bytes.to_string()),
            blobs,
        }
    }

    /// Puts the content into a registry in memory.
    pub fn fill(&self, memory: &Memory) {
        for blob in &self.blobs {
            memory.put_blob(&self.image, blob.clone());
        }
        memory.put_manifest(&self.image, wire::ACCEPT[1], self.manifest.clone());
        memory.put_manifest(&self.index, wire::ACCEPT[0], self.index_bytes.clone());
    }
}

/// `sha256:` and the digest of the bytes, as the suite names blobs.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    wire::digest_of(bytes)
}

/// Checks the contract of [`Registry`].
pub async fn contract(registry: &dyn Registry, fixture: &Fixture) {
    manifests(registry, fixture).await;
    blobs(registry, fixture).await;
    absent(registry, fixture).await;
    invalid(registry, fixture).await;
}

async fn manifests(registry: &dyn Registry, fixture: &Fixture) {
    let documents =
        [(&fixture.image, &fixture.manifest, wire::ACCEPT[1]), (&fixture.index, &fixture.index_bytes, wire::ACCEPT[0])];
    for (name, bytes, media_type) in documents {
        let digest = wire::digest_of(bytes);
        for name in [name.clone(), name.with_reference(&digest)] {
            for accept in [&[][..], &[media_type][..]] {
                let manifest = registry.manifest(&name, accept).await.unwrap();
                assert_eq!(manifest.bytes, bytes, "{name} came changed");
                assert_eq!((manifest.media_type.as_str(), &manifest.digest), (media_type, &digest), "{name}");
            }
        }
    }
}

async fn blobs(registry: &dyn Registry, fixture: &Fixture) {
    for bytes in &fixture.blobs {
        let digest = wire::digest_of(bytes);
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
    let digest = wire::digest_of(&fixture.blobs[2]);
    for (_, whole) in join_all((0..8).map(|_| read(registry, &fixture.image, &digest, 0))).await {
        assert_eq!(whole, fixture.blobs[2], "many at once");
    }
    // A blob that nobody reads to the end must not block the others.
    let idle = registry.blob(&fixture.image, &digest, 0).await.unwrap();
    assert_eq!(read(registry, &fixture.image, &wire::digest_of(&fixture.blobs[0]), 0).await.1, fixture.blobs[0]);
    drop(idle);
}

async fn absent(registry: &dyn Registry, fixture: &Fixture) {
    let absent = wire::digest_of(b"nobody has this");
    let elsewhere = ImageName { repository: "contract/none".to_owned(), ..fixture.image.clone() };
    for name in [fixture.image.with_reference("none"), fixture.image.with_reference(&absent), elsewhere] {
        let error = registry.manifest(&name, &[]).await.unwrap_err();
        assert!(error.is_not_found(), "{name}: {error}");
        assert!(error.to_string().contains(&name.repository), "the message names the image: {error}");
    }
    let error = registry.blob(&fixture.image, &absent, 0).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(error.to_string().contains(&absent), "the message names the blob: {error}");
    assert_eq!(registry.blob_exists(&fixture.image, &absent).await.unwrap(), None);
}

async fn invalid(registry: &dyn Registry, fixture: &Fixture) {
    let climbing = ImageName { repository: "../contract".to_owned(), ..fixture.image.clone() };
    assert!(matches!(registry.manifest(&climbing, &[]).await, Err(Error::InvalidName { .. })));
    assert!(matches!(registry.blob(&climbing, &wire::digest_of(b""), 0).await, Err(Error::InvalidName { .. })));
    assert!(matches!(registry.blob(&fixture.image, "sha256:00?x", 0).await, Err(Error::InvalidName { .. })));
    assert!(matches!(registry.blob_exists(&fixture.image, "latest").await, Err(Error::InvalidName { .. })));
}

async fn read(registry: &dyn Registry, image: &ImageName, digest: &str, offset: usize) -> (Option<u64>, Bytes) {
    let blob = registry.blob(image, digest, offset as u64).await.unwrap();
    (blob.size, wire::collect(blob.stream, 64 << 20).await.unwrap().unwrap())
}
