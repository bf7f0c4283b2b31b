//! Where a bucket is, and how to log in.

use secret::Secret;

/// The API of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Amazon S3 and everything that speaks its API.
    S3,
    /// Alibaba Cloud OSS.
    Oss,
}

/// A bucket of a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The API of the store.
    pub kind: Kind,
    /// The URL of the store without the bucket, for example `https://oss-cn-hangzhou.aliyuncs.com`.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The region, as signatures name it: `us-east-1`, `cn-hangzhou`.
    pub region: String,
    /// Access key and its secret; without them requests are not signed.
    pub login: Option<(String, Secret)>,
    /// Puts the bucket into the path of URLs and not into the name of the host. Only for S3.
    pub path_style: bool,
    /// What the keys of all objects begin with, for example `images/`.
    pub prefix: String,
    /// CA certificates (PEM) to trust besides those of the system.
    pub extra_ca: Vec<String>,
    /// The size of the parts of large objects in bytes, at least 5 MiB.
    pub part_size: usize,
}

impl Options {
    /// The bucket of a store, asked without a login.
    pub fn new(kind: Kind, endpoint: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self {
            kind,
            endpoint: endpoint.into(),
            bucket: bucket.into(),
            region: "us-east-1".to_owned(),
            login: None,
            path_style: false,
            prefix: String::new(),
            extra_ca: Vec::new(),
            part_size: 16 << 20,
        }
    }
}
