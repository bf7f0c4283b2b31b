//! Lets in who knows a user name and its password, or has a token for them, without paying for bcrypt with every request.

use crate::htpasswd::Htpasswd;
use crate::token::Tokens;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use content_store::Digest;
use http::HeaderValue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Passwords compared at once; each takes a processor for a while, so more wait.
const CHECKS: usize = 2;
/// What the password of an unknown user is compared with, so that it takes as long to refuse: no password has it.
const NOBODY: &str = "$2y$10$.....................................................";

/// Compares logins with an `htpasswd` file.
#[derive(Debug)]
pub(crate) struct Authenticator {
    users: Arc<Htpasswd>,
    /// By user, the digest of the login that was let in: at most one for each user of the file.
    admitted: Mutex<HashMap<String, Digest>>,
    checks: Semaphore,
    /// For clients that may pull without a login.
    tokens: Option<Tokens>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A user who logged in.
    User(String),
    /// Somebody with a token that nobody logged in for.
    Anonymous,
    /// Somebody without a login, or with a wrong one.
    Unknown,
}

impl Authenticator {
    /// With `anonymous_pull`, there are tokens.
    pub(crate) fn new(users: Htpasswd, anonymous_pull: bool) -> Self {
        let tokens = anonymous_pull.then(Tokens::new).flatten();
        Self { users: Arc::new(users), admitted: Mutex::default(), checks: Semaphore::new(CHECKS), tokens }
    }

    /// Whose login or token the value of `Authorization` is.
    pub(crate) async fn client(&self, authorization: Option<&HeaderValue>) -> Client {
        let token = authorization.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if let (Some(tokens), Some(token)) = (&self.tokens, token) {
            return match tokens.user(token) {
                Some(user) if user.is_empty() => Client::Anonymous,
                Some(user) => Client::User(user),
                None => Client::Unknown,
            };
        }
        match authorization.and_then(login) {
            Some((user, _)) if self.admits(authorization).await => Client::User(user),
            _ => Client::Unknown,
        }
    }

    /// A token for who asks; none when a login was sent that is wrong, or there are no tokens here.
    pub(crate) async fn token(&self, authorization: Option<&HeaderValue>) -> Option<String> {
        let tokens = self.tokens.as_ref()?;
        match self.client(authorization).await {
            Client::User(user) => Some(tokens.issue(&user)),
            _ if authorization.is_none() => Some(tokens.issue("")),
            _ => None,
        }
    }

    /// The value of `WWW-Authenticate`: where a token is had, or that a login is wanted.
    pub(crate) fn challenge(&self, base: &str, repository: Option<&str>) -> String {
        let scope = repository.map(|path| format!(",scope=\"repository:{path}:pull,push\"")).unwrap_or_default();
        match self.tokens {
            Some(_) => format!("Bearer realm=\"{base}/token\",service=\"sealer\"{scope}"),
            None => "Basic realm=\"sealer\"".to_owned(),
        }
    }

    /// Whether the value of `Authorization` is the login of a user.
    pub(crate) async fn admits(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some((user, password)) = authorization.and_then(login) else { return false };
        let digest = Digest::of(format!("{user}:{password}").as_bytes());
        if self.was_admitted(&user, &digest) {
            return true;
        }
        let Ok(_turn) = self.checks.acquire().await else { return false };
        // Of many requests that came at once with one login, the first was compared.
        if self.was_admitted(&user, &digest) {
            return true;
        }
        let (users, name) = (Arc::clone(&self.users), user.clone());
        let compared = tokio::task::spawn_blocking(move || {
            let hash = users.hash(&name);
            let same = bcrypt::verify(password, hash.unwrap_or(NOBODY)).unwrap_or(false);
            same && hash.is_some()
        });
        let admitted = compared.await.unwrap_or(false);
        if admitted {
            self.admitted.lock().unwrap_or_else(PoisonError::into_inner).insert(user, digest);
        }
        admitted
    }

    fn was_admitted(&self, user: &str, digest: &Digest) -> bool {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        admitted.get(user).is_some_and(|known| known.hex().as_bytes().ct_eq(digest.hex().as_bytes()).into())
    }
}

/// User name and password of a Basic login.
fn login(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    fn basic(login: &str) -> HeaderValue {
        format!("Basic {}", STANDARD.encode(login)).parse().unwrap()
    }

    fn authenticator() -> Authenticator {
        let hash = bcrypt::hash("a:b", 10).unwrap();
        Authenticator::new(Htpasswd::parse(&format!("puller:{hash}")).unwrap(), false)
    }

    #[tokio::test]
    async fn only_the_user_with_the_password_is_let_in() {
        let authenticator = authenticator();
        assert!(authenticator.admits(Some(&basic("puller:a:b"))).await);
        assert!(
            authenticator
                .admits(Some(&basic("puller:a:b").to_str().unwrap().replace("Basic", "basic").parse().unwrap()))
                .await
        );
        for wrong in ["puller:a", "puller:", "other:a:b", ":", "puller"] {
            assert!(!authenticator.admits(Some(&basic(wrong))).await, "{wrong}");
        }
        for wrong in ["Basic", "Basic %", "Bearer cHVsbGVyOmE6Yg==", ""] {
            assert!(!authenticator.admits(Some(&wrong.parse().unwrap())).await, "{wrong}");
        }
        assert!(!authenticator.admits(None).await);
        assert_eq!(authenticator.admitted.lock().unwrap().len(), 1, "who is refused is not remembered");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_requests_with_one_login_cost_one_comparison() {
        let authenticator = Arc::new(authenticator());
        let started = Instant::now();
        assert!(!authenticator.admits(Some(&basic("puller:x"))).await);
        let one = started.elapsed();
        assert!(authenticator.admits(Some(&basic("puller:a:b"))).await);
        let started = Instant::now();
        for _ in 0..200 {
            assert!(authenticator.admits(Some(&basic("puller:a:b"))).await);
        }
        assert!(started.elapsed() < one.max(Duration::from_millis(20)), "{:?}, one takes {one:?}", started.elapsed());
        let started = Instant::now();
        assert!(!authenticator.admits(Some(&basic("nobody:x"))).await);
        assert!(started.elapsed() > one / 4, "an unknown user is refused as slowly as a wrong password");
    }
}
