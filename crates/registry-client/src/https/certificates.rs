//! What a host is trusted by, and how it is told who asks: certificates for all hosts and for one.

use super::Options;
use super::endpoint::host_of;
use crate::error::{Error, Result};
use crate::login::HUB_HOST;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest file of certificates, or key, that is read, in bytes.
const LIMIT: u64 = 1 << 20;
/// The most files of one directory that are read.
const COUNT_LIMIT: usize = 256;

/// Certificates besides those of the system.
#[derive(Debug)]
pub(super) struct Certificates {
    /// To trust.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// To show to a host that wants to see one.
    pub(super) identity: Option<Identity>,
    /// Whether some of them are for one host alone.
    pub(super) is_own: bool,
}

/// A certificate with those that lead to its authority, and its key.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Its `Debug` shows nothing of it.
    pub(super) key: PrivateKeyDer<'static>,
    /// The same for a client that makes its own TLS.
    pub(super) whole: reqwest::Identity,
}

/// Checks the certificates among the options.
pub(super) fn check(options: &Options) -> Result<()> {
    given("extra_ca", None, &options.extra_ca)?;
    options.host_ca.iter().try_for_each(|(host, pems)| given("host_ca", Some(host), pems).map(drop))
}

/// The certificates for a host. Its directories are read now.
pub(super) fn of_host(options: &Options, host: &str) -> Result<Certificates> {
    let own = options.host_ca.iter().filter(|(registry, _)| host_of(registry) == host);
    let own: Vec<&String> = own.flat_map(|(_, pems)| pems).collect();
    let is_own = !own.is_empty();
    let mut authorities = given("extra_ca", None, &options.extra_ca)?;
    authorities.extend(given("host_ca", Some(host), own)?);
    let mut found = Certificates { authorities, is_own, identity: None };
    for (_, directory) in options.host_certificates.iter().filter(|(registry, _)| host_of(registry) == host) {
        read_directory(directory, &mut found)?;
    }
    for directory in &options.certificate_directories {
        read_directory(&directory.join(host), &mut found)?;
        if host == host_of(HUB_HOST) {
            read_directory(&directory.join(HUB_HOST), &mut found)?;
        }
    }
    Ok(found)
}

/// The certificates of an option, which may be for one host.
fn given<'a>(
    option: &'static str,
    host: Option<&str>,
    pems: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<CertificateDer<'static>>> {
    let place = host.map(|host| format!("{host}: ")).unwrap_or_default();
    let wrong = |reason| Error::InvalidOption { option, reason: format!("{place}{reason}") };
    let parsed: Result<Vec<_>, String> = pems.into_iter().map(|pem| authorities(pem)).collect();
    parsed.map(|parsed| parsed.concat()).map_err(wrong)
}

/// Reads a directory as docker does: `*.crt` are authorities, `NAME.cert` and `NAME.key` a certificate to show and its key.
fn read_directory(directory: &Path, found: &mut Certificates) -> Result<()> {
    let failed = |path: &Path, reason: String| Error::InvalidOption {
        option: "certificates of a registry",
        reason: format!("{}: {reason}", path.display()),
    };
    let mut paths: Vec<PathBuf> = match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).take(COUNT_LIMIT).collect(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(failed(directory, error.to_string())),
    };
    paths.sort();
    let read = |path: &Path| read_text(path).map_err(|error| failed(path, error.to_string()));
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => {
                found.authorities.extend(authorities(&read(&path)?).map_err(|reason| failed(&path, reason))?)
            }
            Some("cert") => {
                let (certificates, key) = (read(&path)?, read(&path.with_extension("key"))?);
                let wrong = || failed(&path, "it and the .key beside it are no certificate and key in PEM".to_owned());
                found.identity = Some(identity(&certificates, &key).ok_or_else(wrong)?);
            }
            _ => continue,
        }
        found.is_own = true;
    }
    Ok(())
}

fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    let text = atomic_file::read_text(path, LIMIT)?;
    text.map(Zeroizing::new).ok_or_else(|| io::Error::new(ErrorKind::NotFound, "it is missing"))
}

/// The clients pass over what is no certificate; a user wants to know.
fn authorities(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut roots = rustls::RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
        found.push(certificate);
    }
    if found.is_empty() { Err("the text holds no certificate".to_owned()) } else { Ok(found) }
}

fn identity(certificates: &str, key: &str) -> Option<Identity> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect::<Result<_, _>>().ok()?;
    let whole = Zeroizing::new(format!("{certificates}\n{key}"));
    let whole = reqwest::Identity::from_pem(whole.as_bytes()).ok()?;
    Some(Identity { chain, key: PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?, whole })
}
