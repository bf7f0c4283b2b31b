//! Tests that a server is accepted only when it proves who it is.

use std::sync::Arc;

use lvscare::{HealthConfig, HealthProbe, UnhealthyKind};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::server::{Server, until_closed};
use crate::{assert_fails, check};

/// A certificate authority.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test CA");
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.pem().into_bytes()
    }

    /// An acceptor with a certificate for these names.
    pub(crate) fn server(&self, names: &[&str]) -> TlsAcceptor {
        self.acceptor(&params(names), false)
    }

    /// An acceptor that sends so many tickets after each handshake.
    pub(crate) fn talkative(&self, names: &[&str], tickets: usize) -> TlsAcceptor {
        let mut config = (**self.server(names).config()).clone();
        config.send_tls13_tickets = tickets;
        TlsAcceptor::from(Arc::new(config))
    }

    fn acceptor(&self, params: &CertificateParams, asks_client: bool) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.unwrap();
        let builder = if asks_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        // As the API server of Kubernetes does.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn trusting(authority: &Authority) -> HealthProbe {
    HealthProbe::new(&HealthConfig::default(), &authority.pem()).unwrap()
}

fn skipping() -> HealthProbe {
    HealthProbe::new(&HealthConfig { insecure_skip_verify: true, ..HealthConfig::default() }, &[]).unwrap()
}

fn named(name: &str) -> HealthConfig {
    HealthConfig { server_name: Some(name.to_owned()), ..HealthConfig::default() }
}

#[tokio::test]
async fn a_server_is_believed_by_address_or_name() {
    let authority = Authority::new();
    let by_address = Server::tls(authority.server(&["127.0.0.1"])).await;
    let asking = trusting(&authority);
    for _ in 0..10 {
        assert_eq!(check(&asking, by_address.address).await, Ok(()));
    }
    assert_eq!(by_address.connections(), 1, "one handshake serves many checks");

    let by_name = Server::tls(authority.server(&["kubernetes.default"])).await;
    let expecting = |name| HealthProbe::new(&named(name), &authority.pem()).unwrap();
    assert_eq!(check(&expecting("kubernetes.default"), by_name.address).await, Ok(()));
    let answer = check(&expecting("10.103.97.2"), by_address.address).await;
    assert_fails(answer, UnhealthyKind::Tls, "10.103.97.2");
    let answer = check(&asking, by_name.address).await;
    assert_fails(answer, UnhealthyKind::Tls, "127.0.0.1");
}

#[tokio::test]
async fn a_server_of_another_ca_is_not_believed() {
    let server = Server::tls(Authority::new().server(&["127.0.0.1"])).await;
    let asking = trusting(&Authority::new());
    assert_fails(check(&asking, server.address).await, UnhealthyKind::Tls, "certificate");
    assert_eq!(check(&skipping(), server.address).await, Ok(()));
}

#[tokio::test]
async fn a_certificate_counts_in_its_time_only() {
    let authority = Authority::new();
    let mut expired = params(&["127.0.0.1"]);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = params(&["127.0.0.1"]);
    early.not_before = rcgen::date_time_ymd(2400, 1, 1);
    early.not_after = rcgen::date_time_ymd(2500, 1, 1);
    for (params, words) in [(expired, "its certificate has expired"), (early, "not valid yet")] {
        let server = Server::tls(authority.acceptor(&params, false)).await;
        let asking = trusting(&authority);
        assert_fails(check(&asking, server.address).await, UnhealthyKind::Tls, words);
        assert_eq!(check(&skipping(), server.address).await, Ok(()));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with_bad_tls() {
    let talking = Server::raw(|mut stream, _| {
        Box::pin(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            until_closed(&mut stream).await;
        })
    })
    .await;
    assert_fails(check(&skipping(), talking.address).await, UnhealthyKind::Tls, "does not speak TLS");
    let shutting = Server::raw(|_, _| Box::pin(async {})).await;
    let answer = check(&skipping(), shutting.address).await.unwrap_err();
    assert_eq!(answer.kind, UnhealthyKind::Closed, "{answer}");

    let tls = Server::tls(Authority::new().server(&["127.0.0.1"])).await;
    let answer = check(&crate::http(), tls.address).await.unwrap_err();
    assert!(matches!(answer.kind, UnhealthyKind::Answer | UnhealthyKind::Closed), "{answer}");
}

#[test]
fn what_cannot_work_is_refused_at_once() {
    let authority = Authority::new();
    let refused = |pem: &[u8]| HealthProbe::new(&HealthConfig::default(), pem).map(drop).unwrap_err().to_string();
    let key = KeyPair::generate().unwrap().serialize_pem().into_bytes();
    assert_eq!(refused(&[]), "health check, CA: the text holds no certificate (PEM)");
    assert!(refused(&key).contains("holds no certificate"));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    assert!(refused(&broken).contains("none of its 1 certificates"));
    let unnamed = HealthProbe::new(&named("no name"), &authority.pem()).unwrap_err().to_string();
    assert!(unnamed.contains("no name"), "{unnamed}");
}
