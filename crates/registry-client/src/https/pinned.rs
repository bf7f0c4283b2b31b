//! Trusts the certificates that were given for a host also where they are the host's own.
//!
//! A certificate that signs itself usually calls itself an authority, and the rules for chains let no authority be a server. Who gave it for
//! this very host means that server, as docker and podman understand it.

use super::certificates::Certificates;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::sync::Arc;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// TLS for a host with certificates of its own: the system's authorities count, too.
pub(super) fn config(certificates: &Certificates) -> Result<ClientConfig, Error> {
    let provider: Arc<CryptoProvider> = aws_lc_rs::default_provider().into();
    let chains = Verifier::new_with_extra_roots(certificates.authorities.clone(), provider.clone())?;
    let verifier = Pinned { chains, certificates: certificates.authorities.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &certificates.identity {
        Some(identity) => config.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct Pinned {
    chains: Verifier,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.or_else(|error| {
            let is_given = self.certificates.iter().any(|given| given == end_entity);
            let is_fine = is_given && names(end_entity, server_name) && is_in_time(end_entity, now);
            if is_fine { Ok(ServerCertVerified::assertion()) } else { Err(error) }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn names(certificate: &CertificateDer<'_>, server_name: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, server_name).is_ok())
}

fn is_in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    let parsed = X509Certificate::from_der(certificate);
    now.zip(parsed.ok()).is_some_and(|(now, (_, parsed))| parsed.validity().is_valid_at(now))
}
