//! Variables for scripts, templates and commands.

use std::fmt;

use crate::{ErrorKind, Secret};

/// The variables of a cluster or a host, in the order of the file.
///
/// `Debug` shows the keys only, since values may be secrets. A value is kept as written: `a;b` stays one text, and a key may be repeated. Both forms mean a list, see [`Env::values`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Env(Vec<(String, String)>);

impl Env {
    /// The pairs in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is no pair at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many pairs there are; a repeated key counts each time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The last value of a key, as written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key: repeated pairs in order, each split at `;`.
    #[must_use]
    pub fn values(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(name, _)| name == key).flat_map(|(_, value)| value.split(';')).collect()
    }

    /// The pairs as they are written: `KEY=value`.
    pub(crate) fn pairs(&self) -> Vec<String> {
        self.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// Adds a pair at the end; a key that is already there becomes a list.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.push((key.into(), value.into()));
    }

    /// Gives a key exactly this value; it keeps its place when it was there before.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let mut single = Self::default();
        single.push(key, value);
        *self = self.overlaid(&single);
    }

    /// These variables with those of `over` taking precedence, key by key. Pairs of one key stand together afterwards.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut result = Self::default();
        for (key, _) in self.iter().chain(over.iter()) {
            if result.get(key).is_some() {
                continue;
            }
            let source = if over.get(key).is_some() { over } else { self };
            result.0.extend(source.0.iter().filter(|(name, _)| name == key).cloned());
        }
        result
    }

    /// The pairs whose key has other values in `base`: what has to be overlaid on `base` to get these variables.
    #[must_use]
    pub(crate) fn differing_from(&self, base: &Self) -> Self {
        let of = |env: &Self, key: &str| {
            env.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        Self(self.0.iter().filter(|(key, _)| of(self, key) != of(base, key)).cloned().collect())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.0.iter().map(|(key, _)| (key, Secret::default()))).finish()
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Reads one `K=V` argument, as `--env` takes it.
///
/// # Errors
/// [`ErrorKind::EnvWithoutEquals`] and [`ErrorKind::EnvKey`].
pub fn env_pair(text: &str) -> Result<(String, String), ErrorKind> {
    let (key, value) = text.split_once('=').ok_or_else(|| ErrorKind::EnvWithoutEquals(text.to_owned()))?;
    let good = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    if !good {
        return Err(ErrorKind::EnvKey(key.to_owned()));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lists_are_repeated_keys_and_semicolons() {
        let env = env(&[("A", "1;2"), ("B", "x"), ("A", "3")]);
        assert_eq!(env.values("A"), ["1", "2", "3"]);
        assert_eq!(env.get("A"), Some("3"));
        assert!(env.values("C").is_empty());
    }

    #[test]
    fn overlay_replaces_key_by_key_and_can_be_taken_apart_again() {
        let base = env(&[("A", "1"), ("B", "2"), ("A", "3")]);
        let over = env(&[("A", "9"), ("C", "4")]);
        let effective = base.overlaid(&over);
        assert_eq!(effective, env(&[("A", "9"), ("B", "2"), ("C", "4")]));
        assert_eq!(effective.differing_from(&base), over);
        assert_eq!(base.overlaid(&Env::default()).differing_from(&base), Env::default());
    }

    #[test]
    fn set_keeps_the_place_of_a_key() {
        let mut env = env(&[("A", "1"), ("B", "2")]);
        env.set("A", "5");
        env.set("C", "6");
        assert_eq!(env.iter().collect::<Vec<_>>(), [("A", "5"), ("B", "2"), ("C", "6")]);
    }

    #[test]
    fn pairs_need_a_key_and_an_equals_sign() {
        assert_eq!(env_pair("docker-dir=/a=b"), Ok(("docker-dir".into(), "/a=b".into())));
        assert_eq!(env_pair("A"), Err(ErrorKind::EnvWithoutEquals("A".into())));
        assert_eq!(env_pair("1A=x"), Err(ErrorKind::EnvKey("1A".into())));
        assert_eq!(env_pair("=x"), Err(ErrorKind::EnvKey(String::new())));
    }
}
