//! Configures trusted certificates, and explains failed connections.

use super::Options;
use super::endpoint::Scheme;
use crate::error::{Cause, Error, Result};
use crate::http2::{CONNECTION_WINDOW, STREAM_WINDOW};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error as _;
use std::io;
use std::sync::OnceLock;

/// HTTP clients, made when first needed, because the system's certificates are read then.
pub(super) struct Clients {
    options: Options,
    certificates: Vec<reqwest::Certificate>,
    verified: OnceLock<reqwest::Client>,
    unverified: OnceLock<reqwest::Client>,
    tokens: [OnceLock<oci_client::Client>; 3],
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Clients").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Clients {
    pub(super) fn new(options: Options) -> Result<Self> {
        let mut certificates = Vec::new();
        for pem in &options.extra_ca {
            check_ca(pem)?;
            let parsed = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
            certificates.extend(parsed.map_err(|error| invalid_ca(error.to_string()))?);
        }
        for (option, url) in [("https_proxy", &options.https_proxy), ("http_proxy", &options.http_proxy)] {
            if url.as_ref().is_some_and(|url| reqwest::Proxy::all(url).is_err()) {
                return Err(Error::InvalidOption { option, reason: "it is not a URL".to_owned() });
            }
        }
        Ok(Self {
            options,
            certificates,
            verified: OnceLock::new(),
            unverified: OnceLock::new(),
            tokens: Default::default(),
        })
    }

    /// The client for manifests and blobs.
    pub(super) fn transfer(&self, scheme: Scheme, host: &str) -> Result<&reqwest::Client> {
        let (slot, verify) = match scheme {
            Scheme::Https => (&self.verified, true),
            Scheme::Unverified | Scheme::Http => (&self.unverified, false),
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.build(verify).map_err(|error| Error::Tls { host: host.to_owned(), source: error.into() })?;
        Ok(slot.get_or_init(|| client))
    }

    /// The client that exchanges logins for tokens.
    pub(super) fn tokens(&self, scheme: Scheme, host: &str) -> Result<&oci_client::Client> {
        let slot = &self.tokens[scheme as usize];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let pem = |text: &String| Certificate { encoding: CertificateEncoding::Pem, data: text.clone().into_bytes() };
        let config = |only_ours: bool| {
            let ours: Vec<Certificate> = self.options.extra_ca.iter().map(pem).collect();
            ClientConfig {
                protocol: if scheme == Scheme::Http { ClientProtocol::Http } else { ClientProtocol::Https },
                accept_invalid_certificates: scheme != Scheme::Https,
                tls_certs_only: if only_ours { ours.clone() } else { Vec::new() },
                extra_root_certificates: if only_ours { Vec::new() } else { ours },
                user_agent: self.options.user_agent,
                read_timeout: Some(self.options.idle_timeout),
                connect_timeout: Some(self.options.connect_timeout),
                https_proxy: self.options.https_proxy.clone(),
                http_proxy: self.options.http_proxy.clone(),
                no_proxy: self.options.no_proxy.clone(),
                ..ClientConfig::default()
            }
        };
        let built = oci_client::Client::try_from(config(false));
        let built = if built.is_err() && !self.options.extra_ca.is_empty() {
            oci_client::Client::try_from(config(true))
        } else {
            built
        };
        let client = built.map_err(|error| Error::Tls { host: host.to_owned(), source: error.into() })?;
        Ok(slot.get_or_init(|| client))
    }

    fn build(&self, verify: bool) -> reqwest::Result<reqwest::Client> {
        let built = self.builder(verify)?.tls_certs_merge(self.certificates.clone()).build();
        match built {
            // Machines without certificates of their own still have those that were given.
            Err(_) if verify && !self.certificates.is_empty() => {
                self.builder(verify)?.tls_certs_only(self.certificates.clone()).build()
            }
            built => built,
        }
    }

    fn builder(&self, verify: bool) -> reqwest::Result<reqwest::ClientBuilder> {
        let options = &self.options;
        let mut builder = reqwest::Client::builder()
            .user_agent(options.user_agent)
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.idle_timeout)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .tls_danger_accept_invalid_certs(!verify)
            .no_proxy();
        let direct = || options.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
        if let Some(url) = &options.https_proxy {
            builder = builder.proxy(reqwest::Proxy::https(url)?.no_proxy(direct()));
        }
        if let Some(url) = &options.http_proxy {
            builder = builder.proxy(reqwest::Proxy::http(url)?.no_proxy(direct()));
        }
        Ok(builder)
    }
}

/// What a request that got no answer, or only a part of one, means.
pub(super) fn transport(object: &str, host: &str, error: reqwest::Error) -> Error {
    // The URL may hold a signature, and says nothing that the message does not.
    let error = error.without_url();
    let host = host.to_owned();
    if is_tls(&error) {
        Error::Tls { host, source: innermost(error) }
    } else if error.is_connect() {
        Error::Unreachable { host, source: error.into() }
    } else {
        Error::Interrupted { object: object.to_owned(), host, source: error.into() }
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.is::<rustls::Error>())
}

/// The innermost cause, which is the one that says what is wrong with a certificate.
fn innermost(error: reqwest::Error) -> Cause {
    let text = causes(&error).last().map(ToString::to_string);
    text.map_or_else(|| error.into(), Into::into)
}

/// What caused the error, what caused that, and so on; also what an I/O error is wrapped around, which it does not call its source.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| inner(*cause))
}

fn inner<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The clients pass over what is no certificate; a user wants to know.
fn check_ca(pem: &str) -> Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| invalid_ca(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid_ca(error.to_string()))?;
    }
    if roots.is_empty() { Err(invalid_ca("the text holds no certificate".to_owned())) } else { Ok(()) }
}

fn invalid_ca(reason: String) -> Error {
    Error::InvalidOption { option: "extra_ca", reason }
}
