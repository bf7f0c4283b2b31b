//! Chooses images of a list by name, label or platform.

use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, Result};
use crate::images::Images;
use crate::inspect::Summary;
use crate::platform::Platform;

/// What an image of a list must be like.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Filter {
    /// Its name, whole or as a user writes it, is like this pattern.
    Reference(GlobMatcher),
    /// It has this label; with this value, when one is given.
    Label(String, Option<String>),
    /// It is built for this platform.
    Platform(Platform),
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || Error::Option {
            option: "a filter",
            value: text.to_owned(),
            expected: "reference=PATTERN, label=KEY, label=KEY=VALUE or platform=OS/ARCH",
        };
        match text.split_once('=') {
            Some(("reference", pattern)) => {
                let glob = GlobBuilder::new(pattern).literal_separator(false).build().map_err(|_| fault())?;
                Ok(Self::Reference(glob.compile_matcher()))
            }
            Some(("label", label)) if !label.is_empty() => Ok(match label.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(label.to_owned(), None),
            }),
            Some(("platform", platform)) => platform.parse().map(Self::Platform),
            _ => Err(fault()),
        }
    }
}

impl Filter {
    /// Whether an image is like this. One that cannot be read has no labels.
    pub(crate) fn matches(&self, images: &Images, summary: &Summary) -> bool {
        match self {
            Self::Reference(glob) => glob.is_match(&summary.name) || glob.is_match(&summary.familiar),
            Self::Platform(wanted) => summary.platforms.iter().any(|platform| platform.serves(wanted)),
            Self::Label(key, value) => {
                let found = images.get(&summary.name).ok().and_then(|image| image.labels().get(key).cloned());
                found.is_some_and(|found| value.as_ref().is_none_or(|value| *value == found))
            }
        }
    }
}
