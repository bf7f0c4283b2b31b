//! The names of runtimes.

use std::borrow::Cow;
use std::fmt;

/// The name of a runtime, by which an image's labels select it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeName(Cow<'static, str>);

impl RuntimeName {
    /// Kubernetes made by kubeadm: what an image means that names none.
    pub const KUBERNETES: Self = Self(Cow::Borrowed("kubernetes"));

    /// A name that is known when the program is compiled.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name as labels write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
