//! Users and the bcrypt hashes of their passwords, as `htpasswd -B` writes them.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// More users, and lines longer than a user name and a hash, are refused.
const USER_LIMIT: usize = 1000;
const NAME_LIMIT: usize = 255;
/// The length of a bcrypt hash.
const HASH_LENGTH: usize = 60;
/// A hash of a higher cost takes seconds to compare with.
const COST_LIMIT: u32 = 14;

/// Who may ask a registry: the content of an `htpasswd` file.
#[derive(Clone, Default)]
pub struct Htpasswd {
    hashes: BTreeMap<String, String>,
}

impl std::fmt::Debug for Htpasswd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.hashes.keys()).finish()
    }
}

impl Htpasswd {
    /// Reads lines of `user:hash`; empty lines and those that begin with `#` say nothing. Of one user the last line counts.
    ///
    /// # Errors
    ///
    /// [`Error::Htpasswd`] for a hash that is none of bcrypt, and for a file that lets nobody in.
    pub fn parse(text: &str) -> Result<Self> {
        let mut hashes = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason| Error::Htpasswd { line: index + 1, reason };
            let (user, hash) = line.split_once(':').ok_or_else(|| wrong("is not `user:hash`"))?;
            if user.is_empty() || user.len() > NAME_LIMIT || hashes.len() == USER_LIMIT {
                return Err(wrong("names no user, one with more than 255 bytes, or the 1001st"));
            }
            if cost(hash).is_none_or(|cost| cost > COST_LIMIT) {
                return Err(wrong("has no bcrypt hash of a cost of at most 14; make it with htpasswd -B"));
            }
            hashes.insert(user.to_owned(), hash.to_owned());
        }
        if hashes.is_empty() {
            return Err(Error::Htpasswd { line: 1, reason: "and those after it name no user: nobody could ask" });
        }
        Ok(Self { hashes })
    }

    /// The hash of a user's password.
    pub(crate) fn hash(&self, user: &str) -> Option<&str> {
        self.hashes.get(user).map(String::as_str)
    }
}

/// The cost of a bcrypt hash, `$2y$10$` and 53 letters.
fn cost(hash: &str) -> Option<u32> {
    let (version, rest) = hash.strip_prefix("$2")?.split_once('$')?;
    let (cost, letters) = rest.split_once('$')?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    let sound = hash.len() == HASH_LENGTH && matches!(version, "a" | "b" | "y") && letters.bytes().all(is_letter);
    cost.parse().ok().filter(|_| sound && cost.len() == 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Of the password `U*U`, from the test vectors of crypt_blowfish.
    const HASH: &str = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    #[test]
    fn users_and_hashes_are_read() {
        let other = HASH.replace("E5", "E6");
        let parsed = Htpasswd::parse(&format!("# who\n\npuller:{other}\npuller:{HASH}\n")).unwrap();
        assert_eq!((parsed.hash("puller"), parsed.hash("other")), (Some(HASH), None));
        assert_eq!(format!("{parsed:?}"), "{\"puller\"}", "hashes are not shown");
    }

    #[test]
    fn what_lets_nobody_in_or_is_not_bcrypt_is_refused() {
        let line = |text: &str| match Htpasswd::parse(text).unwrap_err() {
            Error::Htpasswd { line, .. } => line,
            other => panic!("{other}"),
        };
        assert_eq!(line(""), 1);
        let slow = HASH.replace("$05$", "$31$");
        for wrong in ["a", "a:", "a:$apr1$x$y", &format!(":{HASH}"), &format!("a:{HASH}x"), &format!("a:{slow}")] {
            assert_eq!(line(&format!("b:{HASH}\n{wrong}\n")), 2, "{wrong}");
        }
    }
}
