//! Certificate and key of the registry, and its TLS configuration.

use crate::error::{Error, Result};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Certificate chain and key of a registry.
#[derive(Clone)]
#[non_exhaustive]
pub struct Tls {
    /// The certificate (PEM) with those that lead to the CA.
    pub cert_pem: String,
    /// Its private key (PEM: PKCS#8, PKCS#1 or SEC1).
    pub key_pem: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tls { cert_pem, key_pem: *** }")
    }
}

impl Tls {
    /// A certificate chain and its private key, both PEM. They are checked when a server starts.
    pub fn new(cert_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        Self { cert_pem: cert_pem.into(), key_pem: key_pem.into() }
    }

    /// Checks certificate and key and makes an acceptor that offers HTTP/2 and HTTP/1.1.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor> {
        let fail = |object, reason: String| Error::Tls { object, reason };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(self.cert_pem.as_bytes())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| fail("certificate", error.to_string()))?;
        if chain.is_empty() {
            return Err(fail("certificate", "the text holds none".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|_| fail("key", "the text holds no readable private key".to_owned()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| fail("certificate", error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The certificate in `directory`, made when it is missing: signed by itself, for `names` (their ports are ignored), the address and loopback.
pub(crate) fn minted(directory: &Path, names: &[String], address: IpAddr) -> Result<Tls> {
    const LIMIT: u64 = 64 << 10;
    let [cert, key] = ["registry.crt", "registry.key"].map(|name| directory.join(name));
    let read = |path: &Path| atomic_file::read_text(path, LIMIT).map_err(Error::file("read", path));
    if let (Some(cert), Some(key)) = (read(&cert)?, read(&key)?) {
        return Ok(Tls::new(cert, key));
    }
    let host = |name: &String| match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ => name.clone(),
    };
    let mut hosts: Vec<String> = names.iter().map(host).collect();
    hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    if !address.is_unspecified() && !address.is_loopback() {
        hosts.push(address.to_string());
    }
    let fail = |error: rcgen::Error| Error::Tls { object: "certificate", reason: error.to_string() };
    let pair = KeyPair::generate().map_err(fail)?;
    let made = CertificateParams::new(hosts).and_then(|params| params.self_signed(&pair)).map_err(fail)?;
    atomic_file::create_dir(directory, 0o755).map_err(Error::file("create", directory))?;
    let tls = Tls::new(made.pem(), pair.serialize_pem());
    // The key first: a certificate that is there has its key.
    atomic_file::write(&key, tls.key_pem.as_bytes(), 0o600).map_err(Error::file("write", &key))?;
    atomic_file::write(&cert, tls.cert_pem.as_bytes(), 0o644).map_err(Error::file("write", &cert))?;
    Ok(tls)
}
