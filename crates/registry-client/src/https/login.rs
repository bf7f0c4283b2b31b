//! Reads logins from docker's `config.json`.

use crate::error::{Error, Result, shorten};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The largest configuration that is read, in bytes.
const LIMIT: u64 = 1 << 20;
/// Docker Hub's key in the configuration, and the names of its hosts.
const HUB_KEY: &str = "https://index.docker.io/v1/";
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A login for one host.
pub(super) enum Login {
    /// None is configured.
    Absent,
    /// User and password.
    Password { user: String, password: Zeroizing<String> },
    /// An identity token, which this crate cannot use.
    IdentityToken,
    /// The login is kept by a program that must not be run.
    Helper(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => formatter.write_str("Absent"),
            Self::Password { user, .. } => {
                write!(formatter, "Password {{ user: {user:?}, password: *** }}")
            }
            Self::IdentityToken => formatter.write_str("IdentityToken(***)"),
            Self::Helper(name) => write!(formatter, "Helper({name:?})"),
        }
    }
}

/// Where docker keeps logins; read when a registry is asked for something.
#[derive(Debug)]
pub(super) struct DockerConfig {
    path: Option<PathBuf>,
    run_helpers: bool,
}

impl DockerConfig {
    pub(super) fn new(path: Option<PathBuf>, run_helpers: bool) -> Self {
        Self { path, run_helpers }
    }

    /// The login for a host. Reads the file, and may run a program for a while, if that is allowed.
    pub(super) fn of(&self, host: &str) -> Result<Login> {
        let Some(path) = &self.path else { return Ok(Login::Absent) };
        let invalid = |reason: String| Error::DockerConfig { path: path.clone(), reason };
        let mut text = Zeroizing::new(String::new());
        match File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text)) {
            Ok(_) => Logins::new(&text, self.run_helpers).and_then(|logins| logins.of(host)).map_err(invalid),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Login::Absent),
            Err(error) => Err(invalid(error.to_string())),
        }
    }
}

/// The logins of a docker configuration.
struct Logins {
    text: Zeroizing<String>,
    keys: Keys,
    run_helpers: bool,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Logins").field("hosts", &self.keys.auths.keys()).finish_non_exhaustive()
    }
}

/// The parts of the configuration that say where a login is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keys {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

/// Only whether the fields are there; their values are secrets.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Present>,
    username: Option<Present>,
    identitytoken: Option<Present>,
}

#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(!Zeroizing::new(text).is_empty()))
    }
}

impl Logins {
    fn new(text: &str, run_helpers: bool) -> std::result::Result<Self, String> {
        if text.len() as u64 > LIMIT {
            return Err(format!("it has more than {LIMIT} bytes"));
        }
        // What nobody has written yet, and what an editor begins with, say nothing.
        let text = text.trim_start_matches('\u{feff}').trim();
        let text = Zeroizing::new(if text.is_empty() { "{}" } else { text }.to_owned());
        // The parser's message may quote a secret, so only the place is told.
        let keys = serde_json::from_str(&text).map_err(|error| {
            format!("it is not a docker configuration (line {}, column {})", error.line(), error.column())
        })?;
        Ok(Self { text, keys, run_helpers })
    }

    /// The login for a host.
    fn of(&self, host: &str) -> std::result::Result<Login, String> {
        let entry = self.keys.auths.iter().find(|(key, _)| is_key_of(key, host));
        let helper = self.keys.cred_helpers.iter().find(|(key, _)| is_key_of(key, host));
        let has = |field: &Option<Present>| field.as_ref().is_some_and(|present| present.0);
        let key = match (&entry, &helper, &self.keys.creds_store) {
            (_, Some((_, program)), _) if !self.run_helpers => {
                return Ok(Login::Helper(program_of(program)));
            }
            (_, Some((key, _)), _) => key.as_str(),
            (Some((_, entry)), _, _) if has(&entry.identitytoken) => {
                return Ok(Login::IdentityToken);
            }
            (Some((key, entry)), _, _) if has(&entry.auth) || has(&entry.username) => key.as_str(),
            (_, _, Some(program)) if !self.run_helpers => {
                return Ok(Login::Helper(program_of(program)));
            }
            (Some((key, _)), _, Some(_)) => key.as_str(),
            (None, _, Some(_)) if HUB_HOSTS.contains(&host) => HUB_KEY,
            (None, _, Some(_)) => host,
            (_, _, None) => return Ok(Login::Absent),
        };
        match docker_credential::get_credential_from_reader(self.text.as_bytes(), key) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                Ok(Login::Password { user, password: Zeroizing::new(password) })
            }
            Ok(DockerCredential::IdentityToken(token)) => {
                drop(Zeroizing::new(token));
                Ok(Login::IdentityToken)
            }
            Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(Login::Absent),
            Err(error) => Err(format!("no login for {host}: {}", without_secrets(&error))),
        }
    }
}

