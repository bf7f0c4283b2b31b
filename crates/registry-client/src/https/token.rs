//! Exchanges a login, or none, for a token: Docker's token protocol and its OAuth 2.0 form.

use super::trust;
use crate::error::{Error, Result, shorten};
use crate::login::Login;
use crate::wire;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, Url};
use secret::Secret;
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest time for the exchange.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read, in bytes.
const LIMIT: usize = 256 << 10;
/// How long a token is good when its server does not say, by the protocol.
const LIFETIME: Duration = Duration::from_secs(60);
/// No token is kept for longer than this.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// What token servers are told about who asks.
const CLIENT: &str = "sealer";

/// What is asked of a token server.
#[derive(Debug)]
pub(super) struct TokenRequest<'a> {
    /// The registry that wants the token.
    pub(super) host: &'a str,
    /// What the token is for, for messages.
    pub(super) title: &'a str,
    pub(super) realm: Url,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: &'a [String],
    pub(super) login: Option<&'a Login>,
    /// Also ask for an identity token, to keep it in the place of the password.
    pub(super) offline: bool,
}

/// What a token server gave.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    pub(super) lifetime: Duration,
    /// A (new) identity token.
    pub(super) identity: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

/// Asks for a token.
///
/// # Errors
///
/// [`Error::Unauthorised`] with what the server says about the login, without the secret; [`Error::Answer`] for other answers.
pub(super) async fn fetch(client: &reqwest::Client, request: &TokenRequest<'_>) -> Result<Token> {
    let done = tokio::time::timeout(TIMEOUT, exchange(client, request)).await;
    done.unwrap_or_else(|late| {
        let (object, host) = (request.title.to_owned(), server(&request.realm));
        Err(Error::Interrupted { object, host, source: late.into() })
    })
}

async fn exchange(client: &reqwest::Client, request: &TokenRequest<'_>) -> Result<Token> {
    let server = server(&request.realm);
    let prepared = match request.login {
        Some(Login::IdentityToken { token, .. }) => oauth(client, request, token),
        _ => basic(client, request),
    };
    let broken = |error| trust::transport(request.title, &server, error);
    let answer = prepared.header(ACCEPT, "application/json").send().await.map_err(broken)?;
    let status = answer.status();
    let body = wire::collect(answer.bytes_stream(), LIMIT).await.map_err(broken)?;
    let body = Zeroizing::new(body.map(Vec::from).unwrap_or_default());
    if status.is_success() {
        return token(&body).ok_or_else(|| refused(request, "its token server answered without a token".to_owned()));
    }
    let told = shorten(String::from_utf8_lossy(&body).trim(), 300);
    let told = request.login.map_or_else(|| told.clone(), |login| login.redact(&told));
    match status {
        // Whoever asks for a token wrongly is told so with one of these.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            let reason = if told.is_empty() { format!("its token server answered {status}") } else { told };
            Err(refused(request, reason))
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Err(Error::TooManyRequests { object: request.title.to_owned(), host: server, retry_after: None })
        }
        _ if status.is_redirection() => {
            let reason = format!("its token server {server} redirects to another host, which must not get the login");
            Err(refused(request, reason))
        }
        _ => Err(Error::Answer { object: request.title.to_owned(), host: server, status, message: told }),
    }
}

fn refused(request: &TokenRequest<'_>, reason: String) -> Error {
    Error::Unauthorised { object: request.title.to_owned(), host: request.host.to_owned(), reason }
}

/// A `GET`, with user and password if there are any.
fn basic(client: &reqwest::Client, request: &TokenRequest<'_>) -> RequestBuilder {
    let mut url = request.realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = request.service {
            query.append_pair("service", service);
        }
        for scope in request.scopes {
            query.append_pair("scope", scope);
        }
        if request.offline {
            query.append_pair("client_id", CLIENT).append_pair("offline_token", "true");
        }
    }
    let Some(Login::Password { user, password }) = request.login else { return client.get(url) };
    url.query_pairs_mut().append_pair("account", user);
    client.get(url).basic_auth(user, Some(password.expose()))
}

