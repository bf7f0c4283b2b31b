//! Reads and writes documents so that Kubernetes' own reader takes them the same way.

use serde_json::Value;

use crate::Error;

/// No configuration file of an image is larger.
const LIMIT: usize = 1 << 20;

/// Reads all documents of a file; plain scalars are typed as Kubernetes types them (`yes` is true, `0644` is octal).
///
/// `document` names the file in errors.
pub(crate) fn documents(document: &str, text: &[u8]) -> Result<Vec<Value>, Error> {
    let wrong = |reason: String| Error::Document { document: document.to_owned(), reason };
    if text.len() > LIMIT {
        return Err(wrong("it is larger than 1 MB".to_owned()));
    }
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_multiple_with_options::<Value>(text, options).map_err(|error| {
        // The lines after the first show the place; one line says enough here.
        let shown = error.to_string();
        let first = shown.lines().next().unwrap_or_default();
        wrong(first.strip_prefix("error: ").unwrap_or(first).to_owned())
    })
}

/// One document as text.
pub(crate) fn to_text(value: &Value) -> String {
    // Long texts on one line: there is less to get wrong in reading them.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).expect("a JSON value has only text keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_reads_back_the_same_even_where_yaml_is_treacherous() {
        let value = json!({
            "yes": "no", "on": "off", "y": "n", "number": "1_000", "date": "2020-01-01", "octal": "0644", "null": "~",
            "empty": "", "list": [], "map": {}, "colon": "a: b", "hash": "a #b", "true": true, "int": 7, "float": 0.5,
            "lines": "a\nb\n", "nested": {"list": [{"a": 1}, ["b"]]}, "quote": "it's \"x\"", "star": "*a", "bang": "!x",
        });
        let text = to_text(&value);
        assert_eq!(documents("x", text.as_bytes()).unwrap(), [value], "{text}");
        for bare in ["yes: no", "date: 2020-01-01", "number: 1_000"] {
            assert!(!text.lines().any(|line| line == bare), "{text}");
        }
    }

    #[test]
    fn scalars_are_typed_as_kubernetes_types_them() {
        let read = documents("x", b"a: yes\nb: 0644\nc: '0644'\n---\n---\nd: ~\n").unwrap();
        assert_eq!(read, [json!({"a": true, "b": 420, "c": "0644"}), json!({"d": null})]);
    }

    #[test]
    fn a_broken_file_is_named() {
        let error = documents("etc/settings.yml of shop:1.4", b"a: [1\nb: 2").unwrap_err().to_string();
        assert!(error.starts_with("etc/settings.yml of shop:1.4 is not a valid"), "{error}");
        assert!(documents("x", &vec![b' '; LIMIT + 1]).is_err());
    }
}
