//! Gets and keeps the tokens and passwords that open a repository.

use super::Options;
use super::endpoint::{Endpoint, Scheme};
use super::login::{DockerConfig, Login};
use super::trust::{self, Clients};
use crate::error::{Error, Result, shorten};
use crate::wire::Object;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// The longest time for the exchange of a login for a token.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Host, repository, and whether it may be written.
type Key = (String, String, bool);

/// Gets tokens and remembers them for as long as they open the door.
pub(super) struct Authenticator {
    given: BTreeMap<String, (String, Zeroizing<String>)>,
    logins: Arc<DockerConfig>,
    known: Mutex<HashMap<Key, Arc<OnceCell<Access>>>>,
    advice: Mutex<HashMap<String, String>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authenticator").field("given", &self.given.keys()).finish_non_exhaustive()
    }
}

/// What goes into the request.
#[derive(Clone)]
pub(super) enum Access {
    Anonymous,
    Token(Zeroizing<String>),
    Password(String, Zeroizing<String>),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Token(_) => "Token(***)",
            Self::Password(..) => "Password(***)",
        })
    }
}

impl Access {
    pub(super) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Anonymous => request,
            Self::Token(token) => request.bearer_auth(token.as_str()),
            Self::Password(user, password) => request.basic_auth(user, Some(password.as_str())),
        }
    }
}

impl Authenticator {
    pub(super) fn new(options: &Options) -> Self {
        let logins = DockerConfig::new(options.docker_config.clone(), options.run_credential_helpers);
        let given = options.logins.clone();
        Self { given, logins: Arc::new(logins), known: Mutex::default(), advice: Mutex::default() }
    }

    /// What opens the repository, asked for once however many transfers want it.
    pub(super) async fn access(
        &self,
        endpoint: &Endpoint,
        scheme: Scheme,
        object: &Object<'_>,
        writes: bool,
        clients: &Clients,
    ) -> Result<Access> {
        let cell = lock(&self.known).entry(key(endpoint, object, writes)).or_default().clone();
        cell.get_or_try_init(|| self.ask(endpoint, scheme, object, writes, clients)).await.cloned()
    }

    /// The registry refuses what it gave before: tokens get old.
    pub(super) fn forget(&self, endpoint: &Endpoint, object: &Object<'_>, writes: bool) {
        lock(&self.known).remove(&key(endpoint, object, writes));
    }

    /// Adds to a refusal what can be done about it.
    pub(super) fn explain(&self, endpoint: &Endpoint, error: Error) -> Error {
        match (error, lock(&self.advice).get(&endpoint.host)) {
            (Error::Unauthorised { object, host, reason }, Some(advice)) => {
                Error::Unauthorised { object, host, reason: format!("{reason} ({advice})") }
            }
            (error, _) => error,
        }
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        scheme: Scheme,
        object: &Object<'_>,
        writes: bool,
        clients: &Clients,
    ) -> Result<Access> {
        let host = &endpoint.host;
        if let Some((user, password)) = self.given.get(host) {
            return Ok(Access::Password(user.clone(), password.clone()));
        }
        let login = self.login(host).await?;
        lock(&self.advice).insert(host.clone(), login.advice());
        let auth = match &login {
            Login::Password { user, password } => RegistryAuth::Basic(user.clone(), password.to_string()),
            _ => RegistryAuth::Anonymous,
        };
        let reference = Reference::with_tag(host.clone(), object.image().repository().to_owned(), "latest".to_owned());
        let operation = if writes { RegistryOperation::Push } else { RegistryOperation::Pull };
        let client = clients.tokens(scheme, host)?;
        let exchange = tokio::time::timeout(TIMEOUT, client.auth(&reference, &auth, operation));
        let token = match exchange.await {
            Ok(Ok(token)) => token,
            Ok(Err(OciDistributionError::RequestError(error))) => {
                return Err(trust::transport(&object.title(), host, error));
            }
            Ok(Err(error)) => {
                let refused = Error::Unauthorised {
                    object: object.title(),
                    host: host.clone(),
                    reason: shorten(&error.to_string(), 300),
                };
                return Err(self.explain(endpoint, refused));
            }
            Err(late) => {
                return Err(Error::Interrupted { object: object.title(), host: host.clone(), source: late.into() });
            }
        };
        Ok(match (token, login) {
            (Some(token), _) => Access::Token(Zeroizing::new(token)),
            (None, Login::Password { user, password }) => Access::Password(user, password),
            (None, _) => Access::Anonymous,
        })
    }

    async fn login(&self, host: &str) -> Result<Login> {
        let (logins, name) = (self.logins.clone(), host.to_owned());
        let failed = |reason: String| Error::InvalidOption { option: "docker_config", reason };
        let found = tokio::task::spawn_blocking(move || logins.of(&name));
        let late = |_| failed(format!("the credential helper for {host} does not answer"));
        tokio::time::timeout(TIMEOUT, found).await.map_err(late)?.map_err(|error| failed(error.to_string()))?
    }
}

fn key(endpoint: &Endpoint, object: &Object<'_>, writes: bool) -> Key {
    (endpoint.host.clone(), object.image().repository().to_owned(), writes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
