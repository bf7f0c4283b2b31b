//! Objects of one bucket.

use crate::error::{Error, Result};
use crate::multipart;
use crate::options::Options;
use crate::request::{Call, Client};
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use serde::Deserialize;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The most objects that are listed.
const LIST_LIMIT: usize = 1_000_000;

/// The objects of one bucket. Clones share connections.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    pub(crate) client: Arc<Client>,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Its key, without the prefix of the store.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// What tells its version from others.
    pub etag: Option<String>,
}

/// An object on its way.
#[non_exhaustive]
pub struct Object {
    /// Its whole size in bytes.
    pub size: u64,
    /// What tells its version from others.
    pub etag: Option<String>,
    /// Its bytes, or those of the range.
    pub stream: BoxStream<'static, io::Result<Bytes>>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Object").field("size", &self.size).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    contents: Vec<Entry>,
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    size: u64,
    #[serde(rename = "ETag")]
    etag: Option<String>,
}

impl ObjectStore {
    /// Checks the options. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] names the one that cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::new(options)?) })
    }

    /// Stores an object, in place of what is there.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let call = Call { body: bytes.into(), ..Call::new(Method::PUT, key) };
        self.client.expect(&call).await.map(drop)
    }

    /// Stores an object of `size` bytes as it is read, in parts when it is large. It appears when all of it is there.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] when the stream fails or has another length, and [`Error`]. Parts that were sent are given up.
    pub async fn upload(&self, key: &str, size: u64, stream: BoxStream<'_, io::Result<Bytes>>) -> Result<()> {
        multipart::upload(self, key, size, stream).await
    }

    /// What is known of an object; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn head(&self, key: &str) -> Result<Option<Stored>> {
        let Some(response) = self.client.send(&Call::new(Method::HEAD, key)).await? else { return Ok(None) };
        let size = header(&response, CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let size = size.ok_or_else(|| self.client.odd(key, "it does not say how large it is"))?;
        Ok(Some(Stored { key: key.to_owned(), size, etag: header(&response, ETAG) }))
    }

    /// An object, or the bytes of `range` of it, which must not be empty; `None` when it is not there. The stream fails when it breaks off.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>> {
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let is_part = range.is_some();
        let call = Call { range, ..Call::new(Method::GET, key) };
        let Some(response) = self.client.send(&call).await? else { return Ok(None) };
        let size = match is_part {
            true => header(&response, CONTENT_RANGE).and_then(|text| text.rsplit_once('/')?.1.parse().ok()),
            false => header(&response, CONTENT_LENGTH).and_then(|text| text.parse().ok()),
        };
        let size = size.ok_or_else(|| self.client.odd(key, "it does not say how large it is"))?;
        let (etag, client, key) = (header(&response, ETAG), self.client.clone(), key.to_owned());
        let stream = response.bytes_stream().map_err(move |error| io::Error::other(client.transport(&key, error)));
        Ok(Some(Object { size, etag, stream: Box::pin(stream) }))
    }

    /// All objects whose keys begin with `prefix`, sorted.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<Stored>> {
        let (own, mut listed, mut token) = (&self.client.options.prefix, Vec::new(), None::<String>);
        loop {
            let mut call = Call::new(Method::GET, "");
            // In the order in which signatures sort them.
            call.query.extend(token.take().map(|token| ("continuation-token", token)));
            call.query.push(("list-type", "2".to_owned()));
            call.query.push(("prefix", format!("{own}{prefix}")));
            let response = self.client.expect(&call).await?;
            let text = self.client.text(&call, response).await?;
            let page: Page =
                quick_xml::de::from_str(&text).map_err(|error| self.client.odd(prefix, &error.to_string()))?;
            let before = listed.len();
            listed.extend(page.contents.into_iter().filter_map(|entry| {
                let key = entry.key.strip_prefix(own.as_str())?.to_owned();
                Some(Stored { key, size: entry.size, etag: entry.etag })
            }));
            if listed.len() > LIST_LIMIT {
                return Err(self.client.odd(prefix, "there are too many objects"));
            }
            // A page without objects is the last one: a list that never ends must not be followed for ever.
            token = page.next_continuation_token.filter(|token| !token.is_empty() && listed.len() > before);
            if token.is_none() {
                listed.sort_by(|one, other| one.key.cmp(&other.key));
                return Ok(listed);
            }
        }
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.client.send(&Call::new(Method::DELETE, key)).await.map(drop)
    }

    /// A URL with which anybody may get the object for a while. It is a secret for that time.
    ///
    /// # Errors
    ///
    /// [`Error::Sign`]; [`Error::Option`] without a login.
    pub async fn presign(&self, key: &str, expires: Duration) -> Result<String> {
        if self.client.options.login.is_none() {
            return Err(Error::Option { option: "login", reason: "nobody can sign without one".to_owned() });
        }
        Ok(self.client.sign(&Call::new(Method::GET, key), Some(expires)).await?.uri.to_string())
    }
}

pub(crate) fn header(response: &reqwest::Response, name: http::HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}
