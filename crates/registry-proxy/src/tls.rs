//! Certificate and key of the registry, and its TLS configuration.

use crate::error::{Error, Result};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
