//! The configuration of a registry, as its YAML file holds it.

use crate::error::{Error, Result};
use crate::{
    ForwardConfig, Htpasswd, ObjectStoreConfig, Options, ReadOnlySource, Tls, UpstreamConfig, forward, tls, upstream,
};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Files that are named in a configuration are not larger than this, in bytes.
const FILE_LIMIT: u64 = 1 << 20;
const PORT: u16 = 5000;

/// What [`serve`](crate::serve()) is to do. Everything has a default: pulls by everybody on this machine, over plain HTTP.
///
/// ```
/// let config = registry_proxy::Config::parse("listen: 0.0.0.0:5000\npush: true\nquota: 50000000000\n")?;
/// assert!(config.push && !config.delete);
/// assert!(registry_proxy::Config::parse("lisen: 0.0.0.0:5000\n").is_err());
/// # Ok::<(), registry_proxy::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Names of this registry itself (`host[:port]`): asked for by one of them, an image may come from any registry.
    pub names: Vec<String>,
    /// The certificate; without it plain HTTP is spoken.
    pub tls: Option<TlsConfig>,
    /// Who may ask: a file of users and bcrypt hashes, as `htpasswd -B` writes it. Without it everybody may.
    pub htpasswd: Option<PathBuf>,
    /// Whether everybody may pull although there is `htpasswd`; pushes and deletions then need a login.
    pub anonymous_pull: bool,
    /// Whether clients may push.
    pub push: bool,
    /// Whether clients may delete tags, manifests and blobs.
    pub delete: bool,
    /// The bytes that the store may hold. Beyond them, cached images go, the least recently used first; what was pushed is kept.
    pub quota: Option<u64>,
    /// The seconds between two collections of garbage; none when 0. Only a registry that is pushed to, or has a quota, collects.
    pub collect_seconds: u64,
    /// Whether a collection also takes pushed manifests that have no tag any more and are part of nothing that has one.
    pub collect_untagged: bool,
    /// Whether [`Event::Request`](crate::Event::Request) tells of each request.
    pub access_log: bool,
    /// Archives and directories that are answered from after the store, and stay as they are: OCI archives as `sealer save` writes them,
    /// OCI layouts, directories with `docker/registry/v2` in them.
    pub stores: Vec<PathBuf>,
    /// A bucket that is answered from after the stores: what was published to it.
    pub object_store: Option<ObjectStoreConfig>,
    /// Registries that are asked for what is not here; what they have is kept in the store.
    pub upstreams: Vec<UpstreamConfig>,
    /// A forward proxy beside the registry, for clients that reach registries through `HTTPS_PROXY`.
    pub forward: Option<ForwardConfig>,
    /// A file to which a line of JSON is appended for each image that was asked for and found.
    pub record: Option<PathBuf>,
}

/// Where the certificate comes from: two files, or a directory in which one is made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificate chain (PEM).
    pub cert: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// A directory for `registry.crt` and `registry.key`, a certificate that is signed by itself: made when it is missing, for all names and the
    /// address that is listened on. Clients trust the file `registry.crt`.
    pub minted: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            names: Vec::new(),
            tls: None,
            htpasswd: None,
            anonymous_pull: false,
            push: false,
            delete: false,
            quota: None,
            collect_seconds: 3600,
            collect_untagged: false,
            access_log: false,
            stores: Vec::new(),
            object_store: None,
            upstreams: Vec::new(),
            forward: None,
            record: None,
        }
    }
}

impl TlsConfig {
    /// A certificate in files.
    #[must_use]
    pub fn files(cert: PathBuf, key: PathBuf) -> Self {
        Self { cert: Some(cert), key: Some(key), minted: None }
    }

    /// A certificate that is made in a directory.
    #[must_use]
    pub fn minted(directory: PathBuf) -> Self {
        Self { minted: Some(directory), ..Self::default() }
    }
}

impl Config {
    /// Reads the YAML text of a configuration. Unknown keys are errors.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with what is wrong and where.
    pub fn parse(yaml: &str) -> Result<Self> {
        // An empty text, or one of comments alone, is the default.
        let config: Option<Self> =
            serde_saphyr::from_str(yaml).map_err(|error| Error::Config { reason: error.to_string() })?;
        Ok(config.unwrap_or_default())
    }

    /// Reads the files that the configuration names and checks that everything fits together. Makes the certificate that is to be made.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], [`Error::File`], [`Error::Tls`], [`Error::Htpasswd`], [`Error::Upstream`] or [`Error::Store`].
    pub fn check(&self) -> Result<()> {
        if let Some(tls) = self.load_tls()? {
            tls.acceptor()?;
        }
        self.load_htpasswd()?;
        upstream::check(&self.upstreams)?;
        self.object_store.as_ref().map(ObjectStoreConfig::open).transpose()?;
        self.stores.iter().try_for_each(|path| ReadOnlySource::open(path, &Options::default()).map(drop))?;
        self.forward.as_ref().map_or(Ok(()), forward::check)
    }

    pub(crate) fn load_tls(&self) -> Result<Option<Tls>> {
        let wrong = || Error::Config { reason: "`tls` wants either `cert` and `key`, or `minted`".to_owned() };
        match &self.tls {
            None => Ok(None),
            Some(TlsConfig { cert: Some(cert), key: Some(key), minted: None }) => {
                Ok(Some(Tls::new(read(cert)?, read(key)?)))
            }
            Some(TlsConfig { cert: None, key: None, minted: Some(directory) }) => {
                tls::minted(directory, &self.names, self.listen.ip()).map(Some)
            }
            Some(_) => Err(wrong()),
        }
    }

    pub(crate) fn load_htpasswd(&self) -> Result<Option<Htpasswd>> {
        if self.anonymous_pull && self.htpasswd.is_none() {
            return Err(Error::Config { reason: "`anonymousPull` is of no use without `htpasswd`".to_owned() });
        }
        if self.forward.is_some() && self.htpasswd.is_some() {
            let reason = "`forward` goes without `htpasswd`: clients of a proxy send their logins to the registries that they believe to reach";
            return Err(Error::Config { reason: reason.to_owned() });
        }
        self.htpasswd.as_deref().map(|path| Htpasswd::parse(&read(path)?)).transpose()
    }
}

/// A text file; one that is larger than any of its kind is refused.
pub(crate) fn read(path: &Path) -> Result<String> {
    let text = atomic_file::read_text(path, FILE_LIMIT).map_err(Error::file("read", path))?;
    text.ok_or_else(|| Error::file("read", path)(std::io::ErrorKind::NotFound.into()))
}
