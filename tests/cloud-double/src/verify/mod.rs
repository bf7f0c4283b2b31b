//! Verifies who signed a request.

mod encode;
mod v1;
mod v3;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use crate::clock::parse_timestamp;
use crate::failure::{Failure, Outcome};
use crate::log::Scheme;
use crate::options::Key;
use crate::parameters::Parameters;
use crate::received::Received;

/// How far the caller's clock may be off.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// What a request says about itself, before anything of it is checked.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) scheme: Scheme,
    pub(crate) action: String,
    pub(crate) version: String,
    pub(crate) key_id: String,
    pub(crate) token: Option<String>,
    pub(crate) timestamp: String,
    pub(crate) nonce: String,
    pub(crate) signature: String,
    /// Parameters of the action itself.
    pub(crate) parameters: Parameters,
    /// Whether the caller wants JSON; the first interface answers XML unless it is told otherwise.
    pub(crate) json: bool,
}

/// Reads what the request claims, by whichever scheme it uses.
pub(crate) fn claim(received: &Received) -> Outcome<Claim> {
    if received.headers.contains_key("authorization") { v3::claim(received) } else { v1::claim(received) }
}

/// Checks a claim: time, nonce, key, token, signature; remembers the nonce when all is right.
pub(crate) fn verify(
    claim: &Claim,
    received: &Received,
    keys: &[Key],
    nonces: &mut HashSet<(String, String)>,
    now: Duration,
    wall: SystemTime,
) -> Outcome<()> {
    let at = parse_timestamp(&claim.timestamp)
        .ok_or_else(|| Failure::new(400, "IllegalTimestamp", "the time must be like 2006-01-02T15:04:05Z"))?;
    let off = wall.duration_since(at).unwrap_or_else(|early| early.duration());
    if off > WINDOW {
        return Err(Failure::new(400, "InvalidTimeStamp.Expired", "the time is too far from that of the server"));
    }
    let key = keys
        .iter()
        .find(|key| key.id == claim.key_id)
        .ok_or_else(|| Failure::not_found("InvalidAccessKeyId.NotFound", "the access key"))?;
    verify_token(claim, key, now)?;
    let nonce = (claim.key_id.clone(), claim.nonce.clone());
    if claim.nonce.is_empty() || nonces.contains(&nonce) {
        return Err(Failure::new(400, "SignatureNonceUsed", "the nonce was used before"));
    }
    let (expected, signed) = match claim.scheme {
        Scheme::V1 => v1::signature(received, &key.secret),
        Scheme::V3 => v3::signature(received, &key.secret)?,
    };
    if expected != claim.signature {
        let message = format!("the signature does not match; the server signs: {signed}");
        return Err(Failure::new(400, "SignatureDoesNotMatch", message));
    }
    nonces.insert(nonce);
    Ok(())
}

fn verify_token(claim: &Claim, key: &Key, now: Duration) -> Outcome<()> {
    match (&key.token, &claim.token) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(Failure::not_found("InvalidAccessKeyId.NotFound", "the access key without its token")),
        (Some(known), Some(given)) if known != given => {
            Err(Failure::new(400, "InvalidSecurityToken.Malformed", "the security token is malformed"))
        }
        (Some(_), Some(_)) if key.expires.is_some_and(|at| now >= at) => {
            Err(Failure::new(400, "InvalidSecurityToken.Expired", "the security token has expired"))
        }
        (Some(_), Some(_)) => Ok(()),
        (None, Some(_)) => Err(Failure::new(
            400,
            "InvalidSecurityToken.MismatchWithAccessKey",
            "the security token does not belong to the access key",
        )),
    }
}
