//! Makes the HTTP clients that trust what the options say, and explains failed connections.

use super::Options;
use super::certificates::{self, Certificates};
use super::endpoint::{Scheme, host_of};
use super::pinned;
use crate::error::{Cause, Error, Result};
use crate::http2::{CONNECTION_WINDOW, STREAM_WINDOW};
use reqwest::redirect::Policy;
use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// HTTP clients, made when first needed, because the system's certificates are read then.
pub(super) struct Clients {
    options: Options,
    certificates: Mutex<HashMap<String, Arc<Certificates>>>,
    clients: Mutex<HashMap<Key, reqwest::Client>>,
}

/// What clients differ in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The host, where it has certificates of its own; the others share a client.
    host: Option<String>,
    verify: bool,
    purpose: Purpose,
}

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    /// Manifests and blobs. Registries redirect to their storage; the login does not go there.
    Transfer,
    /// Logins for tokens. They are not followed to another host: the login may be in the body.
    Tokens,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Clients").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Clients {
    pub(super) fn new(options: Options) -> Result<Self> {
        certificates::check(&options)?;
        for (option, url) in [("https_proxy", &options.https_proxy), ("http_proxy", &options.http_proxy)] {
            if url.as_ref().is_some_and(|url| reqwest::Proxy::all(url).is_err()) {
                return Err(Error::InvalidOption { option, reason: "it is not a URL".to_owned() });
            }
        }
        Ok(Self { options, certificates: Mutex::default(), clients: Mutex::default() })
    }

    /// The client for manifests and blobs.
    pub(super) fn transfer(&self, scheme: Scheme, host: &str) -> Result<reqwest::Client> {
        self.client(scheme, host, Purpose::Transfer)
    }

    /// The client that exchanges logins of this host for tokens.
    pub(super) fn tokens(&self, scheme: Scheme, host: &str) -> Result<reqwest::Client> {
        self.client(scheme, host, Purpose::Tokens)
    }

    fn client(&self, scheme: Scheme, host: &str, purpose: Purpose) -> Result<reqwest::Client> {
        let certificates = self.certificates(host)?;
        // That a registry speaks plain HTTP says nothing about where it redirects to, or about its token server.
        let is_insecure = || self.options.insecure.iter().any(|registry| host_of(registry) == host);
        let verify = scheme == Scheme::Https || (scheme == Scheme::Http && !is_insecure());
        let key = Key { host: certificates.is_own.then(|| host.to_owned()), verify, purpose };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let built = self.build(verify, purpose, &certificates);
        let client = built.map_err(|source| Error::Tls { host: host.to_owned(), source })?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// The certificates for a host, read once.
    fn certificates(&self, host: &str) -> Result<Arc<Certificates>> {
        if let Some(known) = self.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(host) {
            return Ok(known.clone());
        }
        let found = Arc::new(certificates::of_host(&self.options, host)?);
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), found.clone());
        Ok(found)
    }

    fn build(&self, verify: bool, purpose: Purpose, certificates: &Certificates) -> Result<reqwest::Client, Cause> {
        let builder = || {
            self.builder(verify).map(|builder| match purpose {
                Purpose::Transfer => builder,
                Purpose::Tokens => builder.redirect(Policy::custom(same_host)),
            })
        };
        if verify && certificates.is_own {
            let config = pinned::config(certificates)?;
            return Ok(builder()?.tls_backend_preconfigured(config).build()?);
        }
        let authorities = certificates.authorities.iter().map(|der| reqwest::Certificate::from_der(der));
        let authorities = authorities.collect::<reqwest::Result<Vec<_>>>()?;
        let builder = || -> reqwest::Result<reqwest::ClientBuilder> {
            let builder = builder()?;
            Ok(match &certificates.identity {
                Some(identity) => builder.identity(identity.whole.clone()),
                None => builder,
            })
        };
        Ok(match builder()?.tls_certs_merge(authorities.clone()).build() {
            // Machines without certificates of their own still have those that were given.
            Err(_) if verify && !authorities.is_empty() => builder()?.tls_certs_only(authorities).build()?,
            built => built?,
        })
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
        if let Some(path) = &options.unix_socket {
            builder = builder.unix_socket(path.as_path());
        }
        if let Some(url) = &options.http_proxy {
            builder = builder.proxy(reqwest::Proxy::http(url)?.no_proxy(direct()));
        }
        Ok(builder)
    }
}

/// Follows a redirect to the same host, and gives the answer that has it when it leads elsewhere.
fn same_host(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first();
    let is_same = first.is_some_and(|first| first.origin() == attempt.url().origin());
    if is_same && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
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
