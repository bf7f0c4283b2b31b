//! Flattens requests into the list of parameters that the API reads.

use std::collections::BTreeMap;
use std::fmt;

use clusterfile::Secret;

use super::{Tag, sign};

/// Parameters of an action, sorted by name; lists are `Name.1`, `Name.2`, members are `Name.Sub`.
#[derive(Clone, Default)]
pub struct Parameters(BTreeMap<String, Value>);

#[derive(Clone)]
enum Value {
    Text(String),
    Secret(Secret),
}

impl Parameters {
    /// No parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter; `bool` becomes `true` or `false`.
    #[must_use]
    pub fn text(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.insert(name.into(), Value::Text(value.to_string()));
        self
    }

    /// Adds a parameter if there is a value.
    #[must_use]
    pub fn optional(self, name: impl Into<String>, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// Adds a parameter that must not be shown.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: &Secret) -> Self {
        self.0.insert(name.into(), Value::Secret(value.clone()));
        self
    }

    /// Adds `name.1`, `name.2`, and so on.
    #[must_use]
    pub fn list<T: fmt::Display>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        values.into_iter().zip(1..).fold(self, |all, (value, n): (T, u32)| all.text(format!("{name}.{n}"), value))
    }

    /// Adds one parameter that holds a JSON array of texts, unless there is none.
    #[must_use]
    pub fn json_list(self, name: &str, values: &[String]) -> Self {
        if values.is_empty() { self } else { self.text(name, serde_json::Value::from(values)) }
    }

    /// Adds `Tag.N.Key` and `Tag.N.Value`; an empty value is left out, which in a filter means any value.
    #[must_use]
    pub fn tags(self, tags: &[Tag]) -> Self {
        tags.iter().zip(1..).fold(self, |all, (tag, n): (&Tag, u32)| {
            let value = Some(&tag.value).filter(|value| !value.is_empty());
            all.text(format!("Tag.{n}.Key"), &tag.key).optional(format!("Tag.{n}.Value"), value)
        })
    }

    /// Whether there is a parameter of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// All parameters for a person to read: secrets are `***`.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| match value {
            Value::Text(text) => (name.as_str(), text.as_str()),
            Value::Secret(_) => (name.as_str(), "***"),
        })
    }

    /// The canonical query string. Secrets are in the [`form`](Self::form): servers and proxies write URLs into logs.
    pub(super) fn query(&self) -> String {
        sign::canonical_query(self.0.iter().filter_map(|(name, value)| match value {
            Value::Text(text) => Some((name.as_str(), text.as_str())),
            Value::Secret(_) => None,
        }))
    }

    /// The secrets as a form, for the body; empty when there are none.
    pub(super) fn form(&self) -> String {
        sign::canonical_query(self.0.iter().filter_map(|(name, value)| match value {
            Value::Text(_) => None,
            Value::Secret(secret) => Some((name.as_str(), secret.expose())),
        }))
    }

    /// The values that must not be shown.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.values().filter_map(|value| match value {
            Value::Text(_) => None,
            Value::Secret(secret) => Some(secret),
        })
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_count_from_one_and_nothing_stands_for_nothing() {
        let parameters = Parameters::new()
            .list("InstanceId", ["i-1", "i-2"])
            .json_list("InstanceIds", &["i-1".to_owned(), "i-2".to_owned()])
            .json_list("KeyPairNames", &[])
            .optional("Size", None::<u32>)
            .tags(&[Tag::new("product", "my-cluster"), Tag::new("any", "")]);
        let shown: Vec<String> = parameters.shown().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            shown,
            [
                "InstanceId.1=i-1",
                "InstanceId.2=i-2",
                "InstanceIds=[\"i-1\",\"i-2\"]",
                "Tag.1.Key=product",
                "Tag.1.Value=my-cluster",
                "Tag.2.Key=any",
            ]
        );
    }

    #[test]
    fn secrets_are_sent_and_not_shown() {
        let parameters = Parameters::new().secret("Password", &"Aa1~=+%^*/()".into()).text("A", "b c");
        assert_eq!(parameters.query(), "A=b%20c");
        assert_eq!(parameters.form(), "Password=Aa1~%3D%2B%25%5E%2A%2F%28%29");
        assert_eq!(format!("{parameters:?}"), r#"{"A": "b c", "Password": "***"}"#);
    }
}
