//! Holds everything that is known about a failed call, without secrets.

use std::fmt;
use std::time::Duration;

use clusterfile::Secret;
use serde_json::Value;

use super::classify::{classify, throttle_wait};
use super::{Class, RoleError, TransportFailure, sign};
use crate::Cause;

/// A call that failed, with everything the user or the vendor's support needs to know about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ApiError {
    /// The action, for example `RunInstances`.
    pub action: &'static str,
    /// HTTP status of the answer; none if there was none.
    pub status: Option<u16>,
    /// Code of the cloud, for example `OperationDenied.NoStock`; empty if it gave none.
    pub code: String,
    /// What it said, in one line and without secrets.
    pub message: String,
    /// Its name for this call.
    pub request_id: Option<String>,
    /// What to do about it.
    pub class: Class,
    /// How long to wait, if the cloud said so.
    pub retry_after: Option<Duration>,
    /// Whether the call may have had its effect all the same.
    pub may_have_happened: bool,
    /// Whether sending the same call again cannot do it twice: it only reads, bears a token, or does by nature
    /// nothing the second time.
    pub repeatable: bool,
    /// What the transport or the metadata service reported.
    pub source: Option<Cause>,
}

impl ApiError {
    /// What the user can do about it, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.class {
            Class::Denied if self.code.starts_with("InvalidAccessKeyId") => {
                "check the access key id (ACCESSKEYID): it does not exist or is disabled"
            }
            Class::Denied if self.code.contains("SecurityToken") => {
                "the security token is wrong or has expired: get a new one"
            }
            Class::Denied if self.code.contains("Signature") => {
                "check the secret (ACCESSKEYSECRET): it does not belong to this access key id"
            }
            Class::Forbidden => {
                "grant the RAM user or role this action, for example by AliyunECSFullAccess, AliyunVPCFullAccess and AliyunEIPFullAccess"
            }
            Class::Account if self.code.starts_with("RealName") => {
                "complete the real-name registration of the account in the console"
            }
            Class::Account => "top up the account: its balance does not allow new resources",
            Class::Quota => {
                "ask for a higher quota in the quota centre of the console, or want fewer or smaller machines"
            }
            Class::ClockSkew => "set the clock of this machine: the cloud takes no request that is 15 minutes off",
            Class::Refused if self.code == "InvalidOperation.DeletionProtection" => {
                "switch off the deletion protection of the instance in the console"
            }
            _ => return None,
        })
    }

    /// A failed answer. `secrets` are taken out of what it says.
    pub(super) fn from_answer(
        action: &'static str,
        answer: &http::Response<bytes::Bytes>,
        repeatable: bool,
        secrets: &[&Secret],
    ) -> Self {
        let status = answer.status().as_u16();
        let said = ErrorBody::read(answer.body());
        let code: String = said.code.chars().filter(|c| c.is_ascii_graphic()).take(120).collect();
        let wait = throttle_wait(answer.headers());
        let class = classify(action, status, &code, wait.is_some_and(|wait| wait.by_itself));
        let request_id = said.request_id.or_else(|| {
            let header = answer.headers().get("x-acs-request-id").and_then(|value| value.to_str().ok());
            header.map(str::to_owned)
        });
        Self {
            action,
            status: Some(status),
            code,
            message: readable(&redact(said.message, secrets)),
            request_id: request_id.map(|id| id.chars().filter(char::is_ascii_graphic).take(64).collect()),
            class,
            retry_after: wait.filter(|_| class == Class::Throttled).map(|wait| wait.after),
            may_have_happened: matches!(class, Class::Server | Class::InFlight),
            repeatable,
            source: None,
        }
    }

    pub(super) fn from_transport(action: &'static str, failure: TransportFailure, repeatable: bool) -> Self {
        let may_have_happened = failure.may_have_arrived();
        let class = match failure {
            TransportFailure::Unsendable { .. } | TransportFailure::Setup { .. } => Class::Refused,
            _ => Class::Server,
        };
        let message = failure.to_string();
        let source = Some(failure.into());
        Self { class, may_have_happened, source, ..Self::local(action, message, repeatable) }
    }

    pub(super) fn from_role(action: &'static str, failure: RoleError) -> Self {
        let class = match failure {
            RoleError::Unreachable { .. } => Class::Server,
            _ => Class::Denied,
        };
        let message = failure.to_string();
        Self { class, source: Some(failure.into()), ..Self::local(action, message, true) }
    }

    /// A failure on this side, before anything was sent.
    pub(super) fn local(action: &'static str, message: impl Into<String>, repeatable: bool) -> Self {
        Self {
            action,
            status: None,
            code: String::new(),
            message: message.into(),
            request_id: None,
            class: Class::Refused,
            retry_after: None,
            may_have_happened: false,
            repeatable,
            source: None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: ", self.action)?;
        match (self.code.is_empty(), self.message.is_empty()) {
            (false, false) => write!(f, "{}: {}", self.code, self.message)?,
            (false, true) => f.write_str(&self.code)?,
            (true, false) => f.write_str(&self.message)?,
            (true, true) => f.write_str("the answer says nothing")?,
        }
        match (self.status, &self.request_id) {
            (Some(status), Some(id)) => write!(f, " (HTTP {status}, request {id})")?,
            (Some(status), None) => write!(f, " (HTTP {status})")?,
            (None, _) => {}
        }
        self.hint().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The first source is told in the message already.
        self.source.as_deref().and_then(std::error::Error::source)
    }
}

/// The error document; some products write its names in lower case.
#[derive(Debug, Default)]
struct ErrorBody {
    code: String,
    message: String,
    request_id: Option<String>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Self { message: Self::start(body), ..Self::default() };
        };
        let text = |name: &str| {
            let member = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            member.and_then(|(_, value)| value.as_str()).map(str::to_owned)
        };
        let (code, message) = (text("Code").unwrap_or_default(), text("Message").unwrap_or_default());
        Self { code, message, request_id: text("RequestId") }
    }

    /// What a proxy or a wrong server says, as far as it helps.
    fn start(body: &[u8]) -> String {
        // Cut only after secrets were taken out: half a secret is none that could be found.
        let start = String::from_utf8_lossy(&body[..body.len().min(64 << 10)]);
        if start.trim().is_empty() { String::new() } else { format!("the answer is not JSON: {start}") }
    }
}

/// Servers quote parameters, plain or as they were signed.
pub(super) fn redact(mut text: String, secrets: &[&Secret]) -> String {
    let mut forms: Vec<String> = Vec::new();
    for secret in secrets.iter().map(|secret| secret.expose()).filter(|secret| secret.len() >= 4) {
        let once = sign::encode(secret);
        forms.extend([sign::encode(&once), once, secret.to_owned()]);
    }
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    for form in forms {
        text = text.replace(&form, "***");
    }
    text
}

/// One line of bounded length, without control characters and without a full stop.
fn readable(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line: String = words.join(" ").chars().take(500).collect();
    line.trim_end_matches('.').to_owned()
}
