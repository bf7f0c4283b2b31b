//! Verifies who a server is, and says what is wrong with its certificate.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::check::{TlsCheck, Trust};
use super::{Unhealthy, UnhealthyKind, failure as failures};
use crate::{Error, Result};

/// Begins TLS connections to servers.
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// Reads certificates and keys; refuses a CA without a certificate.
    pub(super) fn new(check: &TlsCheck) -> Result<Self> {
        let server_name = check.server_name.clone().map(|name| {
            ServerName::try_from(name.clone())
                .map_err(|_| invalid("server name", format!("{name:?} is neither a DNS name nor an IP address")))
        });
        let mut provider = aws_lc_rs::default_provider();
        // Answers about health need no secrecy from the computers of the future; this saves a kilobyte and a quarter
        // of the time of each handshake.
        provider.kx_groups =
            vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::SECP384R1];
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("TLS", error.to_string()))?;
        let builder = match &check.trust {
            Trust::Authorities(pem) => builder.with_root_certificates(authorities(pem)?),
            Trust::SkipVerify => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification { provider }))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session shows no certificate, and certificates are what fresh connections are for.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), server_name: server_name.transpose()? })
    }

    /// Performs the handshake on a connection.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        server: IpAddr,
    ) -> std::result::Result<TlsStream<TcpStream>, Unhealthy> {
        let name = self.server_name.clone().unwrap_or_else(|| ServerName::from(server));
        let connecting = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream);
        connecting.await.map_err(|error| failures::handshake(&error))
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// What a TLS error says about the server.
pub(super) fn failure(error: &rustls::Error) -> Unhealthy {
    use rustls::Error as Tls;
    let reason = match error {
        Tls::InvalidCertificate(error) => certificate(error),
        Tls::AlertReceived(alert) => format!("refused the TLS handshake ({alert:?})"),
        Tls::InvalidMessage(_) => "does not speak TLS".to_owned(),
        Tls::NoApplicationProtocol => "does not speak HTTP/1.1 over TLS".to_owned(),
        Tls::PeerIncompatible(error) => format!("speaks no common version of TLS ({error:?})"),
        other => format!("TLS failed: {other}"),
    };
    Unhealthy { kind: UnhealthyKind::Tls, reason }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("its certificate expired {} ago", span(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let wait = span(not_before.as_secs().saturating_sub(time.as_secs()));
            format!("its certificate is valid in {wait} only; is a clock wrong?")
        }
        CertificateError::UnknownIssuer => "its certificate is not signed by the given CA".to_owned(),
        CertificateError::BadSignature => "its certificate's signature is wrong".to_owned(),
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // As many names as fit a line; they come from outside.
            let names: Vec<String> = presented.iter().take(4).map(|name| name.chars().take(64).collect()).collect();
            let more = if presented.len() > names.len() { ", …" } else { "" };
            format!("its certificate is for {}{more}, not for {}", names.join(", "), expected.to_str())
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// A span of time in its largest unit.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        86_400.. => (seconds / 86_400, "day"),
        3_600.. => (seconds / 3_600, "hour"),
        60.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn authorities(pem: &[u8]) -> Result<RootCertStore> {
    let certificates = certificates("CA", pem)?;
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(certificates);
    // A bundle of a system may hold a curious certificate; a CA of which nothing is left trusts nobody.
    if roots.is_empty() {
        return Err(invalid("CA", format!("none of its {ignored} certificates can be understood")));
    }
    Ok(roots)
}

fn certificates(part: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| invalid(part, format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(invalid(part, "the text holds no certificate (PEM)".to_owned()));
    }
    Ok(certificates)
}

fn invalid(part: &'static str, reason: String) -> Error {
    Error::Check { part, reason }
}

/// Accepts any certificate. Signatures are not looked at either: whoever shows a certificate of his own making also
/// has its key, so that they prove nothing here.
#[derive(Debug)]
struct NoVerification {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
