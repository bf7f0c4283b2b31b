//! Fetches and refreshes the temporary key of an instance role.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use clusterfile::Secret;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;

use super::{AccessKey, Transport, TransportFailure, WallClock};

const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
const TIMEOUT: Duration = Duration::from_secs(5);
/// A key is not used any more when it ends this soon.
const SPARE: Duration = Duration::from_secs(300);

/// The role of the instance that this program runs on; its keys come from the metadata service and end after hours.
#[derive(Debug)]
pub struct InstanceRole {
    transport: Arc<dyn Transport>,
    name: Option<String>,
    clock: WallClock,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    key: AccessKey,
    until: SystemTime,
}

impl InstanceRole {
    /// Where the metadata service is on every instance.
    pub const ADDRESS: &'static str = "http://100.100.100.200";

    /// The role `name`, or the one that the instance has. `transport` must not use a proxy. The service is asked by its
    /// literal address and no other: whoever could name another would be sent what opens the account.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, name: Option<String>, clock: WallClock) -> Self {
        Self { transport, name, clock, held: Mutex::new(None) }
    }

    /// The key that is held, or a new one when it ends soon. Callers that come meanwhile wait for the same answer.
    pub(super) async fn key(&self) -> Result<AccessKey, RoleError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.until > self.clock.now() + SPARE) {
            return Ok(held.key.clone());
        }
        match (self.fetch().await, held.as_ref()) {
            (Ok(fresh), _) => Ok(held.insert(fresh).key.clone()),
            // The last minutes of a key are there for this.
            (Err(_), Some(held)) if held.until > self.clock.now() => Ok(held.key.clone()),
            (Err(error), _) => Err(error),
        }
    }

    /// Drops `key` if it is the one that is held.
    pub(super) async fn forget(&self, key: &AccessKey) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.key == *key) {
            *held = None;
        }
    }

    async fn fetch(&self) -> Result<Held, RoleError> {
        let session = self.session().await?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.own_name(&session).await?,
        };
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(usable) {
            return Err(RoleError::Name { name });
        }
        let text = self.get(&format!("{ROLES}{name}"), &session).await?;
        let answer: Answer = serde_json::from_slice(&text).map_err(|_| unreadable("is not JSON"))?;
        if answer.code.as_deref().unwrap_or("Success") != "Success" {
            return Err(unreadable("says that it failed"));
        }
        let until = OffsetDateTime::parse(&answer.expiration, &Rfc3339).map_err(|_| unreadable("has no end"))?;
        let key = AccessKey::new(answer.access_key_id, answer.access_key_secret).with_token(answer.security_token);
        Ok(Held { key, until: until.into() })
    }

    /// Services in the hardened mode answer only with a token; older ones do not know of it.
    async fn session(&self) -> Result<Option<Secret>, RoleError> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{}/latest/api/token", Self::ADDRESS))
            .header("x-aliyun-ecs-metadata-token-ttl-seconds", "60");
        let answer = self.send(request).await?;
        let token = String::from_utf8_lossy(answer.body()).trim().to_owned();
        Ok((answer.status() == StatusCode::OK && !token.is_empty()).then(|| token.into()))
    }

    async fn own_name(&self, session: &Option<Secret>) -> Result<String, RoleError> {
        let names = self.get(ROLES, session).await?;
        Ok(String::from_utf8_lossy(&names).lines().next().unwrap_or_default().trim().to_owned())
    }

    async fn get(&self, path: &str, session: &Option<Secret>) -> Result<Bytes, RoleError> {
        let mut request = Request::builder().uri(format!("{}{path}", Self::ADDRESS));
        if let Some(token) = session {
            request = request.header("x-aliyun-ecs-metadata-token", token.expose());
        }
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            StatusCode::NOT_FOUND => Err(RoleError::NoRole { name: self.name.clone() }),
            _ => Err(unreadable("refuses")),
        }
    }

    async fn send(&self, request: http::request::Builder) -> Result<http::Response<Bytes>, RoleError> {
        let request = request.body(Bytes::new()).map_err(|_| unreadable("has no usable address"))?;
        let sent = self.transport.send(request, TIMEOUT).await;
        sent.map_err(|source| RoleError::Unreachable { source })
    }
}

fn unreadable(fault: &'static str) -> RoleError {
    RoleError::Answer { fault }
}

/// The role gives no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// The metadata service does not answer: this is no instance.
    #[error("the metadata service at {} gives no key: only instances of Alibaba Cloud have one", InstanceRole::ADDRESS)]
    Unreachable {
        /// What the network said.
        #[source]
        source: TransportFailure,
    },
    /// The instance has no role, or not this one.
    #[error("this instance has no RAM role{}: attach one", name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default())]
    NoRole {
        /// The role that was asked for.
        name: Option<String>,
    },
    /// Nothing can have this name.
    #[error("`{name}` is no name of a RAM role")]
    Name {
        /// The name.
        name: String,
    },
    /// The service answered something else.
    #[error("the metadata service at {} {fault}", InstanceRole::ADDRESS)]
    Answer {
        /// What is wrong.
        fault: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: Option<String>,
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
}
