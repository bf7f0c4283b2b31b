//! Logs in by the first of our ways that the host accepts.

use std::path::Path;
use std::sync::Arc;

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};
use secret::Secret;
use tokio::time::timeout;

use super::Auth;
use super::connect::Connection;
use super::route::Server;
use crate::Error;

/// Servers end a connection after six refused attempts.
const AGENT_KEYS: usize = 5;
/// Rounds of questions that a server may ask for one password.
const QUESTIONS: usize = 4;

/// Logs in by the first way that is accepted; where the server wants several, by all that it wants.
pub(super) async fn authenticate(link: &mut Connection, server: &Server) -> Result<(), Error> {
    let logging_in = timeout(server.timeout, attempts(link, server)).await;
    logging_in.unwrap_or_else(|_| {
        let detail = format!("logging in took longer than {} s", server.timeout.as_secs());
        Err(server.unreachable(link.through(), detail))
    })
}

async fn attempts(link: &mut Connection, server: &Server) -> Result<(), Error> {
    let mut login = Login { link, server, tried: Vec::new() };
    let failed = login.link.handle.authenticate_none(&server.user).await;
    let mut offered = match failed.map_err(|error| login.broken(&error))? {
        AuthResult::Success => return Ok(()),
        AuthResult::Failure { remaining_methods, .. } => remaining_methods,
    };
    let mut unusable = None;
    // A way that was one of several wanted opens the next round.
    for _ in 0..server.auth.len() {
        let mut further = false;
        let trusted = login.link.trusted;
        for auth in server.auth.iter().filter(|auth| trusted || !matches!(auth, Auth::Password(_))) {
            let attempt = match login.attempt(auth, &offered).await {
                // An agent that is gone or a key with a passphrase must not keep us from the other ways.
                Err(error) if is_ours(&error) => {
                    login.tried.push(format!("{error}"));
                    unusable.get_or_insert(error);
                    None
                }
                attempt => attempt?,
            };
            match attempt {
                None => {}
                Some(AuthResult::Success) => return Ok(()),
                Some(AuthResult::Failure { remaining_methods, partial_success }) => {
                    further |= partial_success;
                    offered = remaining_methods;
                }
            }
        }
        if !further {
            break;
        }
    }
    match unusable {
        Some(error) if server.auth.len() == 1 => Err(error),
        _ => Err(login.refused(&offered)),
    }
}

/// Whether what failed is on this side: an agent or a key that cannot be used.
fn is_ours(error: &Error) -> bool {
    matches!(
        error,
        Error::Agent { .. } | Error::KeyEncrypted { .. } | Error::KeyPassphrase { .. } | Error::KeyUnreadable { .. }
    )
}

struct Login<'a> {
    link: &'a mut Connection,
    server: &'a Server,
    tried: Vec<String>,
}

