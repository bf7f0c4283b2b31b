//! Keeps a password out of logs, debug output and memory that outlives it.
//!
//! ```
//! let password = secret::Secret::new("hunter2");
//! assert_eq!(format!("{password:?}"), "***");
//! assert_eq!(password.expose(), "hunter2");
//! ```

use std::fmt;

use zeroize::Zeroize;

/// A text that must not be shown: `Debug` prints `***`, there is no `Display`, and the memory is overwritten on drop.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it. Never put it into a message, an argument list or a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
