//! Reads successful responses; missing and unknown members are no error.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads an answer; members that are `null` count as left out.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(body)?;
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

/// Reads `{"Vpc": [..]}`, the way this cloud writes lists, or a plain list. For `#[serde(default, deserialize_with)]`.
pub(super) fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        Value::Object(members) => match members.into_iter().find(|(_, member)| member.is_array()) {
            Some((_, Value::Array(items))) => items,
            _ => Vec::new(),
        },
        Value::String(text) if text.is_empty() => Vec::new(),
        _ => return Err(D::Error::custom("a list is neither a list nor an object that holds one")),
    };
    items.into_iter().map(|item| serde_json::from_value(item).map_err(D::Error::custom)).collect()
}

/// Reads a number that may be written as a text.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.filter(|number| number.is_finite()).ok_or_else(|| D::Error::custom("a number is none"))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(drop_nulls);
        }
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Thing {
        #[serde(deserialize_with = "list")]
        ids: Vec<String>,
        #[serde(deserialize_with = "number")]
        size: f64,
        name: String,
    }

    #[test]
    fn what_is_missing_null_or_extra_does_no_harm() {
        let read = |text: &str| decode::<Thing>(text.as_bytes());
        let full = Thing { ids: vec!["a".into(), "b".into()], size: 0.5, name: "n".into() };
        assert_eq!(read(r#"{"Ids":{"Id":["a",null,"b"]},"Size":0.5,"Name":"n","More":[{}]}"#).unwrap(), full);
        assert_eq!(read(r#"{"Ids":["a","b"],"Size":" 0.5","Name":"n"}"#).unwrap(), full);
        for empty in ["{}", r#"{"Ids":null,"Size":null,"Name":null}"#, r#"{"Ids":{}}"#, r#"{"Ids":""}"#] {
            assert_eq!(read(empty).unwrap(), Thing::default(), "{empty}");
        }
        for bad in ["", "[1]x", "<a/>", r#"{"Ids":7}"#, r#"{"Ids":[{}]}"#, r#"{"Size":"big"}"#, r#"{"Name":{}}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
