//! A registry that takes the bytes of an upload and loses them ends the push.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use async_trait::async_trait;
use content_store::{Digest, Reference, Store};
use content_transfer::{Destination, SendOptions, Sender, SentManifest, Wanted};
use http::StatusCode;
use registry_client::{BlobStream, Error, Manifest, Mount, Registry, Result, Upload, UploadBody, UploadSession};

const PART: u64 = 1000;

/// What it does with the second part.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Second {
    Refuses(StatusCode),
    WantsLogin,
    Takes,
}

/// Has nothing of an upload, whatever it said.
#[derive(Debug)]
struct Lossy {
    second: Second,
    parts: Mutex<u32>,
}

#[async_trait]
impl Registry for Lossy {
    async fn manifest(&self, image: &Reference, _: &[&str]) -> Result<Manifest> {
        Err(Error::NotFound { object: image.to_string(), host: image.registry().to_owned() })
    }

    async fn blob(&self, image: &Reference, _: &Digest, _: u64) -> Result<BlobStream> {
        Err(Error::NotFound { object: image.to_string(), host: image.registry().to_owned() })
    }

    async fn blob_exists(&self, _: &Reference, _: &Digest) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn tags(&self, _: &Reference) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn start_upload(&self, _: &Reference, _: Option<Mount<'_>>) -> Result<Upload> {
        Ok(Upload::Session(UploadSession::new("/upload", 0)))
    }

    async fn upload_status(&self, _: &Reference, session: &UploadSession) -> Result<UploadSession> {
        Ok(UploadSession::new(session.location.clone(), 0))
    }

    async fn upload(&self, image: &Reference, session: &UploadSession, body: UploadBody) -> Result<UploadSession> {
        let sent = {
            let mut parts = self.parts.lock().unwrap();
            *parts += 1;
            *parts
        };
        assert!(sent < 100, "{:?}: it never ends", self.second);
        let (object, host) = ("an upload".to_owned(), image.registry().to_owned());
        match self.second {
            _ if session.offset == 0 => Ok(UploadSession::new(session.location.clone(), body.size)),
            Second::Refuses(status) => Err(Error::Answer { object, host, status, message: String::new() }),
            Second::WantsLogin => Err(Error::Unauthorised { object, host, reason: "the token is old".to_owned() }),
            Second::Takes => Ok(UploadSession::new(session.location.clone(), 0)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_comes_no_further_is_given_up() {
    let seconds = [
        Second::Refuses(StatusCode::RANGE_NOT_SATISFIABLE),
        Second::Refuses(StatusCode::SERVICE_UNAVAILABLE),
        Second::WantsLogin,
        Second::Takes,
    ];
    for second in seconds {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let blob = store.put(&[7; 5 * PART as usize]).unwrap();
        let registry = Lossy { second, parts: Mutex::default() };
        let mut options = SendOptions::default();
        options.part = PART;
        let to = Destination::new(&registry, "registry.example/team/shop:1".parse().unwrap());
        let wanted = vec![Wanted::new(blob.digest, Some(blob.size))];
        let manifests = [SentManifest::new(Digest::of(b"manifest"), "application/json".to_owned(), wanted)];
        let sender = Sender::new(&store, &directory.path().join("uploads"), options);
        let error = sender.send(&to, &manifests, &|_| {}).await.unwrap_err();
        assert!(error.to_string().contains("registry.example"), "{second:?}: {error}");
        let parts = *registry.parts.lock().unwrap();
        assert!(parts <= 20, "{second:?}: {parts} parts were sent");
    }
}
