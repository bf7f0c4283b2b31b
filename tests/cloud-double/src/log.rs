//! Logs calls: what was asked, when, and how it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When it came in, counted from the making of the double.
    pub at: Duration,
    /// Such as `RunInstances`; empty when the request names none.
    pub action: String,
    /// Such as `2014-05-26`.
    pub version: String,
    /// `GET` or `POST`.
    pub method: String,
    /// How it was signed; [`None`] when it was not understood that far.
    pub scheme: Option<Scheme>,
    /// The decoded parameters of the action; a password is `***`.
    pub parameters: BTreeMap<String, String>,
    /// How it ended.
    pub verdict: Verdict,
    /// Calls that were under way at the same time, this one included.
    pub concurrency: usize,
}

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HMAC-SHA1 over parameters.
    V1,
    /// ACS3-HMAC-SHA256 over headers.
    V3,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered.
    Done,
    /// A token was seen before: the first answer was given again and nothing was done.
    Replayed,
    /// It was refused.
    Refused {
        /// HTTP status.
        status: u16,
        /// Error code.
        code: String,
    },
    /// The caller got no answer.
    Lost {
        /// Whether the call did what it should all the same.
        effect: bool,
    },
}

impl Call {
    /// Whether the cloud said no.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.verdict, Verdict::Refused { .. })
    }

    /// What two clients must have in common: version, action and sorted parameters, as one line of JSON.
    #[must_use]
    pub fn comparable(&self) -> String {
        json!({ "version": self.version, "action": self.action, "parameters": self.parameters }).to_string()
    }

    /// Everything, as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let verdict = match &self.verdict {
            Verdict::Done => json!("done"),
            Verdict::Replayed => json!("replayed"),
            Verdict::Refused { status, code } => json!({ "status": status, "code": code }),
            Verdict::Lost { effect } => json!({ "lost": true, "effect": effect }),
        };
        json!({
            "at": self.at.as_secs_f64(),
            "version": self.version,
            "action": self.action,
            "method": self.method,
            "scheme": self.scheme.map(|scheme| format!("{scheme:?}")),
            "parameters": self.parameters,
            "verdict": verdict,
            "concurrency": self.concurrency,
        })
    }
}

/// Parameters as they may be written down.
pub(crate) fn without_secrets(parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let hide = |name: &str| matches!(name, "Password");
    parameters
        .iter()
        .map(|(name, value)| (name.clone(), if hide(name) { "***".to_string() } else { value.clone() }))
        .collect()
}
