//! Publishes content of a store to an object store.

use super::{Target, blob_key, repository_key};
use crate::error::{Error, Result};
use bytes::Bytes;
use content_store::{DOCUMENT_LIMIT, Digest, Named, Reference, References, Store};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::ObjectStore;
use std::collections::BTreeSet;
use std::io::{self, Read};

/// Blobs that are sent at once.
const PARALLEL: usize = 4;
/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The number of names.
    pub names: u64,
    /// The number of blobs that were sent; the others were there.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Sends everything that `names` reach to an object store, unless it is there, and then the names. Blobs are verified on the way. Platforms that an
/// index lists and the store lacks are left out. Names with a digest are reached by it and need no object.
///
/// # Errors
///
/// [`Error::Objects`]; [`Error::Content`] for a blob that is missing or corrupt. No name is written then.
pub async fn publish(store: &Store, names: &[Named], objects: &ObjectStore) -> Result<Published> {
    let (from, tops) = (store.clone(), names.to_vec());
    let reached = tokio::task::spawn_blocking(move || reach(&from, &tops)).await.map_err(io::Error::other);
    let reached = reached.map_err(Error::file("read", store.root()))??;
    let sending = stream::iter(reached).map(|digest| send(store, digest, objects)).buffer_unordered(PARALLEL);
    let sent: Vec<Option<u64>> = sending.try_collect().await?;
    let mut published = Published { blobs: 0, bytes: 0, names: 0 };
    for bytes in sent.into_iter().flatten() {
        (published.blobs, published.bytes) = (published.blobs + 1, published.bytes + bytes);
    }
    for named in names {
        let Ok(reference) = named.name.parse::<Reference>() else { continue };
        let (Some(tag), Ok(digest)) = (reference.tag(), Digest::try_from(named.descriptor.digest())) else { continue };
        let target = Target { digest, media_type: named.descriptor.media_type().to_string() };
        let text = serde_json::to_vec(&target).map_err(|error| Error::Config { reason: error.to_string() })?;
        objects.put(&format!("{}{tag}", repository_key(&reference)), text).await?;
        published.names += 1;
    }
    Ok(published)
}

/// Every blob that the names reach, children before what names them.
fn reach(store: &Store, names: &[Named]) -> Result<Vec<Digest>> {
    let (mut seen, mut order, mut open) = (BTreeSet::new(), Vec::new(), Vec::new());
    for named in names {
        open.push((Digest::try_from(named.descriptor.digest()).map_err(content_store::Error::from)?, true));
    }
    while let Some((digest, is_document)) = open.pop() {
        if !seen.insert(digest) {
            continue;
        }
        order.push(digest);
        if !is_document {
            continue;
        }
        let references = References::of(&store.read_verified(&digest, DOCUMENT_LIMIT)?).unwrap_or_default();
        open.extend(references.required.into_iter().map(|digest| (digest, false)));
        let present = references.optional.into_iter().filter(|digest| store.contains(digest));
        open.extend(present.map(|digest| (digest, true)));
    }
    order.reverse();
    Ok(order)
}

/// Sends a blob; gives its size, or none when it was there.
async fn send(store: &Store, digest: Digest, objects: &ObjectStore) -> Result<Option<u64>> {
    let (key, size) = (blob_key(&digest), store.size(&digest)?);
    if objects.head(&key).await?.is_some_and(|stored| stored.size == size) {
        return Ok(None);
    }
    objects.upload(&key, size, read(store, digest)?).await?;
    Ok(Some(size))
}

/// The bytes of a blob; the stream fails at its end when they are not those of the digest, so that the object does not appear.
fn read(store: &Store, digest: Digest) -> Result<BoxStream<'static, io::Result<Bytes>>> {
    let reader = store.verified_reader(&digest)?;
    Ok(stream::try_unfold(reader, |mut reader| async move {
        let read = move || {
            let mut chunk = vec![0; CHUNK];
            let count = reader.read(&mut chunk)?;
            chunk.truncate(count);
            io::Result::Ok((chunk, reader))
        };
        let (chunk, reader) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), reader)))
    })
    .boxed())
}
