//! The configuration of an object store.

use crate::error::{Error, Result};
use object_store::{Kind, ObjectStore, Options};
use serde::Deserialize;
use std::path::PathBuf;

/// The largest file with a key or with certificates that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// A bucket with content that was published to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ObjectStoreConfig {
    /// The API of the store: `s3` or `oss`.
    pub kind: ObjectStoreKind,
    /// The URL of the store without the bucket.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The region, as signatures name it.
    #[serde(default)]
    pub region: Option<String>,
    /// What the keys of all objects begin with.
    #[serde(default)]
    pub prefix: String,
    /// The access key; without it requests are not signed.
    #[serde(default)]
    pub access_key: Option<String>,
    /// A file with the secret of the access key.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Puts the bucket into the path of URLs and not into the name of the host.
    #[serde(default)]
    pub path_style: bool,
    /// A file with CA certificates (PEM) to trust besides those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// The API of an object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ObjectStoreKind {
    /// Amazon S3 and everything that speaks its API.
    S3,
    /// Alibaba Cloud OSS.
    Oss,
}

impl ObjectStoreConfig {
    /// The store. Reads the files that the configuration names; nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::File`] and [`Error::Objects`].
    pub fn open(&self) -> Result<ObjectStore> {
        let kind = match self.kind {
            ObjectStoreKind::S3 => Kind::S3,
            ObjectStoreKind::Oss => Kind::Oss,
        };
        let mut options = Options::new(kind, &self.endpoint, &self.bucket);
        if let Some(region) = &self.region {
            options.region.clone_from(region);
        }
        options.prefix.clone_from(&self.prefix);
        options.path_style = self.path_style;
        let read = |path: &PathBuf| {
            let text = atomic_file::read_text(path, FILE_LIMIT).map_err(Error::file("read", path))?;
            text.ok_or_else(|| Error::file("read", path)(std::io::ErrorKind::NotFound.into()))
        };
        options.login = match (&self.access_key, &self.secret_file) {
            (Some(key), Some(path)) => Some((key.clone(), read(path)?.trim_end().into())),
            (None, None) => None,
            _ => return Err(Error::Config { reason: "`accessKey` and `secretFile` belong together".to_owned() }),
        };
        options.extra_ca = self.ca.as_ref().map(read).transpose()?.into_iter().collect();
        Ok(ObjectStore::new(options)?)
    }
}
