//! Serves the RAM role of an instance, as the metadata service does.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::clock::timestamp;
use crate::options::{Key, Options};
use crate::world::letters;

const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
const TOKEN: &str = "/latest/api/token";

/// Temporary keys of one role, newest last.
#[derive(Debug)]
pub(crate) struct Metadata {
    role: Option<String>,
    region: String,
    lifetime: Duration,
    keys: Vec<Key>,
}

impl Metadata {
    pub(crate) fn new(options: &Options) -> Metadata {
        Metadata {
            role: options.ram_role.clone(),
            region: options.regions.first().cloned().unwrap_or_default(),
            lifetime: options.ram_role_lifetime,
            keys: Vec::new(),
        }
    }

    /// Every key that was given out.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().cloned()
    }

    /// Answers below `/latest/`, with or without a token of its own.
    pub(crate) fn answer(&mut self, request: &Request<Bytes>, now: Duration, wall: SystemTime) -> Response<Bytes> {
        let path = request.uri().path();
        let role = self.role.clone().unwrap_or_default();
        let text = match path {
            TOKEN if request.method() == Method::PUT => Some("AAAAtoken".to_string()),
            "/latest/meta-data/region-id" => Some(self.region.clone()),
            _ if role.is_empty() => None,
            ROLES => Some(role),
            _ if path.strip_prefix(ROLES) == Some(&role) => Some(self.credentials(now, wall)),
            _ => None,
        };
        let status = if text.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Bytes::from(text.unwrap_or_default()));
        *response.status_mut() = status;
        response
    }

    /// The key of now; a new one comes when three quarters of the old one's life are over.
    fn credentials(&mut self, now: Duration, wall: SystemTime) -> String {
        let rest = |key: &Key| key.expires.unwrap_or_default().saturating_sub(now);
        if self.keys.last().is_none_or(|key| rest(key) <= self.lifetime / 4) {
            let seed = u64::try_from(self.keys.len()).unwrap_or_default() + 1;
            self.keys.push(Key {
                id: format!("STS.{}", letters(seed, 16)),
                secret: letters(seed + 1000, 30),
                token: Some(letters(seed + 2000, 60)),
                expires: Some(now + self.lifetime),
            });
        }
        let Some(key) = self.keys.last() else { return String::new() };
        json!({
            "Code": "Success",
            "AccessKeyId": key.id,
            "AccessKeySecret": key.secret,
            "SecurityToken": key.token,
            "Expiration": timestamp(wall + rest(key)),
            "LastUpdated": timestamp(wall),
        })
        .to_string()
    }
}
