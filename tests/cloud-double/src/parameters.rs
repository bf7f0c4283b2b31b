//! Reads the parameters of a call by name.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::failure::{Failure, Outcome};

/// Decoded parameters of one call, without those that only sign it. An empty value counts as not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Refuses a name that is given twice.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Outcome<Parameters> {
        let mut map = BTreeMap::new();
        for (name, value) in pairs {
            if map.insert(name.clone(), value).is_some() {
                return Err(Failure::invalid(&name, "it is given twice"));
            }
        }
        Ok(Parameters(map))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(crate) fn map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Outcome<&str> {
        self.get(name).ok_or_else(|| Failure::missing(name))
    }

    /// `true` and `True` are the same.
    pub(crate) fn flag(&self, name: &str) -> Outcome<bool> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Failure::invalid(name, "it is neither true nor false")),
        }
    }

    pub(crate) fn number<T: Copy + FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        low: T,
        high: T,
    ) -> Outcome<Option<T>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<T>() {
            Ok(value) if value >= low && value <= high => Ok(Some(value)),
            _ => Err(Failure::invalid(name, format!("{text} is not within {low} and {high}"))),
        }
    }

    /// Values of `Name.1`, `Name.2`, …; at most `limit`, and without gaps.
    pub(crate) fn list(&self, name: &str, limit: usize) -> Outcome<Vec<&str>> {
        Ok(self.objects(name, limit)?.into_iter().filter_map(|object| object.get("").copied()).collect())
    }

    /// The objects `Name.1.*`, `Name.2.*`, …; at most `limit`, and without gaps.
    pub(crate) fn objects(&self, name: &str, limit: usize) -> Outcome<Vec<BTreeMap<&str, &str>>> {
        let mut found: BTreeMap<usize, BTreeMap<&str, &str>> = BTreeMap::new();
        for (key, value) in &self.0 {
            let Some(rest) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) else { continue };
            let (index, field) = rest.split_once('.').unwrap_or((rest, ""));
            let Ok(index) = index.parse::<usize>() else { continue };
            found.entry(index).or_default().insert(field, value);
        }
        if found.len() > limit {
            return Err(Failure::invalid(name, format!("{} are given, {limit} are allowed", found.len())));
        }
        if found.keys().copied().ne(1..=found.len()) {
            return Err(Failure::invalid(name, "the numbers must go up from 1 without gaps"));
        }
        Ok(found.into_values().collect())
    }

    /// `Tag.N.Key` and `Tag.N.Value`.
    pub(crate) fn tags(&self) -> Outcome<Vec<(String, String)>> {
        let mut tags = Vec::new();
        for object in self.objects("Tag", 20)? {
            let key = object.get("Key").copied().unwrap_or_default();
            let value = object.get("Value").copied().unwrap_or_default();
            let reserved = key.starts_with("aliyun") || key.starts_with("acs:") || key.contains("://");
            if key.is_empty() || key.len() > 128 || value.len() > 128 || reserved {
                return Err(Failure::new(
                    400,
                    "InvalidTagKey.Malformed",
                    format!("the tag key `{key}` is not allowed"),
                ));
            }
            if tags.iter().any(|(known, _)| known == key) {
                return Err(Failure::new(400, "Duplicate.TagKey", format!("the tag key `{key}` is given twice")));
            }
            tags.push((key.to_string(), value.to_string()));
        }
        Ok(tags)
    }

    /// Whether a resource with these tags passes the `Tag.N` filter. A key without value takes any value.
    pub(crate) fn tags_match(&self, tags: &[(String, String)]) -> Outcome<bool> {
        let wanted = self.objects("Tag", 20)?;
        Ok(wanted.iter().all(|object| {
            let key = object.get("Key").copied().unwrap_or_default();
            tags.iter()
                .any(|(known, value)| known == key && object.get("Value").is_none_or(|v| v.is_empty() || v == value))
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        Parameters::new(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()))).unwrap()
    }

    #[test]
    fn lists_are_read_in_order_and_without_gaps() {
        let given = parameters(&[("Id.2", "b"), ("Id.1", "a"), ("Id.10.Key", "x")]);
        assert!(given.list("Id", 100).is_err());
        let given = parameters(&[("Id.2", "b"), ("Id.1", "a")]);
        assert_eq!(given.list("Id", 2).unwrap(), ["a", "b"]);
        assert!(given.list("Id", 1).is_err());
    }

    #[test]
    fn a_filter_without_value_takes_any() {
        let tags = [("product".to_string(), "c".to_string())];
        assert!(parameters(&[("Tag.1.Key", "product")]).tags_match(&tags).unwrap());
        assert!(!parameters(&[("Tag.1.Key", "product"), ("Tag.1.Value", "d")]).tags_match(&tags).unwrap());
    }

    #[test]
    fn flags_of_both_styles_are_read() {
        assert!(parameters(&[("Force", "True")]).flag("Force").unwrap());
        assert!(parameters(&[("Force", "yes")]).flag("Force").is_err());
        assert_eq!(parameters(&[("N", "")]).number("N", 1, 5).unwrap(), None);
        assert!(parameters(&[("N", "6")]).number("N", 1, 5).is_err());
    }
}
