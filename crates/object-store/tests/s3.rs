//! Objects go to and come from an S3 server that checks signatures.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use object_store::{Error, Kind, ObjectStore, Options};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A server on loopback with one bucket; it ends with the runtime of the test.
async fn server() -> (String, TempDir) {
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
    (format!("http://{address}"), directory)
}

fn options(endpoint: &str, secret: &str) -> Options {
    let mut options = Options::new(Kind::S3, endpoint, "images");
    options.login = Some(("key".to_owned(), secret.into()));
    options.path_style = true;
    options.prefix = "some/place/".to_owned();
    options
}

async fn bytes(store: &ObjectStore, key: &str, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let object = store.get(key, range).await.unwrap().unwrap();
    object
        .stream
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_put_listed_got_and_removed() {
    let (endpoint, _directory) = server().await;
    let store = ObjectStore::new(options(&endpoint, "secret")).unwrap();
    for key in ["a/one", "a/two and more+&ü", "b"] {
        store.put(key, Bytes::from_static(b"hello")).await.unwrap();
        assert_eq!(bytes(&store, key, None).await, b"hello", "{key}");
    }
    assert_eq!(bytes(&store, "b", Some(1..4)).await, b"ell");
    assert_eq!(store.get("b", Some(1..4)).await.unwrap().unwrap().size, 5);
    assert_eq!(store.head("b").await.unwrap().unwrap().size, 5);
    let keys = |listed: Vec<object_store::Stored>| listed.into_iter().map(|stored| stored.key).collect::<Vec<_>>();
    assert_eq!(keys(store.list("a/").await.unwrap()), ["a/one", "a/two and more+&ü"]);
    store.delete("a/one").await.unwrap();
    store.delete("a/one").await.unwrap();
    assert!(store.head("a/one").await.unwrap().is_none() && store.get("a/one", None).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_goes_in_parts_and_appears_whole() {
    let (endpoint, directory) = server().await;
    let mut options = options(&endpoint, "secret");
    options.part_size = 5 << 20;
    let store = ObjectStore::new(options).unwrap();
    let whole: Vec<u8> = (0..12_000_007_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let input =
        |end: usize| stream::iter(whole[..end].chunks(700_001).map(|chunk| Ok(Bytes::copy_from_slice(chunk)))).boxed();
    for size in [0, 5, 5 << 20, 10 << 20, whole.len()] {
        store.upload("large", size as u64, input(size)).await.unwrap();
        assert!(bytes(&store, "large", None).await == whole[..size], "{size}");
    }
    for (said, given) in [(whole.len() + 1, whole.len()), (whole.len() - 1, whole.len()), (3, 2), (2, 3)] {
        let error = store.upload("wrong", said as u64, input(given)).await.unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
    }
    assert!(store.head("wrong").await.unwrap().is_none());
    let left =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.contains("upload")), "parts of a failed upload are given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_and_not_told() {
    let (endpoint, _directory) = server().await;
    let store = ObjectStore::new(options(&endpoint, "n0t-the-secret")).unwrap();
    let error = store.put("a", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { message, .. } if message.contains("SignatureDoesNotMatch")), "{error}");
    assert!(!format!("{store:?} {error:?}").contains("n0t-the-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_opens_one_object() {
    let (endpoint, _directory) = server().await;
    let store = ObjectStore::new(options(&endpoint, "secret")).unwrap();
    store.put("a", Bytes::from_static(b"hello")).await.unwrap();
    let url = store.presign("a", Duration::from_secs(60)).await.unwrap();
    let get =
        |url: String| async { reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap() };
    assert_eq!(get(url.clone()).await.text().await.unwrap(), "hello");
    assert_eq!(get(url.replace("/a?", "/b?")).await.status(), 403);
}

#[tokio::test]
async fn oss_is_signed_by_version_4_with_the_bucket_in_the_host() {
    let mut options = Options::new(Kind::Oss, "https://oss-cn-hangzhou.aliyuncs.com", "images");
    options.login = Some(("key".to_owned(), "secret".into()));
    options.region = "cn-hangzhou".to_owned();
    let url = ObjectStore::new(options.clone()).unwrap().presign("a b", Duration::from_secs(60)).await.unwrap();
    assert!(url.starts_with("https://images.oss-cn-hangzhou.aliyuncs.com/a%20b?"), "{url}");
    assert!(url.contains("x-oss-signature-version=OSS4-HMAC-SHA256") && url.contains("cn-hangzhou%2Foss"), "{url}");
    options.path_style = true;
    assert!(matches!(ObjectStore::new(options), Err(Error::Option { option: "path style", .. })));
}
