//! Gets and keeps the tokens and passwords that open a repository.

use super::Options;
use super::challenge::{Challenge, challenge};
use super::endpoint::{Endpoint, Scheme, host_of, is_loopback};
use super::token::{self, TokenRequest};
use super::trust::{self, Clients};
use crate::error::{Error, Result, shorten};
use crate::login::{Found, Login, LoginFiles};
use crate::wire::Object;
use http::{HeaderMap, StatusCode};
use reqwest::Url;
use secret::Secret;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// The most tokens that are kept, and the most hosts of which something is known.
const LIMIT: usize = 4096;
/// A token that is good for less than this is not used for another request.
const LEAST_LIFETIME: Duration = Duration::from_secs(2);

/// What a request wants to do, and therefore what a token must allow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    repository: String,
    writes: bool,
    /// Another repository that a blob is taken from.
    from: Option<String>,
}

impl Scope {
    /// What a request about the object does.
    pub(super) fn new(object: &Object<'_>, writes: bool, from: Option<&str>) -> Self {
        Self { repository: object.image().repository().to_owned(), writes, from: from.map(str::to_owned) }
    }

    fn texts(&self) -> Vec<String> {
        let actions = if self.writes { "pull,push" } else { "pull" };
        let own = format!("repository:{}:{actions}", self.repository);
        std::iter::once(own).chain(self.from.iter().map(|from| format!("repository:{from}:pull"))).collect()
    }
}

/// Host and what is done there.
type Key = (String, Scope);

/// Gets tokens and remembers them for as long as they open the door.
#[derive(Debug)]
pub(super) struct Authenticator {
    /// Users and passwords that are sent as they are.
    basic: BTreeMap<String, (String, Secret)>,
    known_logins: BTreeMap<String, Login>,
    logins: LoginFiles,
    /// Hosts that a login may be sent to in the clear.
    insecure: BTreeSet<String>,
    challenges: Mutex<HashMap<String, Arc<OnceCell<Challenge>>>>,
    known: Mutex<HashMap<Key, Arc<OnceCell<Access>>>>,
    /// Identity tokens that a token server gave in the place of those that it got.
    identities: Mutex<HashMap<String, Secret>>,
    advice: Mutex<HashMap<String, String>>,
}

/// What goes into the request, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    credential: Credential,
    until: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Credential {
    Anonymous,
    Token(Secret),
    Password(String, Secret),
}

impl Access {
    const ANONYMOUS: Self = Self { credential: Credential::Anonymous, until: None };

    fn password(user: &str, password: &Secret) -> Self {
        Self { credential: Credential::Password(user.to_owned(), password.clone()), until: None }
    }

    fn token(token: &token::Token) -> Self {
        let until = Instant::now() + token.lifetime;
        Self { credential: Credential::Token(token.value.clone()), until: Some(until) }
    }

    fn is_old(&self) -> bool {
        self.until.is_some_and(|until| until < Instant::now() + LEAST_LIFETIME)
    }

    pub(super) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.credential {
            Credential::Anonymous => request,
            Credential::Token(token) => request.bearer_auth(token.expose()),
            Credential::Password(user, password) => request.basic_auth(user, Some(password.expose())),
        }
    }
}