impl Login<'_> {
    /// Tries one way; `None` when the server does not offer it.
    async fn attempt(&mut self, auth: &Auth, offered: &MethodSet) -> Result<Option<AuthResult>, Error> {
        let offers = |kind| offered.contains(&kind);
        match auth {
            Auth::Password(password) if offers(MethodKind::Password) => {
                self.tried.push("password".to_owned());
                let answer = self.link.handle.authenticate_password(&self.server.user, password.expose()).await;
                Ok(Some(answer.map_err(|error| self.broken(&error))?))
            }
            Auth::Password(password) if offers(MethodKind::KeyboardInteractive) => {
                self.tried.push("password (keyboard-interactive)".to_owned());
                Ok(Some(self.answer_questions(password).await?))
            }
            Auth::Key { name, pem, passphrase } if offers(MethodKind::PublicKey) => {
                self.tried.push(format!("key {name}"));
                let key = Arc::new(decode(name, pem, passphrase.as_ref()).await?);
                let hash = self.hash(&key.algorithm()).await?;
                let key = PrivateKeyWithHashAlg::new(key, hash);
                let answer = self.link.handle.authenticate_publickey(&self.server.user, key).await;
                Ok(Some(answer.map_err(|error| self.broken(&error))?))
            }
            Auth::Agent { socket } if offers(MethodKind::PublicKey) => self.ask_agent(socket).await,
            Auth::Password(_) | Auth::Key { .. } | Auth::Agent { .. } => Ok(None),
        }
    }

    /// Gives the password to every hidden question.
    async fn answer_questions(&mut self, password: &Secret) -> Result<AuthResult, Error> {
        let handle = &mut self.link.handle;
        let mut response = handle.authenticate_keyboard_interactive_start(&self.server.user, None::<String>).await;
        for _ in 0..QUESTIONS {
            let prompts = match response.map_err(|error| self.broken(&error))? {
                KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let answers =
                prompts.iter().map(|prompt| if prompt.echo { String::new() } else { password.expose().to_owned() });
            response = self.link.handle.authenticate_keyboard_interactive_respond(answers.collect()).await;
        }
        Ok(AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false })
    }

    /// Tries the agent's keys in its order.
    async fn ask_agent(&mut self, socket: &Path) -> Result<Option<AuthResult>, Error> {
        let failed = |error: russh::keys::Error| Error::Agent { socket: socket.to_owned(), source: Box::new(error) };
        let mut agent = AgentClient::connect_uds(socket).await.map_err(failed)?;
        if let Some(binding) = self.link.handle.agent_session_binding() {
            // Older agents do not know this; keys that need it will then not sign.
            let _ = agent.bind_session(binding, false).await;
        }
        let identities = agent.request_identities().await.map_err(failed)?;
        let mut last = None;
        let keys = identities.into_iter().filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
            AgentIdentity::Certificate { .. } => None,
        });
        for (key, comment) in keys.take(AGENT_KEYS) {
            self.tried.push(format!("agent key {} ({comment})", key.fingerprint(HashAlg::Sha256)));
            let hash = self.hash(&key.algorithm()).await?;
            let answer = self.link.handle.authenticate_publickey_with(&self.server.user, key, hash, &mut agent).await;
            // A key that the agent will not sign with is one that does not fit.
            let Ok(answer) = answer else { continue };
            let go_on =
                matches!(&answer, AuthResult::Failure { partial_success: false, .. }) && !self.link.handle.is_closed();
            last = Some(answer);
            if !go_on {
                break;
            }
        }
        if last.is_none() {
            self.tried.push(format!("agent {} (no key of use)", socket.display()));
        }
        Ok(last)
    }

    /// The signature's hash: RSA keys have a choice, and old servers know only the old one.
    async fn hash(&mut self, algorithm: &Algorithm) -> Result<Option<HashAlg>, Error> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(None);
        }
        let best = self.link.handle.best_supported_rsa_hash().await.map_err(|error| self.broken(&error))?;
        Ok(best.unwrap_or(Some(HashAlg::Sha256)))
    }

    fn broken(&self, error: &russh::Error) -> Error {
        let detail = self.link.end().unwrap_or_else(|| error.to_string().to_lowercase());
        Error::ConnectionLost { host: self.server.host.clone(), detail }
    }

    fn refused(self, offered: &MethodSet) -> Error {
        let mut offered: Vec<String> = offered.iter().map(String::from).collect();
        if offered.is_empty() && self.link.handle.is_closed() {
            offered.push("nothing more, it ended the connection".to_owned());
        }
        let tried = if self.tried.is_empty() { vec!["nothing that it offers".to_owned()] } else { self.tried };
        Error::LoginRefused { host: self.server.host.clone(), user: self.server.user.clone(), tried, offered }
    }
}

/// Reads a private key; decrypting one takes a while by design.
async fn decode(name: &str, pem: &Secret, passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
    let (pem, given) = (pem.clone(), passphrase.cloned());
    let decoding = tokio::task::spawn_blocking(move || {
        russh::keys::decode_secret_key(
            atomic_file::without_byte_order_mark(pem.expose()),
            given.as_ref().map(Secret::expose),
        )
    });
    let decoded = decoding.await.map_err(|error| Error::Task { detail: error.to_string() })?;
    decoded.map_err(|source| match (&source, passphrase) {
        (russh::keys::Error::KeyIsEncrypted, _) => Error::KeyEncrypted { name: name.to_owned() },
        (_, Some(_)) => Error::KeyPassphrase { name: name.to_owned(), source: Box::new(source) },
        (_, None) => Error::KeyUnreadable { name: name.to_owned(), source: Box::new(source) },
    })
}
