//! Image names that name no registry, and where they are looked for.

use content_store::{DefaultRegistry, Reference};

use crate::{Error, Sealer};

impl Sealer {
    /// The whole name by which a registry is asked: one without a registry means that of [`crate::Settings::default_registry`].
    ///
    /// # Errors
    ///
    /// [`Error::Image`] when the text is no image name.
    pub fn whole_name(&self, name: &str) -> Result<Reference, Error> {
        self.settings().default_registry.complete(name).map_err(|error| cloudimage::Error::from(error).into())
    }
}

/// Says of a name without a registry where it was looked for, when there is nothing that one may see.
pub(crate) fn explained(name: &str, whole: &Reference, error: Error) -> Error {
    let refusal = match &error {
        Error::Registry(error)
        | Error::Image(cloudimage::Error::Registry(error) | cloudimage::Error::NotPulled { source: error, .. }) => {
            error
        }
        _ => return error,
    };
    let is_absent = refusal.is_not_found() || matches!(refusal, registry_client::Error::Unauthorised { .. });
    if !(is_absent && DefaultRegistry::is_needed(name)) {
        return error;
    }
    let whole = format!("{}/{}", whole.registry(), whole.repository());
    Error::ShortName { name: name.to_owned(), whole, source: Box::new(error) }
}
