//! How does one log in to a host?

use crate::Secret;

/// How to log in to a host. In [`crate::Host`] this is the effective value: the cluster's, overlaid by the host's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The login name, `root` when the file does not say.
    pub user: String,
    /// The password, if one is used.
    pub password: Option<Secret>,
    /// The path of the private key exactly as written (`~` is not expanded here).
    pub private_key: Option<String>,
    /// What decrypts the private key.
    pub private_key_password: Option<Secret>,
    /// The TCP port, 22 when the file does not say.
    pub port: u16,
}

impl Default for Ssh {
    fn default() -> Self {
        Self { user: "root".to_owned(), password: None, private_key: None, private_key_password: None, port: 22 }
    }
}
