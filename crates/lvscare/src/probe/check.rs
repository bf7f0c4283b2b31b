//! Describes how a server is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

use crate::HealthPolicy;

/// How a server is checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthConfig {
    /// How servers are checked.
    pub scheme: HealthScheme,
    /// The path, as HTTP has it: begins with `/`.
    pub path: String,
    /// Statuses that count as healthy besides those below 400.
    pub status: BTreeSet<u16>,
    /// How long one check may take.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
    /// The method of the request.
    pub method: String,
    /// The body of the request; none when empty. May be a secret.
    pub body: String,
    /// Headers of the request. Their values may be secrets.
    pub headers: BTreeMap<String, String>,
    /// A file with the certificates of the authorities that sign for the servers (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The name that servers' certificates must carry; their address where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whether to go without knowing who the servers are.
    pub insecure_skip_verify: bool,
}

/// How servers are checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", ascii_case_insensitive, parse_err_ty = String, parse_err_fn = unknown)]
#[non_exhaustive]
pub enum HealthScheme {
    /// An HTTP request over TLS.
    #[default]
    Https,
    /// An HTTP request.
    Http,
    /// A connection, and nothing on it.
    Tcp,
}

impl HealthConfig {
    /// Whether servers have to prove who they are.
    pub(crate) fn is_verified(&self) -> bool {
        self.scheme == HealthScheme::Https && !self.insecure_skip_verify
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            scheme: HealthScheme::Https,
            path: "/healthz".to_owned(),
            status: BTreeSet::new(),
            timeout: HealthPolicy::default().timeout,
            method: "GET".to_owned(),
            body: String::new(),
            headers: BTreeMap::new(),
            ca: None,
            server_name: None,
            insecure_skip_verify: false,
        }
    }
}

impl fmt::Debug for HealthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and body may be secrets.
        f.debug_struct("HealthConfig").field("scheme", &self.scheme).field("path", &self.path).finish_non_exhaustive()
    }
}

fn unknown(name: &str) -> String {
    format!("unknown scheme {name}; known are https, http, tcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown_by_debug() {
        let headers = [("Authorization".to_owned(), "s3cret".to_owned())].into();
        let health = HealthConfig { headers, body: "s3cret".to_owned(), ..HealthConfig::default() };
        let shown = format!("{health:?}");
        assert!(shown.contains("/healthz") && !shown.contains("s3cret"), "{shown}");
    }
}
