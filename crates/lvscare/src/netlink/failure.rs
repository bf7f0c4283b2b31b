//! Says why the kernel did not do what it was asked over netlink.

use std::io;

use crate::Error;

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel refused with this error number (`errno(3)`).
    Errno(i32),
    /// What was listed changed meanwhile.
    Interrupted,
    /// The answer does not have what was asked for.
    Incomplete,
    /// The socket failed.
    Io(io::Error),
}

/// There is no such object.
pub(crate) const NOT_FOUND: i32 = 2;
/// There is no such service (IPVS) or route.
pub(crate) const NO_SUCH: i32 = 3;
/// There is such an object already.
pub(crate) const EXISTS: i32 = 17;

impl Failure {
    /// Whether the object is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Errno(NOT_FOUND | NO_SUCH))
    }

    /// Whether the object is there already.
    pub(crate) fn exists(&self) -> bool {
        matches!(self, Self::Errno(EXISTS))
    }

    /// As an error of this crate: `act` was to be done to `object`.
    pub(crate) fn of(self, act: &'static str, object: impl Into<String>) -> Error {
        let object = object.into();
        let reason = match self {
            Self::Io(source) => return Error::Io { act: format!("{act} {object} over netlink"), source },
            Self::Errno(errno) => in_words(errno),
            Self::Interrupted => "the list changed while it was read".to_owned(),
            Self::Incomplete => "the answer does not have it".to_owned(),
        };
        Error::Refused { act, object, reason }
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
        let text = |errno| Failure::Errno(errno).of("write", "table x").to_string();
        assert_eq!(text(2), "cannot write table x: no such file or directory");
        let denied = "cannot write table x: not permitted; this needs root (CAP_NET_ADMIN) in this network namespace";
        assert_eq!(text(1), denied);
    }
}
