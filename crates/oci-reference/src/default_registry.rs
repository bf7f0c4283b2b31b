//! Where image names that name no registry are looked for.

use crate::reference::{DEFAULT_REGISTRY, check_repository, is_registry, split_registry};
use crate::{Error, Reference, shorten};
use std::fmt;
use std::str::FromStr;

/// The registry, and the namespace there, that names like `kubernetes:v1.20.2` are looked for in; as docker does, unless another is set.
///
/// ```
/// use oci_reference::DefaultRegistry;
///
/// let ours: DefaultRegistry = "registry.example.com/clusters".parse()?;
/// assert_eq!(ours.complete("kubernetes:v1.20.2")?.to_string(), "registry.example.com/clusters/kubernetes:v1.20.2");
/// assert_eq!(ours.complete("team/shop:1")?.to_string(), "registry.example.com/team/shop:1");
/// assert_eq!(ours.complete("quay.io/team/shop:1")?.to_string(), "quay.io/team/shop:1");
/// assert_eq!(DefaultRegistry::default().complete("nginx")?.to_string(), "docker.io/library/nginx:latest");
/// # Ok::<(), oci_reference::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRegistry {
    registry: String,
    namespace: Option<String>,
}

impl Default for DefaultRegistry {
    fn default() -> Self {
        Self { registry: DEFAULT_REGISTRY.to_owned(), namespace: Some("library".to_owned()) }
    }
}

impl DefaultRegistry {
    /// Whether an image name names no registry.
    #[must_use]
    pub fn is_needed(name: &str) -> bool {
        let first = name.split(['@']).next().unwrap_or_default();
        // The name of docker's own registry is a registry, too, although names without one mean the same.
        split_registry(first).0 == DEFAULT_REGISTRY
            && !first.starts_with("docker.io/")
            && !first.starts_with("index.docker.io/")
    }

    /// The whole name. The namespace is for names of a single word.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidReference`] or [`Error::InvalidDigest`] when the text is no image name.
    pub fn complete(&self, name: &str) -> Result<Reference, Error> {
        // What is no name by itself is none with a registry before it, and errors show what was written.
        let reference: Reference = name.parse()?;
        if !Self::is_needed(name) {
            return Ok(reference);
        }
        match &self.namespace {
            Some(namespace) if !name.contains('/') => format!("{}/{namespace}/{name}", self.registry).parse(),
            _ => format!("{}/{name}", self.registry).parse(),
        }
    }
}

impl fmt::Display for DefaultRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.registry)?;
        self.namespace.iter().try_for_each(|namespace| write!(formatter, "/{namespace}"))
    }
}

impl FromStr for DefaultRegistry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::InvalidDefaultRegistry { text: shorten(text), reason };
        let (registry, namespace) = match text.trim_end_matches('/').split_once('/') {
            Some((registry, namespace)) => (registry, Some(namespace)),
            None => (text.trim_end_matches('/'), None),
        };
        if !is_registry(registry) {
            return Err(wrong("the part before the first `/` is not a host name with an optional port"));
        }
        namespace.map_or(Ok(()), check_repository).map_err(wrong)?;
        // Docker's own registry has no images outside of a namespace.
        let namespace = namespace.or((registry == DEFAULT_REGISTRY).then_some("library"));
        Ok(Self { registry: registry.to_owned(), namespace: namespace.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn complete(default: &str, name: &str) -> String {
        default.parse::<DefaultRegistry>().unwrap().complete(name).unwrap().to_string()
    }

    #[test]
    fn only_names_without_a_registry_are_completed() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (default, name, whole) in [
            ("reg:5000", "kubernetes", "reg:5000/kubernetes:latest"),
            ("reg:5000/a/b", "kubernetes:v1", "reg:5000/a/b/kubernetes:v1"),
            ("reg:5000/a/", "team/shop:1", "reg:5000/team/shop:1"),
            ("reg:5000", "docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("reg:5000", "docker.io/nginx", "docker.io/library/nginx:latest"),
            ("reg:5000", "localhost/x:1", "localhost/x:1"),
            ("localhost", "x:1", "localhost/x:1"),
            ("docker.io", "nginx", "docker.io/library/nginx:latest"),
            ("docker.io/team", "nginx", "docker.io/team/nginx:latest"),
        ] {
            assert_eq!(complete(default, name), whole);
        }
        assert_eq!(complete("reg:5000/a", &format!("x@{digest}")), format!("reg:5000/a/x@{digest}"));
        let error = "reg:5000/a".parse::<DefaultRegistry>().unwrap().complete("A b").unwrap_err();
        assert!(error.to_string().starts_with("`A b`"), "{error}");
    }

    #[test]
    fn a_default_that_is_no_registry_is_refused() {
        for text in ["", "/a", "a b", "https://reg", "reg:port", "reg/A", "reg//a", "reg/a:1"] {
            let error = text.parse::<DefaultRegistry>().unwrap_err().to_string();
            assert!(error.contains("not a registry with an optional namespace"), "{error}");
        }
        assert_eq!("docker.io".parse::<DefaultRegistry>().unwrap(), DefaultRegistry::default());
        assert_eq!(DefaultRegistry::default().to_string(), "docker.io/library");
    }

    proptest! {
        #[test]
        fn without_a_setting_names_mean_what_docker_means(name in "[a-z]{1,5}(/[a-z]{1,5}){0,2}(:[a-z0-9]{1,4})?|[a-z.:/@A-Z]{0,20}") {
            prop_assert_eq!(DefaultRegistry::default().complete(&name), name.parse::<Reference>());
        }
    }
}
