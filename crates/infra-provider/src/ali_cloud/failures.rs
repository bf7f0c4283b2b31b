//! Collects what could not be deleted while the rest was.

use super::cloud::Cloud;
use crate::{Error, Result};

/// What could not be freed, and why; without a reason because of the others.
#[derive(Default)]
pub(super) struct Failures(Vec<(String, Option<Error>)>);

impl Failures {
    /// Takes note of a failure; what came of it otherwise.
    pub(super) fn note<T>(&mut self, what: &str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push((what.to_owned(), Some(error)))).ok()
    }

    /// Something that cannot be freed because of what else could not.
    pub(super) fn because(&mut self, what: &str) {
        self.0.push((what.to_owned(), None));
    }

    /// Whether everything went well.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one failure, or a list of them.
    pub(super) fn finish(mut self, cloud: &Cloud<'_>) -> Result<()> {
        if let (1, Some((_, Some(_)))) = (self.0.len(), self.0.last()) {
            return self.0.pop().and_then(|(_, error)| error).map_or(Ok(()), Err);
        }
        let line = |(what, error): (String, Option<Error>)| match error {
            Some(Error::NotFreed { left, .. }) => left,
            Some(error) => vec![format!("{what}: {error}")],
            None => vec![format!("{what}: the machines are in it")],
        };
        let left: Vec<String> = self.0.into_iter().flat_map(line).collect();
        if left.is_empty() { Ok(()) } else { Err(Error::NotFreed { cluster: cloud.wanted.name.clone(), left }) }
    }
}
