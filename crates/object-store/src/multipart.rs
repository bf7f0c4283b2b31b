//! Stores large objects in parts.

use crate::error::{Error, Result};
use crate::request::Call;
use crate::store::{ObjectStore, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::Method;
use http::header::ETAG;
use serde::Deserialize;
use std::fmt::Write as _;
use std::io;

/// The least size of a part but the last, and the most parts of an object, as S3 and OSS have them (OSS takes smaller ones).
const LEAST_PART: usize = 5 << 20;
const PARTS: u64 = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Started {
    upload_id: String,
}

pub(crate) async fn upload(
    store: &ObjectStore,
    key: &str,
    size: u64,
    stream: BoxStream<'_, io::Result<Bytes>>,
) -> Result<()> {
    let least = usize::try_from(size.div_ceil(PARTS)).unwrap_or(usize::MAX);
    let part_size = store.client.options.part_size.max(LEAST_PART).max(least);
    let mut input = Input { store, key, stream, rest: BytesMut::new(), left: size };
    if size <= part_size as u64 {
        let bytes = input.part(part_size).await?;
        return store.put(key, bytes).await;
    }
    let call = Call { query: vec![("uploads", String::new())], ..Call::new(Method::POST, key) };
    let response = store.client.expect(&call).await?;
    let text = store.client.text(&call, response).await?;
    let started: Started = quick_xml::de::from_str(&text).map_err(|error| store.client.odd(key, &error.to_string()))?;
    let sent = parts(&mut input, part_size, &started.upload_id).await;
    if sent.is_err() {
        // What stays there is paid for. That it cannot be removed is no news beside the failure.
        let query = vec![("uploadId", started.upload_id)];
        let _ = store.client.send(&Call { query, ..Call::new(Method::DELETE, key) }).await;
    }
    sent
}

async fn parts(input: &mut Input<'_>, part_size: usize, upload: &str) -> Result<()> {
    let (client, key) = (&input.store.client.clone(), input.key);
    let mut document = "<CompleteMultipartUpload>".to_owned();
    for number in 1_u64.. {
        let query = vec![("partNumber", number.to_string()), ("uploadId", upload.to_owned())];
        let body = input.part(part_size).await?;
        let response = client.expect(&Call { query, body, ..Call::new(Method::PUT, key) }).await?;
        let etag = header(&response, ETAG).ok_or_else(|| client.odd(key, "a part has no ETag"))?;
        let etag = quick_xml::escape::escape(&etag).into_owned();
        // Writing into a text cannot fail.
        let _ = write!(document, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        if input.left == 0 {
            break;
        }
    }
    document.push_str("</CompleteMultipartUpload>");
    let query = vec![("uploadId", upload.to_owned())];
    let call = Call { query, body: document.into(), ..Call::new(Method::POST, key) };
    let response = client.expect(&call).await?;
    // A failure may come with status 200, after a long wait (S3, CompleteMultipartUpload).
    match client.text(&call, response).await? {
        text if text.contains("<Error>") => Err(client.odd(key, "the parts could not be put together")),
        _ => Ok(()),
    }
}

/// What is to be stored.
struct Input<'a> {
    store: &'a ObjectStore,
    key: &'a str,
    stream: BoxStream<'a, io::Result<Bytes>>,
    rest: BytesMut,
    left: u64,
}

impl Input<'_> {
    /// The next part: full, or the last. The end of the input is reached with it.
    async fn part(&mut self, part_size: usize) -> Result<Bytes> {
        let fail = |source| Error::Input { object: self.store.client.title(self.key), source };
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(part_size);
        let is_last = wanted as u64 == self.left;
        while self.rest.len() < wanted || is_last {
            match self.stream.next().await {
                Some(Ok(bytes)) => self.rest.extend_from_slice(&bytes),
                Some(Err(error)) => return Err(fail(error)),
                None if self.rest.len() == wanted => break,
                None => return Err(fail(io::ErrorKind::UnexpectedEof.into())),
            }
            if is_last && self.rest.len() > wanted {
                return Err(fail(io::Error::other("it is longer than was said")));
            }
        }
        self.left -= wanted as u64;
        Ok(self.rest.split_to(wanted).freeze())
    }
}