impl Authenticator {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            basic: options.basic_logins.clone(),
            known_logins: options
                .known_logins
                .iter()
                .map(|(host, login)| (host_of(host).to_owned(), login.clone()))
                .collect(),
            logins: options.logins.clone(),
            insecure: options.insecure.union(&options.plain_http).cloned().collect(),
            challenges: Mutex::default(),
            known: Mutex::default(),
            identities: Mutex::default(),
            advice: Mutex::default(),
        }
    }

    /// What opens the repository, asked for once however many transfers want it, and again when it gets old.
    pub(super) async fn access(
        &self,
        endpoint: &Endpoint,
        scheme: Scheme,
        object: &Object<'_>,
        scope: &Scope,
        clients: &Clients,
    ) -> Result<Access> {
        let cell = {
            let mut known = lock(&self.known);
            make_room(&mut known, |cell| cell.get().is_some_and(Access::is_old));
            let cell = known.entry((endpoint.host.clone(), scope.clone())).or_default();
            if cell.get().is_some_and(Access::is_old) {
                *cell = Arc::default();
            }
            cell.clone()
        };
        cell.get_or_try_init(|| self.ask(endpoint, scheme, object, scope, clients)).await.cloned()
    }

    /// The registry refuses what it got: tokens get old, and not every registry says at once what it wants.
    pub(super) fn refused(&self, endpoint: &Endpoint, scope: &Scope, access: &Access, headers: &HeaderMap) {
        let mut known = lock(&self.known);
        let key = (endpoint.host.clone(), scope.clone());
        // Another transfer may have a new one already.
        if known.get(&key).and_then(|cell| cell.get()) == Some(access) {
            known.remove(&key);
        }
        drop(known);
        let wanted = challenge(headers);
        if wanted != Challenge::None {
            let mut challenges = lock(&self.challenges);
            make_room(&mut challenges, |_| false);
            challenges.insert(endpoint.host.clone(), Arc::new(OnceCell::new_with(Some(wanted))));
        }
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
        scope: &Scope,
        clients: &Clients,
    ) -> Result<Access> {
        let (host, title) = (&endpoint.host, object.title());
        if let Some((user, password)) = self.basic.get(host) {
            return Ok(Access::password(user, password));
        }
        let challenge = self.challenge(endpoint, scheme, &title, clients).await?;
        if challenge == Challenge::None {
            return Ok(Access::ANONYMOUS);
        }
        let login = self.login(endpoint, scope).await?;
        let Challenge::Bearer { realm, service } = challenge else {
            return Ok(match &login {
                Some(Login::Password { user, password }) => Access::password(user, password),
                // Who asks for a password cannot use a token.
                _ => Access::ANONYMOUS,
            });
        };
        let login = login.map(|login| self.renewed(host, login));
        let realm = self.realm(host, scheme, &title, &realm, login.is_some())?;
        let (scopes, service, login) = (scope.texts(), service.as_deref(), login.as_ref());
        let request = TokenRequest { host, title: &title, realm, service, scopes: &scopes, login, offline: false };
        let fetched = token::fetch(&clients.tokens(scheme, host)?, &request).await;
        let token = fetched.map_err(|error| {
            lock(&self.identities).remove(host);
            self.explain(endpoint, error)
        })?;
        self.remember_identity(host, login, &token);
        Ok(Access::token(&token))
    }

    /// The login that is kept for the repository. What can be done about its refusal is remembered.
    async fn login(&self, endpoint: &Endpoint, scope: &Scope) -> Result<Option<Login>> {
        let found = match self.known_logins.get(&endpoint.host) {
            Some(login) => Found::Login(login.clone()),
            None => self.logins.find(&endpoint.host, Some(&scope.repository)).await?,
        };
        {
            let mut advice = lock(&self.advice);
            make_room(&mut advice, |_| false);
            advice.insert(endpoint.host.clone(), found.advice(endpoint.name()));
        }
        Ok(match found {
            Found::Login(login) => Some(login),
            Found::Nothing | Found::Refused(_) => None,
        })
    }

    /// Checks a login, and says what to keep of it and whether the registry asked for it at all.
    pub(super) async fn check(
        &self,
        endpoint: &Endpoint,
        scheme: Scheme,
        login: &Login,
        clients: &Clients,
    ) -> Result<(Login, bool)> {
        let host = &endpoint.host;
        let title = format!("the login of {}", shorten(login.user(), 60));
        let (status, wanted) = ping(endpoint, scheme, &title, &Access::ANONYMOUS, clients).await?;
        let (access, kept) = match wanted {
            Challenge::None if status.is_success() => return Ok((login.clone(), false)),
            Challenge::None => return Err(no_registry(endpoint, status)),
            Challenge::Basic => match login {
                Login::Password { user, password } => (Access::password(user, password), login.clone()),
                Login::IdentityToken { .. } => {
                    let reason = "it takes a user and a password, and no identity token".to_owned();
                    return Err(Error::Unauthorised { object: title, host: endpoint.name().to_owned(), reason });
                }
            },
            Challenge::Bearer { realm, service } => {
                let realm = self.realm(host, scheme, &title, &realm, true)?;
                let (service, login_of) = (service.as_deref(), Some(login));
                let host = endpoint.name();
                let request =
                    TokenRequest { host, title: &title, realm, service, scopes: &[], login: login_of, offline: true };
                let token = token::fetch(&clients.tokens(scheme, &endpoint.host)?, &request).await?;
                let kept = token.identity.clone().map(|identity| Login::identity_token(login.user(), identity));
                (Access::token(&token), kept.unwrap_or_else(|| login.clone()))
            }
        };
        match ping(endpoint, scheme, &title, &access, clients).await? {
            (status, _) if status.is_success() => Ok((kept, true)),
            (status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), _) => Err(Error::Unauthorised {
                object: title,
                host: endpoint.name().to_owned(),
                reason: format!("{status}; check user and password"),
            }),
            (status, _) => Err(no_registry(endpoint, status)),
        }
    }

    /// What the host wants, asked for once.
    async fn challenge(
        &self,
        endpoint: &Endpoint,
        scheme: Scheme,
        title: &str,
        clients: &Clients,
    ) -> Result<Challenge> {
        let cell = {
            let mut challenges = lock(&self.challenges);
            make_room(&mut challenges, |_| false);
            challenges.entry(endpoint.host.clone()).or_default().clone()
        };
        let asked =
            || async { ping(endpoint, scheme, title, &Access::ANONYMOUS, clients).await.map(|(_, wanted)| wanted) };
        cell.get_or_try_init(asked).await.cloned()
    }

    /// The token server, which the registry may choose freely, as with docker and containerd: only what a login must not pass is refused.
    fn realm(&self, host: &str, scheme: Scheme, title: &str, realm: &str, has_login: bool) -> Result<Url> {
        let refuse = |reason: String| Error::Unauthorised { object: title.to_owned(), host: host.to_owned(), reason };
        let wrong = || refuse(format!("it names no usable token server: `{}`", shorten(realm, 120)));
        let url = Url::parse(realm).map_err(|_| wrong())?;
        if url.host_str().is_none() || !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() {
            return Err(wrong());
        }
        let server = token::server(&url);
        let is_allowed = scheme != Scheme::Https || is_loopback(&server) || self.insecure.contains(&server);
        if url.scheme() == "http" && has_login && !is_allowed {
            return Err(refuse(format!(
                "its token server {server} speaks plain HTTP, where everybody could read the login; name {server} as an insecure registry to allow it"
            )));
        }
        Ok(url)
    }

    /// The login, with the identity token that its server gave last.
    fn renewed(&self, host: &str, login: Login) -> Login {
        match (login, lock(&self.identities).get(host)) {
            (Login::IdentityToken { user, .. }, Some(token)) => Login::IdentityToken { user, token: token.clone() },
            (login, _) => login,
        }
    }

    fn remember_identity(&self, host: &str, login: Option<&Login>, token: &token::Token) {
        if let (Some(Login::IdentityToken { .. }), Some(identity)) = (login, &token.identity) {
            lock(&self.identities).insert(host.to_owned(), identity.clone());
        }
    }
}

