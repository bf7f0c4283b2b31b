//! Which object keys are safe to use as paths.

use crate::error::{Error, Result, shorten};

const LIMIT: usize = 512;

/// Refuses keys that could leave the root or clash with temporary files.
pub(super) fn check(key: &str) -> Result<()> {
    let reason = if key.is_empty() {
        "it is empty"
    } else if key.len() > LIMIT {
        "it is too long"
    } else if key.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        "a part is empty or starts with a dot"
    } else if key.contains(|letter: char| letter == '\\' || letter.is_control()) {
        "it has a backslash or a control character"
    } else {
        return Ok(());
    };
    Err(Error::InvalidKey { key: shorten(key), reason })
}
