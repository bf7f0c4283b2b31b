//! Prints an error and its causes on one line.
//!
//! ```
//! use std::io::{Error, ErrorKind};
//!
//! # #[derive(Debug)] struct Failed(Error);
//! # impl std::fmt::Display for Failed {
//! #     fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { to.write_str("cannot read the key") }
//! # }
//! # impl std::error::Error for Failed {
//! #     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> { Some(&self.0) }
//! # }
//! let error = Failed(Error::from(ErrorKind::PermissionDenied));
//! assert_eq!(error_report::one_line(&error), "cannot read the key: permission denied");
//! ```

use std::error::Error;

/// The message of the error and of each of its causes, joined by `: `.
///
/// A cause whose text the line already contains is left out: many libraries repeat their cause in their own message.
#[must_use]
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| (*cause).source()) {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &(dyn Error + 'static))
        }
    }

    #[test]
    fn causes_follow_once_each() {
        let bottom = Link("refused", None);
        let repeated = Link("connect to a: refused", Some(Box::new(bottom)));
        let top = Link("cannot fetch x", Some(Box::new(repeated)));
        assert_eq!(one_line(&top), "cannot fetch x: connect to a: refused");
        assert_eq!(one_line(&Link("alone", None)), "alone");
    }
}
