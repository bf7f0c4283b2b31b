//! Tokens for a login, as docker's registries give them: clients that pull without a login learn from the challenge how to push with one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::time::Instant;

/// How long a token is good for, in seconds.
pub(crate) const LIFETIME: u64 = 900;

/// Makes and checks tokens. They are good until the process ends.
pub(crate) struct Tokens {
    key: [u8; 64],
    start: Instant,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tokens")
    }
}

impl Tokens {
    /// Tokens with a key of their own; none when the system has no random numbers.
    pub(crate) fn new() -> Option<Self> {
        let mut key = [0; 64];
        getrandom::fill(&mut key).ok()?;
        Some(Self { key, start: Instant::now() })
    }

    /// A token of a user; of nobody when the name is empty.
    pub(crate) fn issue(&self, user: &str) -> String {
        let claim = format!("{}:{user}", self.start.elapsed().as_secs() + LIFETIME);
        let tag = self.mac(&claim).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&claim), URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whose token it is; none when it is not one of ours or too old.
    pub(crate) fn user(&self, token: &str) -> Option<String> {
        let (claim, tag) = token.split_once('.')?;
        let claim = String::from_utf8(URL_SAFE_NO_PAD.decode(claim).ok()?).ok()?;
        self.mac(&claim).verify_slice(&URL_SAFE_NO_PAD.decode(tag).ok()?).ok()?;
        let (end, user) = claim.split_once(':')?;
        (end.parse::<u64>().ok()? > self.start.elapsed().as_secs()).then(|| user.to_owned())
    }

    fn mac(&self, claim: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(claim.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_for_its_user_and_time() {
        let (tokens, others) = (Tokens::new().unwrap(), Tokens::new().unwrap());
        let token = tokens.issue("pusher:x");
        assert_eq!(tokens.user(&token).as_deref(), Some("pusher:x"));
        assert_eq!(tokens.user(&tokens.issue("")).as_deref(), Some(""));
        let (claim, tag) = token.split_once('.').unwrap();
        let other = tokens.issue("a");
        for wrong in ["", ".", claim, &format!("{}.{tag}", other.split_once('.').unwrap().0), &others.issue("pusher:x")]
        {
            assert_eq!(tokens.user(wrong), None, "{wrong}");
        }
        tokio::time::advance(Duration::from_secs(LIFETIME)).await;
        assert_eq!(tokens.user(&token), None, "it is too old");
    }
}
