//! Finds the digests that a JSON document mentions.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::Digest;

/// Every digest that stands in the document as a text or as a field name; nothing else of it is kept in memory, however
/// large and nested it is. Fields named `subject` are passed over: a manifest does not keep the one that it is about.
///
/// # Errors
///
/// When the bytes are no JSON.
pub(crate) fn digests(document: &[u8]) -> serde_json::Result<Vec<Digest>> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(document);
    Mentioned(&mut found).deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

/// Collects digests while a document is read.
struct Mentioned<'a>(&'a mut Vec<Digest>);

impl<'de> DeserializeSeed<'de> for Mentioned<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Mentioned<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.extend(text.parse::<Digest>());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Mentioned(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            self.0.extend(field.parse::<Digest>());
            if field == "subject" {
                fields.next_value::<serde::de::IgnoredAny>()?;
            } else {
                fields.next_value_seed(Mentioned(self.0))?;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let [one, two, three, four] = ["1", "2", "3", "4"].map(|text| Digest::of(text.as_bytes()));
        let document = format!(
            r#"{{"subject":{{"digest":"{four}"}},"a":[[1,-1,1.5,true,null,"{one}"]],"{two}":{{"b":"x {one}"}},"c":"{three}"}}"#
        );
        assert_eq!(digests(document.as_bytes()).ok(), Some(vec![one, two, three]));
        for broken in ["", "{", "[1] 2", "\u{0}"] {
            assert!(digests(broken.as_bytes()).is_err(), "{broken:?}");
        }
    }
}
