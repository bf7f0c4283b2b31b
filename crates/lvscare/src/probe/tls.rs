//! Verifies who a server is, and says what is wrong with its certificate.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::check::HealthConfig;
use super::metered::Metered;
use super::{Checked, Unhealthy, UnhealthyKind, failure as failures};
use crate::{Error, Result};

/// So many letters a reason has at most.
const MAX_REASON: usize = 300;

/// Begins TLS connections to servers.
pub(super) struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// Reads certificates and keys; refuses a CA without a certificate.
    pub(super) fn new(check: &HealthConfig, pem: &[u8]) -> Result<Self> {
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
        let builder = if check.is_verified() {
            builder.with_root_certificates(authorities(pem)?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification { provider }))
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session shows no certificate, and certificates are what fresh connections are for.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), server_name: server_name.transpose()? })
    }

    /// Performs the handshake on a connection.
    pub(super) async fn connect(&self, stream: Metered, server: IpAddr) -> Checked<TlsStream<Metered>> {
        let name = self.server_name.clone().unwrap_or_else(|| ServerName::from(server));
        let connecting = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream);
        connecting.await.map_err(|error| failures::talking(&error))
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
        other => format!("TLS failed: {other}"),
    };
    Unhealthy::new(UnhealthyKind::Tls, reason)
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as Certificate;
    match error {
        Certificate::Expired | Certificate::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is a clock wrong?".to_owned()
        }
        Certificate::UnknownIssuer => "its certificate is not signed by the given CA".to_owned(),
        // What the certificate says is as long as the server likes.
        other => format!("its certificate is not accepted: {other}").chars().take(MAX_REASON).collect(),
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    let certificates = certificates.map_err(|error| invalid("CA", format!("not PEM: {error}")))?;
    // A bundle of a system may hold a curious certificate; a CA of which nothing is left trusts nobody.
    match roots.add_parsable_certificates(certificates) {
        (0, 0) => Err(invalid("CA", "the text holds no certificate (PEM)".to_owned())),
        (0, ignored) => Err(invalid("CA", format!("none of its {ignored} certificates can be understood"))),
        _ => Ok(roots),
    }
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

type Verified = std::result::Result<HandshakeSignatureValid, rustls::Error>;

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Verified {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Verified {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