impl Login {
    /// What to do when the host refuses although this is all there is.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Absent => "there is no login for it in the docker config; `docker login` makes one".to_owned(),
            Self::Password { user, .. } => format!("it was asked as user {}", shorten(user, 60)),
            Self::IdentityToken => "the docker config has an identity token for it, which is not supported; log in with a password or an access token".to_owned(),
            Self::Helper(program) => format!("the docker config keeps its login in {program}, which was not run because credential helpers are not allowed"),
        }
    }
}

/// Keys are hosts, or URLs in which only the host matters.
fn is_key_of(key: &str, host: &str) -> bool {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let key = key.split('/').next().unwrap_or_default();
    key == host || (HUB_HOSTS.contains(&key) && HUB_HOSTS.contains(&host))
}

fn program_of(program: &str) -> String {
    format!("docker-credential-{}", shorten(program, 60))
}

/// A helper's output may hold the secret; its name and the fact that it failed do not.
fn without_secrets(error: &CredentialRetrievalError) -> String {
    match error {
        CredentialRetrievalError::HelperFailure { helper, .. } => {
            format!("docker-credential-{} failed", shorten(helper, 60))
        }
        CredentialRetrievalError::HelperCommunicationError => "the credential helper cannot be run".to_owned(),
        CredentialRetrievalError::MalformedHelperResponse => "the credential helper answered something else".to_owned(),
        CredentialRetrievalError::CredentialDecodingError => "its `auth` is not base64 of user:password".to_owned(),
        CredentialRetrievalError::CredentialMismatchError => {
            "its `auth` differs from its `username` and `password`".to_owned()
        }
        _ => "it cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use base64::Engine as _;

    fn config(entries: &str) -> Logins {
        Logins::new(entries, false).unwrap()
    }

    fn auth(user: &str, password: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    }

    fn password(login: Login) -> (String, String) {
        match login {
            Login::Password { user, password } => (user, password.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn logins_are_found_by_host_however_the_key_is_written() {
        let logins = config(&format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{}"}},"reg:5000":{{"auth":"{}"}},"http://old/v1/":{{"username":"u","password":"p"}}}},"other":1}}"#,
            auth("hub", "a:b"),
            auth("me", "secret"),
        ));
        for host in HUB_HOSTS {
            assert_eq!(password(logins.of(host).unwrap()), ("hub".to_owned(), "a:b".to_owned()));
        }
        assert_eq!(password(logins.of("reg:5000").unwrap()), ("me".to_owned(), "secret".to_owned()));
        assert_eq!(password(logins.of("old").unwrap()), ("u".to_owned(), "p".to_owned()));
        assert!(matches!(logins.of("reg").unwrap(), Login::Absent));
        assert!(matches!(config("{}").of("reg").unwrap(), Login::Absent));
    }

    #[test]
    fn helpers_are_named_and_not_run() {
        let logins = config(
            r#"{"auths":{"reg":{},"other":{"auth":"dTpw"}},"credsStore":"desktop","credHelpers":{"cloud":"gcr"}}"#,
        );
        assert!(matches!(logins.of("reg").unwrap(), Login::Helper(name) if name == "docker-credential-desktop"));
        assert!(matches!(logins.of("unknown").unwrap(), Login::Helper(_)));
        assert!(matches!(logins.of("cloud").unwrap(), Login::Helper(name) if name == "docker-credential-gcr"));
        assert_eq!(password(logins.of("other").unwrap()), ("u".to_owned(), "p".to_owned()));
    }

    #[test]
    fn identity_tokens_are_recognised() {
        let logins = config(r#"{"auths":{"reg":{"auth":"dTpw","identitytoken":"t0ken"}}}"#);
        assert!(matches!(logins.of("reg").unwrap(), Login::IdentityToken));
    }

    #[test]
    fn wrong_configurations_are_refused_without_their_secrets() {
        for text in ["[1]", r#"{"auths":{"reg":{"auth":7}}}"#, r#"{"auths":{"reg":"hunter2"}}"#] {
            let error = Logins::new(text, false).unwrap_err();
            assert!(error.contains("is not a docker configuration") && !error.contains("hunter2"), "{error}");
        }
        let error = config(r#"{"auths":{"reg":{"auth":"hunter2!"}}}"#).of("reg").unwrap_err();
        assert!(error.contains("reg") && !error.contains("hunter2"), "{error}");
        assert!(Logins::new(&" ".repeat(1 + usize::try_from(LIMIT).unwrap()), false).is_err());
    }

    #[test]
    fn an_empty_configuration_has_no_logins_and_errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let of = || DockerConfig::new(Some(path.clone()), false).of("reg");
        assert!(matches!(of().unwrap(), Login::Absent), "there is none");
        for text in ["", " \n", "{}", "\u{feff}", "\u{feff}{\"auths\":{}}"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(of().unwrap(), Login::Absent), "{text:?}");
        }
        std::fs::write(&path, "{").unwrap();
        let error = of().unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("line 1, column 1"), "{error}");
    }

    #[test]
    fn nothing_secret_is_shown_by_debug() {
        let logins = config(&format!(r#"{{"auths":{{"reg":{{"auth":"{}"}}}}}}"#, auth("me", "hunter2")));
        let shown = format!("{logins:?} {:?}", logins.of("reg").unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains(&auth("me", "hunter2")), "{shown}");
    }
}
