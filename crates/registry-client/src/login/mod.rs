//! Logins for registries: docker's `config.json`, podman's `auth.json`, and the programs that keep them instead.

mod credential_program;
mod document;
mod files;
mod host;

pub(crate) use files::Found;
pub use files::{Erased, LoginFiles, LoginPlace};
pub use host::registry_host;
pub(crate) use host::{HUB_HOST, is_host, not_a_host};

use secret::Secret;

/// What the user of a login is called that has a token and no password; credential helpers expect it.
const TOKEN_USER: &str = "<token>";

/// A login for one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// A user and a password, or an access token in the place of one.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// What a token server gave for a password: it opens no registry, but is exchanged for tokens that do (an OAuth 2.0 refresh token).
    IdentityToken {
        /// The user, where it is known.
        user: String,
        /// The token.
        token: Secret,
    },
}

impl Login {
    /// A user and a password.
    pub fn password(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Password { user: user.into(), password: password.into() }
    }

    /// An identity token, with the user it was made for; empty when that is not known.
    pub fn identity_token(user: impl Into<String>, token: impl Into<Secret>) -> Self {
        Self::IdentityToken { user: user.into(), token: token.into() }
    }

    /// The user; empty where only a token is known.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::IdentityToken { user, .. } => user,
        }
    }

    /// A text from outside without the secret: a server may send back what it got.
    pub(crate) fn redact(&self, text: &str) -> String {
        let (Self::Password { password: secret, .. } | Self::IdentityToken { token: secret, .. }) = self;
        // A shorter one would be found in every text, and would be known from where the stars are.
        if secret.expose().len() < 4 { text.to_owned() } else { text.replace(secret.expose(), "***") }
    }
}
