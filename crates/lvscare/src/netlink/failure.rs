//! Says why the kernel did not do what it was asked over netlink.

use std::io;

use crate::Error;

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel refused.
    Errno {
        /// The number of the error (`errno(3)`).
        errno: i32,
        /// The kernel's words; often none.
        words: String,
    },
    /// What was listed changed meanwhile.
    Interrupted,
    /// The answer is longer than anything sensible.
    TooLong,
    /// No answer came.
    Silent,
    /// The socket failed.
    Socket(io::Error),
}

/// There is no such object.
const NOT_FOUND: i32 = 2;
/// There is no such process; said by parts of the kernel about routes.
const NO_SUCH: i32 = 3;
/// There is such an object already.
const EXISTS: i32 = 17;

impl Failure {
    /// Whether the object is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Errno { errno: NOT_FOUND | NO_SUCH, .. })
    }

    /// Whether the object is there already.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::Errno { errno: EXISTS, .. })
    }

    /// In words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Errno { errno, words } if words.is_empty() => in_words(*errno),
            Self::Errno { errno, words } => format!("{} ({words})", in_words(*errno)),
            Self::Interrupted => "the list changed while it was read".to_owned(),
            Self::TooLong => "the answer is too long".to_owned(),
            Self::Silent => "the kernel did not answer".to_owned(),
            Self::Socket(source) => source.to_string(),
        }
    }

    /// As an error of this crate: `act` was to be done to `object`.
    pub(crate) fn of(self, act: &'static str, object: impl Into<String>) -> Error {
        let object = object.into();
        match self {
            Self::Socket(source) => Error::Io { act: format!("{act} {object} over netlink"), source },
            other => Error::Refused { act, object, reason: other.reason() },
        }
    }
}

/// An error number in words that help; those of the C library otherwise.
fn in_words(errno: i32) -> String {
    match errno {
        1 => "not permitted; this needs root (CAP_NET_ADMIN) in this network namespace".to_owned(),
        93 => "this kernel lacks the needed part of netfilter".to_owned(),
        95 => "the kernel does not support it".to_owned(),
        _ => {
            let text = io::Error::from_raw_os_error(errno).to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_words() {
        let failure = |errno, words: &str| Failure::Errno { errno, words: words.to_owned() };
        assert_eq!(failure(2, "").reason(), "no such file or directory");
        assert_eq!(failure(22, "bad weight").reason(), "invalid argument (bad weight)");
        let text = failure(1, "").of("write", "table x").to_string();
        assert_eq!(
            text,
            "cannot write table x: not permitted; this needs root (CAP_NET_ADMIN) in this network namespace"
        );
        assert!(failure(2, "").is_missing() && !failure(1, "").is_missing() && failure(17, "").is_there());
    }
}
