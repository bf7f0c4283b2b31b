//! Holds the key that requests are signed with.

use std::sync::Arc;

use clusterfile::Secret;

use super::role::{InstanceRole, RoleError};

/// An access key; a temporary one has a token that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id.
    pub id: Secret,
    /// Its secret.
    pub secret: Secret,
    /// Security token of a temporary key.
    pub token: Option<Secret>,
}

impl AccessKey {
    /// A permanent key.
    #[must_use]
    pub fn new(id: impl Into<Secret>, secret: impl Into<Secret>) -> Self {
        Self { id: id.into(), secret: secret.into(), token: None }
    }

    /// The same with a security token; an empty one is none.
    #[must_use]
    pub fn with_token(self, token: impl Into<Secret>) -> Self {
        let token = token.into();
        Self { token: Some(token).filter(|token| !token.expose().is_empty()), ..self }
    }
}

/// Where the key comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// It was given.
    Key(AccessKey),
    /// This machine is an instance with a role, and its metadata service gives keys for a while.
    InstanceRole(Arc<InstanceRole>),
}

impl Credentials {
    /// The key to sign with now.
    pub(super) async fn key(&self) -> Result<AccessKey, RoleError> {
        match self {
            Self::Key(key) => Ok(key.clone()),
            Self::InstanceRole(role) => role.key().await,
        }
    }

    /// Forgets a key that was refused as expired; `false` if there will be no other.
    pub(super) async fn renew(&self, refused: &AccessKey) -> bool {
        match self {
            Self::Key(_) => false,
            Self::InstanceRole(role) => {
                role.forget(refused).await;
                true
            }
        }
    }
}
