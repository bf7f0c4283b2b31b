//! The files of a state that another operator needs, without logins, as one compressed block.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use clusterfile::{Cluster, Clusterfile, Secret, Ssh};
use content_store::Digest;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::{ClusterState, Error};

/// A copy is not larger than this: it is kept in the cluster's own database, which is made for small objects.
pub(crate) const LIMIT: usize = 8 << 20;
/// Files beside `pki/` that are copied. What is not listed may hold logins, or concerns this machine alone.
const FILES: [&str; 5] = [CLUSTERFILE, crate::applications::FILE, "ali-cloud.json", "known_hosts", SECRETS];
pub(crate) const CLUSTERFILE: &str = "Clusterfile";
/// Tokens and keys; `runtime::Secrets` writes them last.
pub(crate) const SECRETS: &str = "secrets.json";
const PKI: &str = "pki/";
/// The certificate by which a cluster is told from others.
const AUTHORITY: &str = "pki/ca.crt";

/// What is copied of a state: texts by the names of their files.
#[derive(Debug)]
pub(crate) struct Content {
    cluster: String,
    files: BTreeMap<String, Secret>,
    digest: String,
}

/// What [`Content::pack`] makes, and its digest.
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    /// Bytes of each part but the last.
    pub(super) part: usize,
}

impl Content {
    /// What a state holds; `None` when nothing is remembered of a cluster, or its secrets are not complete.
    pub(crate) fn of(state: &ClusterState) -> Result<Option<Self>, Error> {
        let Some(clusterfile) = state.clusterfile()? else { return Ok(None) };
        let mut names: Vec<String> = FILES.map(str::to_owned).into();
        names.extend(state.names_in("pki")?.into_iter().map(|name| format!("{PKI}{name}")));
        let mut files = BTreeMap::new();
        for name in names.into_iter().filter(|name| is_copied(name)) {
            files.extend(state.read(&name)?.map(|text| (name, text)));
        }
        let clusterfile = without_logins(clusterfile);
        files.insert(CLUSTERFILE.to_owned(), clusterfile.to_yaml().into());
        if ![SECRETS, AUTHORITY].iter().all(|name| files.contains_key(*name)) {
            return Ok(None);
        }
        let mut content = Self { cluster: clusterfile.cluster.name, files, digest: String::new() };
        content.digest = Digest::of(content.text()?.expose().as_bytes()).hex();
        Ok(Some(content))
    }

    /// The cluster's name.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// All documents of the cluster, without logins: also without those that somebody wrote into a copy.
    pub(crate) fn clusterfile(&self) -> Result<Clusterfile, Error> {
        let text = self.files.get(CLUSTERFILE).map_or("", Secret::expose);
        // What the parser says may quote the text.
        let damaged = |_| Error::CopyDamaged { reason: "has no Clusterfile that can be read".to_owned() };
        clusterfile::parse(text).map(without_logins).map_err(damaged)
    }

    /// What tells this content from any other.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// The text of a file.
    pub(crate) fn file(&self, name: &str) -> Option<&Secret> {
        self.files.get(name)
    }

    /// All files by their names.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text))
    }

    /// [`runtime::Secrets::fingerprint`] of the cluster's authority.
    pub(crate) fn authority(&self) -> String {
        let certificate = self.files.get(AUTHORITY).map_or("", Secret::expose);
        let mut digest = Digest::of(certificate.trim().as_bytes()).hex();
        digest.truncate(32);
        digest
    }

    /// Refuses what is too large for the cluster's database.
    pub(crate) fn check_size(&self) -> Result<(), Error> {
        let bytes: usize = self.files.values().map(|text| text.expose().len()).sum();
        let largest = self.files.iter().max_by_key(|(_, text)| text.expose().len());
        match largest {
            Some((name, _)) if bytes > LIMIT => Err(Error::CopyTooLarge { bytes, limit: LIMIT, largest: name.clone() }),
            _ => Ok(()),
        }
    }

    /// One compressed block, to be kept in parts of so many bytes.
    pub(crate) fn pack(&self, part: usize) -> Result<Packed, Error> {
        let failed = |error: std::io::Error| Error::CopyDamaged { reason: format!("cannot be packed: {error}") };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(self.text()?.expose().as_bytes()).map_err(failed)?;
        let bytes = encoder.finish().map_err(failed)?;
        let digest = Digest::of(&bytes).hex();
        Ok(Packed { bytes, digest, part })
    }

    /// What [`Content::pack`] packed. Files that this version does not copy are left out, but count for the digest.
    pub(crate) fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: &str| Error::CopyDamaged { reason: reason.to_owned() };
        let mut text = String::new();
        // JSON needs up to six bytes for one of a text; real texts need little more than one.
        let limit = 2 * LIMIT as u64;
        let mut decoder = GzDecoder::new(bytes).take(limit + 1);
        decoder.read_to_string(&mut text).map_err(|_| damaged("cannot be unpacked"))?;
        let text = Secret::from(text);
        if text.expose().len() as u64 > limit {
            return Err(damaged("is larger than any copy may be"));
        }
        let read: BTreeMap<String, String> =
            serde_json::from_str(text.expose()).map_err(|_| damaged("cannot be read"))?;
        let files = read.into_iter().map(|(name, text)| (name, Secret::from(text)));
        let files = files.filter(|(name, _)| is_copied(name)).collect();
        let digest = Digest::of(text.expose().as_bytes()).hex();
        let mut content = Self { cluster: String::new(), files, digest };
        content.cluster = content.clusterfile()?.cluster.name;
        Ok(content)
    }

    fn text(&self) -> Result<Secret, Error> {
        let files: BTreeMap<_, _> = self.files.iter().map(|(name, text)| (name, text.expose())).collect();
        let text = serde_json::to_string(&files);
        text.map(Secret::from).map_err(|error| Error::CopyDamaged { reason: error.to_string() })
    }
}

/// Whether a file is part of a copy. A name decides where a file is written, so nothing else is accepted.
fn is_copied(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    FILES.contains(&name)
        || name.strip_prefix(PKI).is_some_and(|file| {
            file.starts_with(|first: char| first.is_ascii_alphanumeric()) && file.bytes().all(plain)
        })
}

/// The same file without passwords and passphrases of logins, and without paths of keys: those are of one operator.
pub(crate) fn without_logins(mut file: Clusterfile) -> Clusterfile {
    for ssh in logins(&mut file.cluster) {
        (ssh.password, ssh.private_key, ssh.private_key_password) = (None, None, None);
        for jump in &mut ssh.jump {
            (jump.password, jump.private_key, jump.private_key_password) = (None, None, None);
        }
    }
    file
}

/// The login of the cluster and those of its hosts.
pub(crate) fn logins(cluster: &mut Cluster) -> impl Iterator<Item = &mut Ssh> {
    std::iter::once(&mut cluster.ssh).chain(cluster.hosts.iter_mut().map(|host| &mut host.ssh))
}
