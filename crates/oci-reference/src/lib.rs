//! Digests and image references: the two names that content has, one type each.
//!
//! A [`Digest`] names bytes; a [`Reference`] names an image of a registry by tag, digest or both. The store, the
//! registry client, the proxy and the command line use these types, so a name is parsed and checked once.
//!
//! ```
//! use oci_reference::{Digest, Reference};
//!
//! let image: Reference = "nginx:1.19".parse()?;
//! assert_eq!(image.to_string(), "docker.io/library/nginx:1.19");
//! let pinned = image.with_digest(Digest::of(b"{}"));
//! assert_eq!(pinned.digest(), Some(&Digest::of(b"{}")));
//! # Ok::<(), oci_reference::Error>(())
//! ```
//!
//! # Errors
//!
//! [`Error`] has the text (shortened) and the rule that it breaks.

mod default_registry;
mod digest;
mod reference;

pub use default_registry::DefaultRegistry;
pub use digest::{Algorithm, Digest, Hasher};
pub use reference::Reference;

/// A text that is no digest or no image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a digest.
    #[error("`{text}` is not a digest of the form sha256:<64 hexadecimal digits>: {reason}")]
    InvalidDigest {
        /// The text (shortened).
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The text is not an image name.
    #[error("`{text}` is not an image name: {reason}")]
    InvalidReference {
        /// The text (shortened).
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The text does not say where names without a registry are looked for.
    #[error("`{text}` is not a registry with an optional namespace, such as registry.example.com/team: {reason}")]
    InvalidDefaultRegistry {
        /// The text (shortened).
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
}

/// At most the first 80 characters of a text from outside, for an error message.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