/// A `POST` with the identity token in its body.
fn oauth(client: &reqwest::Client, request: &TokenRequest<'_>, token: &Secret) -> RequestBuilder {
    let scopes = request.scopes.join(" ");
    let mut body = Zeroizing::new(String::from("grant_type=refresh_token"));
    let service = request.service.unwrap_or_default();
    for (name, value) in
        [("service", service), ("client_id", CLIENT), ("scope", &scopes), ("refresh_token", token.expose())]
    {
        body.push('&');
        body.push_str(name);
        body.push('=');
        body.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    let form = "application/x-www-form-urlencoded";
    client.post(request.realm.clone()).header(CONTENT_TYPE, form).body(body.as_bytes().to_vec())
}

fn token(body: &[u8]) -> Option<Token> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let is_usable = |text: &String| !text.is_empty() && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    let value = [answer.token, answer.access_token].into_iter().flatten().find(is_usable)?;
    let lifetime = answer.expires_in.filter(|seconds| *seconds > 0).map_or(LIFETIME, Duration::from_secs);
    Some(Token {
        value: value.into(),
        lifetime: lifetime.min(LONGEST_LIFETIME),
        identity: answer.refresh_token.filter(|text| !text.is_empty()).map(Secret::from),
    })
}

pub(super) fn server(realm: &Url) -> String {
    let host = realm.host_str().unwrap_or_default();
    realm.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request<'a>(realm: &str, scopes: &'a [String], login: Option<&'a Login>) -> TokenRequest<'a> {
        let realm = Url::parse(realm).unwrap();
        TokenRequest { host: "reg", title: "image a", realm, service: Some("s"), scopes, login, offline: false }
    }

    fn text(body: &reqwest::Request) -> String {
        String::from_utf8(body.body().unwrap().as_bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn scopes_are_asked_for_in_the_form_of_each_protocol() {
        let client = reqwest::Client::new();
        let scopes = ["repository:a/b:pull,push".to_owned(), "repository:c:pull".to_owned()];
        let login = Login::password("me", "pä ss");
        let built = basic(&client, &request("https://auth/token?x=1", &scopes, Some(&login))).build().unwrap();
        assert_eq!(
            built.url().as_str(),
            "https://auth/token?x=1&service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull&account=me"
        );
        assert!(built.headers().contains_key("authorization") && !built.url().as_str().contains("ss&"));
        let login = Login::identity_token("me", "t&=ken");
        let asked = request("https://auth/token", &scopes, Some(&login));
        let Some(Login::IdentityToken { token, .. }) = asked.login else { panic!() };
        let built = oauth(&client, &asked, token).build().unwrap();
        assert_eq!(built.url().as_str(), "https://auth/token", "no secret is in the URL");
        assert_eq!(
            text(&built),
            "grant_type=refresh_token&service=s&client_id=sealer&scope=repository%3Aa%2Fb%3Apull%2Cpush%20repository%3Ac%3Apull&refresh_token=t%26%3Dken"
        );
    }

    #[test]
    fn answers_are_read_with_their_lifetime_and_limits() {
        let of = |text: &str| token(text.as_bytes()).map(|token| (token.value.expose().to_owned(), token.lifetime));
        let seconds = Duration::from_secs;
        assert_eq!(of(r#"{"token":"a","expires_in":300}"#), Some(("a".to_owned(), seconds(300))));
        assert_eq!(of(r#"{"access_token":"b","token":""}"#), Some(("b".to_owned(), seconds(60))));
        assert_eq!(of(r#"{"token":"a","expires_in":99999999999}"#), Some(("a".to_owned(), LONGEST_LIFETIME)));
        for text in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":"a\nb: c"}"#, r#"{"token":7}"#] {
            assert_eq!(of(text), None, "{text}");
        }
        let shown = format!("{:?}", token(br#"{"token":"hidden","refresh_token":"hidden"}"#).unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
