//! Fetches content on a host: what `sealer host pull` does.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudimage::Image;
use content_store::{Digest, NameKind, Named, PartialBlob, Store};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use registry_client::{Http2Stream, Https, ImageName, Registry};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;

use crate::Error;

/// Blobs fetched at once.
const PARALLEL: usize = 4;
/// Chunks that wait for the disk.
const CHUNKS: usize = 16;
/// File in the rootfs' parent that says which image is unpacked.
const UNPACKED: &str = "rootfs.digest";
/// Cluster images are asked for by digest; the name around it does not matter.
const NAME: (&str, &str) = ("sea.hub", "sealer/content");

/// What a host is asked to have.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The root of this cluster's data on the host; contents are kept below `content`.
    pub root: PathBuf,
    /// Digest of the cluster image's index.
    pub image: Digest,
    /// Where its rootfs is unpacked.
    pub rootfs: PathBuf,
    /// The cluster that the content is for.
    pub cluster: String,
    /// Whether carried container images are fetched and named, so that this host can serve them.
    pub carried_images: bool,
    /// Registries (`https://address:port`) that are asked before the byte stream.
    pub from: Vec<String>,
    /// Certificate (PEM file) of the authority that signs theirs.
    pub ca: Option<PathBuf>,
}

/// [`pull`] from the registries of the request, and from the other end of `io` for what they cannot give.
///
/// # Errors
///
/// As [`pull`]; also when the other end does not speak HTTP/2.
pub async fn pull_over_stdio<S>(request: &PullRequest, io: S) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut sources: Vec<(String, Arc<dyn Registry>)> = Vec::new();
    let ca = match &request.ca {
        Some(path) => {
            vec![fs::read_to_string(path).map_err(|source| Error::State { act: "read", path: path.clone(), source })?]
        }
        None => Vec::new(),
    };
    for url in &request.from {
        let host = url.strip_prefix("https://").unwrap_or(url).to_owned();
        let options = registry_client::Options { extra_ca: ca.clone(), ..registry_client::Options::default() };
        sources.push((host, Arc::new(Https::new(options)?)));
    }
    sources.push((NAME.0.to_owned(), Arc::new(Http2Stream::new(io).await?)));
    pull(request, &sources).await
}

/// Fetches the blobs that this host misses, verifies them, names the carried images, unpacks the rootfs.
/// `sources` (host and registry) are asked in order; what one cannot give is asked of the next.
///
/// # Errors
///
/// When a blob cannot be had from any source, does not match its digest, or cannot be written.
pub async fn pull(request: &PullRequest, sources: &[(String, Arc<dyn Registry>)]) -> Result<(), Error> {
    let root = request.root.join("content");
    let content = spawn_blocking(move || Store::open(&root)).await.map_err(aborted)??;
    let _guard = content.gc_guard()?;
    let fetch = Fetch { content: &content, sources };
    fetch.manifest(request.image).await?;
    for manifest in cloudimage::manifests(&content, &request.image)? {
        fetch.manifest(manifest).await?;
    }
    // Twice: which documents there are, and, once they are here, what they say.
    let image = Image::from_content(&content, &request.image)?;
    fetch.blob(*image.config_digest()).await?;
    let mut wanted: Vec<Digest> = image.layers().iter().map(|layer| layer.digest).collect();
    if request.carried_images {
        wanted.extend(image.carried_blobs()?);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let fetched = stream::iter(wanted.into_iter().map(|digest| fetch.blob(digest))).buffer_unordered(PARALLEL);
    fetched.try_collect::<Vec<()>>().await?;

    let image = Image::from_content(&content, &request.image)?;
    let request = request.clone();
    spawn_blocking(move || settle(&content, &image, &request)).await.map_err(aborted)?
}

/// Names what was fetched and unpacks the rootfs, unless it already is the wanted one.
fn settle(content: &Store, image: &Image, request: &PullRequest) -> Result<(), Error> {
    if request.carried_images {
        content.set_names(names(image))?;
    }
    let mark = request.root.join(UNPACKED);
    let wanted = format!("{}\n", image.manifest_digest());
    if request.rootfs.is_dir() && fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let failed = |path: &Path, source| Error::State { act: "write", path: path.to_owned(), source };
    if mark.exists() {
        fs::remove_file(&mark).map_err(|source| failed(&mark, source))?;
    }
    cloudimage::unpack(content, image.layers(), &request.rootfs, &mut |_| {})?;
    let mut file = fs::File::create(&mark).map_err(|source| failed(&mark, source))?;
    file.write_all(wanted.as_bytes()).and_then(|()| file.sync_all()).map_err(|source| failed(&mark, source))
}

/// The carried images under the names by which clusters ask for them.
fn names(image: &Image) -> Vec<Named> {
    let named = |carried: &cloudimage::CarriedImage| Named {
        kind: NameKind::CarriedImage,
        name: carried.reference.clone(),
        descriptor: carried.descriptor(),
        annotations: BTreeMap::new(),
    };
    image.catalogue().images.iter().map(named).collect()
}

/// Asks several sources for what one store lacks.
struct Fetch<'a> {
    content: &'a Store,
    sources: &'a [(String, Arc<dyn Registry>)],
}

impl Fetch<'_> {
    /// Brings an index or a manifest.
    async fn manifest(&self, digest: Digest) -> Result<(), Error> {
        if self.content.contains(&digest) {
            return Ok(());
        }
        let mut failure = None;
        for (host, source) in self.sources {
            match source.manifest(&name(host, &digest), &[]).await {
                Ok(manifest) => {
                    self.content.put(&manifest.bytes)?;
                    return Ok(());
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.map_or(Error::NoSource { digest }, Error::Registry))
    }

    /// Brings a blob.
    async fn blob(&self, digest: Digest) -> Result<(), Error> {
        if self.content.contains(&digest) {
            return Ok(());
        }
        let mut failure = None;
        for (host, source) in self.sources {
            match self.blob_from(host, source.as_ref(), digest).await {
                Ok(()) => return Ok(()),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Error::NoSource { digest }))
    }

    async fn blob_from(&self, host: &str, source: &dyn Registry, digest: Digest) -> Result<(), Error> {
        let content = self.content.clone();
        let mut partial = spawn_blocking(move || content.partial(&digest)).await.map_err(aborted)??;
        let mut blob = source.blob(&name(host, &digest), &digest.to_string(), partial.offset()).await?;
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<bytes::Bytes>(CHUNKS);
        let writer = spawn_blocking(move || -> std::io::Result<PartialBlob> {
            while let Some(bytes) = receiver.blocking_recv() {
                partial.write_all(&bytes)?;
            }
            Ok(partial)
        });
        while let Some(chunk) = blob.stream.next().await {
            if sender.send(chunk?).await.is_err() {
                break; // The writer has failed and says why below.
            }
        }
        drop(sender);
        let path = self.content.root().to_owned();
        let failed = |source| Error::State { act: "write below", path, source };
        let partial = writer.await.map_err(aborted)?.map_err(failed)?;
        spawn_blocking(move || partial.commit()).await.map_err(aborted)??;
        Ok(())
    }
}

fn name(host: &str, digest: &Digest) -> ImageName {
    ImageName::new(host, NAME.1, digest.to_string())
}

fn aborted(source: tokio::task::JoinError) -> Error {
    Error::Aborted { act: "working on files", source }
}
