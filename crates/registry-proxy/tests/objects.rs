//! Content that was published to an object store is served by a source that keeps nothing.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::{Descriptor, Digest, MediaType, NameKind, Store};
use hyper_util::rt::{TokioExecutor, TokioIo};
use object_store::{Kind, ObjectStore, Options};
use registry_proxy::contract::{Fixture, contract};
use registry_proxy::{ObjectSource, Published, publish};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A bucket on loopback; the server ends with the runtime of the test.
async fn bucket() -> (ObjectStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("images")).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let mut options = Options::new(Kind::S3, format!("http://{address}"), "images");
    options.login = Some(("key".to_owned(), "secret".into()));
    options.path_style = true;
    (ObjectStore::new(options).unwrap(), directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn published_content_passes_the_contract() {
    let (objects, _directory) = bucket().await;
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let mut fixture = Fixture::default();
    let blobs: Vec<_> = fixture.blobs.iter().map(|bytes| store.put(bytes).unwrap()).collect();
    let entry = |blob: &content_store::Blob| json!({ "mediaType": "x", "digest": blob.digest, "size": blob.size });
    let document = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": entry(&blobs[0]), "layers": [entry(&blobs[1]), entry(&blobs[2])] });
    fixture.manifest = document.to_string().into();
    fixture.media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
    let manifest = store.put(&fixture.manifest).unwrap();
    let name = format!("registry.example/{}:{}", fixture.repository.path, fixture.tag);
    store
        .set_name(
            NameKind::CarriedImage,
            &name,
            &Descriptor::new(MediaType::ImageManifest, manifest.size, manifest.digest),
        )
        .unwrap();
    let names = store.names().unwrap();
    let published = publish(&store, &names, &objects).await.unwrap();
    assert_eq!((published.names, published.blobs), (1, 4));
    let again = publish(&store, &names, &objects).await.unwrap();
    assert_eq!(
        again,
        {
            let mut same = Published::default();
            same.names = 1;
            same
        },
        "what is there is not sent"
    );
    contract(&ObjectSource::new(objects.clone()), &fixture, |digest| {
        let all = fixture.blobs.iter().chain([&fixture.manifest]);
        let mut bytes = all.into_iter().find(|blob| Digest::of(blob) == *digest).unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let key = format!("blobs/sha256/{}", digest.hex());
        let put = objects.put(&key, bytes);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put)).unwrap();
    })
    .await;
    support::corrupt(&store, &blobs[1].digest);
    objects.delete(&format!("blobs/sha256/{}", blobs[1].digest.hex())).await.unwrap();
    assert!(publish(&store, &names, &objects).await.is_err(), "what is corrupt is not published");
    assert!(objects.head(&format!("blobs/sha256/{}", blobs[1].digest.hex())).await.unwrap().is_none());
}