/// Forgets what is old, else everything, before there is too much; what is forgotten is only asked for once more.
fn make_room<K: Eq + Hash, V>(known: &mut HashMap<K, V>, is_old: impl Fn(&V) -> bool) {
    if known.len() >= LIMIT {
        known.retain(|_, value| !is_old(value));
        if known.len() >= LIMIT {
            known.clear();
        }
    }
}

/// Asks whether this is a registry: the status of its answer, and what it wants.
async fn ping(
    endpoint: &Endpoint,
    scheme: Scheme,
    title: &str,
    access: &Access,
    clients: &Clients,
) -> Result<(StatusCode, Challenge)> {
    let host = &endpoint.host;
    let request = clients.transfer(scheme, host)?.get(format!("{}://{host}/v2/", scheme.as_str()));
    let answer = access.apply(request).send().await.map_err(|error| trust::transport(title, host, error))?;
    let wanted =
        if answer.status() == StatusCode::UNAUTHORIZED { challenge(answer.headers()) } else { Challenge::None };
    Ok((answer.status(), wanted))
}

fn no_registry(endpoint: &Endpoint, status: StatusCode) -> Error {
    let message = "this is no registry, or not its address".to_owned();
    Error::Answer { object: "the registry API".to_owned(), host: endpoint.name().to_owned(), status, message }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_bounded_and_the_old_goes_first() {
        let mut known: HashMap<usize, bool> = (0..LIMIT).map(|key| (key, key == 0)).collect();
        make_room(&mut known, |is_old| *is_old);
        assert_eq!(known.len(), LIMIT - 1);
        known.insert(0, false);
        make_room(&mut known, |is_old| *is_old);
        assert!(known.is_empty());
    }
}
