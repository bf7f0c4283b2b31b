//! Fetches content on a host: what `sealer host pull` does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudimage::{Image, Platform};
use content_store::{Digest, Reference, Store};
use content_transfer::{Fetcher, Origin, Wanted};
use registry_client::{Http2Stream, Https, LoginFiles, Registry};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;

use crate::{Error, text_file};

/// Blobs fetched at once.
const PARALLEL: usize = 4;
/// Extension of the file beside a rootfs that says which image is unpacked.
const UNPACKED: &str = "digest";
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
    /// The platform whose rootfs is unpacked; this machine's when there is none.
    pub platform: Option<Platform>,
    /// Further platforms whose content is fetched, too, so that this host can serve it.
    pub platforms: Vec<Platform>,
    /// Registries (`https://address:port` or `http://…`) that are asked before the byte stream.
    pub from: Vec<String>,
    /// Certificate (PEM file) of the authority that signs theirs.
    pub ca: Option<PathBuf>,
    /// Logins for them (a file as docker's `config.json`); removed when the pull ends.
    pub login: Option<PathBuf>,
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
    let pulled = pull_with_login(request, io).await;
    let Some(path) = request.login.clone() else { return pulled };
    let removed = atomic_file::remove(&path);
    pulled.and(removed.map_err(|source| Error::State { act: "remove", path, source }))
}

async fn pull_with_login<S>(request: &PullRequest, io: S) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut sources: Vec<(String, Arc<dyn Registry>)> = Vec::new();
    let ca = match &request.ca {
        Some(path) => vec![text_file::read("read the certificate authority", path)?],
        None => Vec::new(),
    };
    for url in &request.from {
        let plain = url.strip_prefix("http://");
        let host = plain.unwrap_or(url.strip_prefix("https://").unwrap_or(url)).to_owned();
        let mut options = registry_client::Options::default();
        options.extra_ca.clone_from(&ca);
        options.logins = LoginFiles::new(request.login.iter().cloned().collect(), false);
        options.plain_http.extend(plain.map(str::to_owned));
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
    let mut options = content_transfer::Options::default();
    options.parallel = PARALLEL;
    let fetcher = Fetcher::new(&content, options);
    let index = origins(sources, request.image)?;
    fetcher.document(&index).await?;
    // Not all that it lists: sources have what the cluster needs, and need not have more.
    for manifest in cloudimage::manifests_for(&content, &request.image, &platforms(request))? {
        fetcher.document(&origins(sources, manifest)?).await?;
    }
    // Twice: which documents there are, and, once they are here, what they say.
    let images = images(&content, request)?;
    // More than a manifest says is refused: a source cannot fill this host's disk.
    let sized = |(digest, size)| Wanted::new(digest, Some(size));
    fetcher.blobs(&index, images.iter().map(Image::config_blob).map(sized), &|_| {}).await?;
    let layers = images.iter().flat_map(|image| image.layers().iter().map(|layer| (layer.digest, layer.size)));
    let mut wanted: BTreeMap<Digest, u64> = layers.collect();
    if request.carried_images {
        wanted.extend(images.iter().flat_map(Image::carried_blobs));
    }
    fetcher.blobs(&index, wanted.into_iter().map(sized), &|_| {}).await?;

    let images = self::images(&content, request)?;
    let request = request.clone();
    spawn_blocking(move || settle(&content, &images, &request)).await.map_err(aborted)?
}

/// This host's platform first, then the further ones.
fn platforms(request: &PullRequest) -> Vec<Platform> {
    let own = request.platform.clone().unwrap_or_default();
    std::iter::once(own).chain(request.platforms.iter().cloned()).collect()
}

/// The image for each of these platforms. What else the store has of it does not count.
fn images(content: &Store, request: &PullRequest) -> Result<Vec<Image>, Error> {
    let image = |platform| Image::for_platform(content, &request.image, platform);
    Ok(platforms(request).iter().map(image).collect::<Result<_, _>>()?)
}

/// Names what was fetched and unpacks the rootfs, unless it already is the wanted one.
fn settle(content: &Store, images: &[Image], request: &PullRequest) -> Result<(), Error> {
    if request.carried_images {
        content.set_names(cloudimage::carried_names(content, images)?)?;
    }
    let [image, ..] = images else { return Ok(()) };
    let mark = request.rootfs.with_extension(UNPACKED);
    let wanted = format!("{}\n", image.manifest_digest());
    if request.rootfs.is_dir() && fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let failed = |path: &Path, source| Error::State { act: "write", path: path.to_owned(), source };
    atomic_file::remove(&mark).map_err(|source| failed(&mark, source))?;
    if let Some(parent) = request.rootfs.parent() {
        fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
    }
    cloudimage::unpack(content, image.layers(), &request.rootfs, &mut |_| {})?;
    atomic_file::write(&mark, wanted.as_bytes(), 0o644).map_err(|source| failed(&mark, source))
}

/// Content of this digest at every source.
fn origins(sources: &[(String, Arc<dyn Registry>)], digest: Digest) -> Result<Vec<Origin<'_>>, Error> {
    let mut origins = Vec::new();
    for (host, registry) in sources {
        let name = Reference::new(host, NAME.1, &digest.to_string()).map_err(content_store::Error::from)?;
        origins.push(Origin::new(registry.as_ref(), name));
    }
    Ok(origins)
}

fn aborted(source: tokio::task::JoinError) -> Error {
    Error::Aborted { act: "working on files", source }
}
