//! Programs that keep logins (`docker-credential-…`): they get a word as argument and the rest on standard input.

use super::{Login, TOKEN_USER};
use crate::error::{Error, Result, shorten};
use secret::Secret;
use serde::{Deserialize, Serialize};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// The longest time that a program may take; some ask the user.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The most that is read of its answer, in bytes.
const LIMIT: u64 = 1 << 20;
/// What programs say that have no login under a key; the protocol has no other sign.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A credential helper.
#[derive(Debug)]
pub(super) struct Helper {
    program: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    #[serde(default, rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper {
    /// The helper of this name, as login files have it: `pass` is the program `docker-credential-pass`.
    pub(super) fn new(name: &str) -> Result<Self> {
        let program = super::document::program_of(name);
        if name.is_empty() || name.contains(['/', '\0']) {
            let reason = "that is not the name of a program".to_owned();
            return Err(Error::CredentialHelper { program, act: "run", reason });
        }
        Ok(Self { program })
    }

    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// The login under a key, if it has one.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Login>> {
        let output = self.call("get", key.as_bytes()).await?;
        if !output.status.success() {
            return if is_not_found(&output) { Ok(None) } else { Err(self.failed("read the login", &output, None)) };
        }
        let answer = Zeroizing::new(output.stdout);
        let kept: Kept = serde_json::from_slice(&answer).map_err(|_| Error::CredentialHelper {
            program: self.program.clone(),
            act: "read the login",
            reason: "it did not answer with a login".to_owned(),
        })?;
        let secret = Secret::from(kept.secret);
        Ok(Some(if kept.username == TOKEN_USER {
            Login::identity_token("", secret)
        } else {
            Login::password(kept.username, secret)
        }))
    }

    /// Keeps a login under a key.
    pub(super) async fn store(&self, key: &str, login: &Login) -> Result<()> {
        let (user, secret) = match login {
            Login::Password { user, password } => (user.as_str(), password),
            Login::IdentityToken { token, .. } => (TOKEN_USER, token),
        };
        let kept = Kept { server_url: key.to_owned(), username: user.to_owned(), secret: secret.expose().to_owned() };
        let text = serde_json::to_vec(&kept).map(Zeroizing::new);
        drop(Secret::from(kept.secret));
        let text = text.map_err(|error| self.broken(&error.to_string()))?;
        let output = self.call("store", &text).await?;
        if output.status.success() { Ok(()) } else { Err(self.failed("keep the login", &output, Some(login))) }
    }

    /// Forgets the login under a key; whether there was one.
    pub(super) async fn erase(&self, key: &str) -> Result<bool> {
        let output = self.call("erase", key.as_bytes()).await?;
        match output.status.success() {
            true => Ok(true),
            false if is_not_found(&output) => Ok(false),
            false => Err(self.failed("forget the login", &output, None)),
        }
    }

    async fn call(&self, act: &str, input: &[u8]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.arg(act).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().map_err(|error| self.broken(&error.to_string()))?;
        match tokio::time::timeout(TIMEOUT, exchange(child, input)).await {
            Ok(done) => done.map_err(|error| self.broken(&error.to_string())),
            Err(_) => Err(self.broken(&format!("it did not end within {} s", TIMEOUT.as_secs()))),
        }
    }

    fn broken(&self, reason: &str) -> Error {
        Error::CredentialHelper { program: self.program.clone(), act: "run", reason: reason.to_owned() }
    }

    /// What the program says about its failure. While it reads a login, its answer may be the secret: then that is not told.
    fn failed(&self, act: &'static str, output: &Output, login: Option<&Login>) -> Error {
        let told = match login {
            None if act == "read the login" => String::new(),
            _ => String::from_utf8_lossy(&[output.stderr.as_slice(), output.stdout.as_slice()].concat()).into_owned(),
        };
        let told = login.map_or_else(|| told.clone(), |login| login.redact(&told));
        let told = shorten(told.trim(), 200);
        let reason = if told.is_empty() { output.status.to_string() } else { format!("{}: {told}", output.status) };
        Error::CredentialHelper { program: self.program.clone(), act, reason }
    }
}

/// Gives the program its input and waits for its end.
async fn exchange(mut child: Child, input: &[u8]) -> std::io::Result<Output> {
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(stdin) = &mut stdin {
            // One that does not read its input may end before all of it is written.
            let _ = stdin.write_all(input).await;
        }
        drop(stdin.take());
    };
    let read = |stream: Option<Box<dyn tokio::io::AsyncRead + Unpin + Send>>| async {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            stream.take(LIMIT).read_to_end(&mut bytes).await?;
        }
        std::io::Result::Ok(bytes)
    };
    let out = read(stdout.map(|stream| Box::new(stream) as _));
    let err = read(stderr.map(|stream| Box::new(stream) as _));
    let ((), out, err) = futures_util::join!(write, out, err);
    Ok(Output { status: child.wait().await?, stdout: out?, stderr: err? })
}

fn is_not_found(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).trim() == NOT_FOUND
}
