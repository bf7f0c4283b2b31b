//! Decides what to do with the key that a host shows, and tells whoever wants to know of keys that were not known.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use russh::keys::PublicKey;

use crate::known_hosts::{self, Verdict};
use crate::text::quote;
use crate::{Error, Host};

/// What happens with host keys that no file knows: `StrictHostKeyChecking` of `ssh_config(5)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StrictHostKey {
    /// They are refused.
    Yes,
    /// They are accepted and recorded; a key that contradicts the files is refused.
    #[default]
    AcceptNew,
    /// They are accepted and recorded. A key that contradicts the files is accepted, too, but such a host gets no
    /// password, neither at login nor for `sudo`. A revoked key is refused.
    No,
}

impl FromStr for StrictHostKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "yes" => Ok(Self::Yes),
            "accept-new" => Ok(Self::AcceptNew),
            "no" => Ok(Self::No),
            _ => Err(format!("`{text}` is not a way to check host keys: yes, accept-new or no")),
        }
    }
}

/// A host key that was accepted although no file knew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedHostKey {
    /// The host or jump host, as `known_hosts` files name it.
    pub host: String,
    /// The kind of the key, for example `ssh-ed25519`.
    pub algorithm: String,
    /// Its fingerprint as ssh shows it: `SHA256:` and base64.
    pub fingerprint: String,
    /// The file in which it is recorded, if it is.
    pub recorded: Option<PathBuf>,
    /// Whether the files say another key or a certificate authority of this host: only [`StrictHostKey::No`] accepts it.
    pub contradicts: bool,
}

/// Is told of each [`AcceptedHostKey`] before anything secret is sent to the host.
#[derive(Clone, Default)]
pub struct HostKeyObserver(Option<Arc<dyn Fn(AcceptedHostKey) + Send + Sync>>);

impl HostKeyObserver {
    /// Calls `tell`, from any thread.
    #[must_use]
    pub fn new(tell: impl Fn(AcceptedHostKey) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    /// Tells of a key.
    pub fn tell(&self, key: AcceptedHostKey) {
        if let Some(tell) = &self.0 {
            tell(key);
        }
    }
}

impl std::fmt::Debug for HostKeyObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostKeyObserver").finish_non_exhaustive()
    }
}

impl PartialEq for HostKeyObserver {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for HostKeyObserver {}

/// What becomes of a connection whose host showed its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The key is known.
    Trust,
    /// The key is new and is recorded.
    Record,
    /// The key contradicts what is known: go on without any password.
    Distrust,
}

/// Whether the connection goes on, and how.
pub(crate) fn decide(
    strict: StrictHostKey,
    verdict: &Verdict,
    host: &Host,
    port: u16,
    key: &PublicKey,
) -> Result<Decision, Error> {
    let (host, name, shown) = (host.clone(), known_hosts::name(host, port), known_hosts::describe(key));
    match (verdict, strict) {
        (Verdict::Known, _) => Ok(Decision::Trust),
        (Verdict::New, StrictHostKey::Yes) => Err(Error::HostKeyUnknown { host, shown }),
        (Verdict::New, _) => Ok(Decision::Record),
        (Verdict::Revoked { file, line }, _) => {
            Err(Error::HostKeyRevoked { host, shown, file: file.clone(), line: *line })
        }
        (Verdict::Changed { .. } | Verdict::Uncertified { .. }, StrictHostKey::No) => Ok(Decision::Distrust),
        (Verdict::Uncertified { file, line }, _) => {
            Err(Error::HostKeyUncertified { host, shown, file: file.clone(), line: *line })
        }
        (Verdict::Changed { known, file, line }, _) => Err(Error::HostKeyChanged {
            host,
            shown,
            known: known.clone(),
            file: file.clone(),
            line: *line,
            accept: format!("ssh-keygen -R {} -f {}", quote(&name), quote(&file.display().to_string())),
        }),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn each_policy_answers_each_verdict_as_ssh_config_says() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let key = PublicKey::from_openssh(key).unwrap();
        let (file, line) = (PathBuf::from("known_hosts"), 7);
        let changed = Verdict::Changed { known: "ssh-rsa SHA256:x".to_owned(), file: file.clone(), line };
        let uncertified = Verdict::Uncertified { file: file.clone(), line };
        let revoked = Verdict::Revoked { file, line };
        let (trust, record, distrust) = (Some(Decision::Trust), Some(Decision::Record), Some(Decision::Distrust));
        for (verdict, yes, accept_new, no) in [
            (Verdict::Known, trust, trust, trust),
            (Verdict::New, None, record, record),
            (changed, None, None, distrust),
            (uncertified, None, None, distrust),
            (revoked, None, None, None),
        ] {
            for (text, expected) in [("yes", yes), ("accept-new", accept_new), ("no", no)] {
                let host = Host::Name("a.example".to_owned());
                let decided = decide(text.parse().unwrap(), &verdict, &host, 22, &key);
                match decided {
                    Ok(decision) => assert_eq!(Some(decision), expected, "{text} {verdict:?}"),
                    Err(error) => {
                        assert_eq!(expected, None, "{text} {verdict:?}");
                        assert!(error.to_string().contains("SHA256:"), "{error}");
                    }
                }
            }
        }
        assert!("ask".parse::<StrictHostKey>().is_err());
    }
}
