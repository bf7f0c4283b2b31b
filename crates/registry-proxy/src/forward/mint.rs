//! Makes certificates for the hosts that are asked for, signed by a given CA.

use crate::error::{Error, Result};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// For how long a certificate is good; the next one is made a day before.
const LIFETIME: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 3600;
/// Clocks differ.
const EARLIER: Duration = Duration::from_secs(3600);
/// The most hosts that certificates are kept for; then they are made again.
const LIMIT: usize = 1000;

/// A CA and the certificates that it signed.
pub(super) struct Mint {
    issuer: Issuer<'static, KeyPair>,
    authority: Vec<CertificateDer<'static>>,
    /// The key of all certificates.
    key: KeyPair,
    minted: Mutex<HashMap<String, (Instant, TlsAcceptor)>>,
}

impl std::fmt::Debug for Mint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Mint { issuer: *** }")
    }
}

impl Mint {
    /// Checks certificate and key of the CA (PEM).
    pub(super) fn new(cert_pem: &str, key_pem: &str) -> Result<Self> {
        let fail = |object, reason: String| Error::Tls { object, reason };
        let key = KeyPair::from_pem(key_pem)
            .map_err(|_| fail("key of the CA", "the text holds no readable private key".to_owned()))?;
        let authority: Vec<_> = CertificateDer::pem_slice_iter(cert_pem.as_bytes())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| fail("certificate of the CA", error.to_string()))?;
        let issuer = Issuer::from_ca_cert_pem(cert_pem, key)
            .map_err(|error| fail("certificate of the CA", error.to_string()))?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| fail("key of minted certificates", error.to_string()))?;
        let mint = Self { issuer, authority, key, minted: Mutex::default() };
        // A CA that cannot sign is found out now.
        mint.sign("localhost")?;
        Ok(mint)
    }

    /// What a TLS server for the host needs.
    pub(super) fn acceptor(&self, host: &str) -> Result<TlsAcceptor> {
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, acceptor)) = minted.get(host)
            && *until > Instant::now()
        {
            return Ok(acceptor.clone());
        }
        let acceptor = self.sign(host)?;
        if minted.len() >= LIMIT {
            minted.clear();
        }
        minted.insert(host.to_owned(), (Instant::now() + LIFETIME - Duration::from_secs(DAY), acceptor.clone()));
        Ok(acceptor)
    }

    fn sign(&self, host: &str) -> Result<TlsAcceptor> {
        let fail = |reason: String| Error::Tls { object: "certificate that was minted", reason };
        let mut params = CertificateParams::new([host.to_owned()]).map_err(|error| fail(error.to_string()))?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - EARLIER, now + LIFETIME);
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(|error| fail(error.to_string()))?;
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.authority.iter().cloned());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| fail(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
