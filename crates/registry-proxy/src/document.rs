//! Finds the media type of a manifest or index. Bytes in, media type out.

use serde_json::Value;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const KNOWN: [&str; 4] = [
    OCI_INDEX,
    OCI_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The media type of a manifest or index: what it says of itself, else what it was stored as, else what its fields show. `None` when it is
/// neither; a config or layer must not be answered as a manifest.
pub(crate) fn media_type(bytes: &[u8], stored_as: Option<&str>) -> Option<&'static str> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let known = |name: &str| KNOWN.into_iter().find(|kind| *kind == name);
    let is_list = |name| document.get(name).is_some_and(Value::is_array);
    if let Some(own) = document.get("mediaType").and_then(Value::as_str) {
        return known(own);
    }
    if is_list("manifests") {
        return stored_as.and_then(known).filter(|kind| *kind != OCI_MANIFEST).or(Some(OCI_INDEX));
    }
    if is_list("layers") && document.get("config").is_some_and(Value::is_object) {
        return stored_as.and_then(known).filter(|kind| *kind != OCI_INDEX).or(Some(OCI_MANIFEST));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_and_indexes_are_told_from_everything_else() {
        let docker = KNOWN[3];
        let cases = [
            (format!(r#"{{"mediaType":"{docker}","config":{{}},"layers":[]}}"#), None, Some(docker)),
            (r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(), None, Some(OCI_INDEX)),
            (r#"{"schemaVersion":2,"config":{},"layers":[]}"#.to_owned(), None, Some(OCI_MANIFEST)),
            (r#"{"schemaVersion":2,"config":{},"layers":[]}"#.to_owned(), Some(docker), Some(docker)),
            (
                r#"{"config":{},"layers":[]}"#.to_owned(),
                Some("application/vnd.sealer.document.v1+json"),
                Some(OCI_MANIFEST),
            ),
            (r#"{"architecture":"amd64","config":{},"rootfs":{}}"#.to_owned(), None, None),
            (r#"{"mediaType":"application/vnd.sealer.container-images.v1+json","layers":[]}"#.to_owned(), None, None),
            ("not json".to_owned(), Some(OCI_MANIFEST), None),
            ("[]".to_owned(), None, None),
        ];
        for (text, stored_as, expected) in cases {
            assert_eq!(media_type(text.as_bytes(), stored_as), expected, "{text}");
        }
    }
}
