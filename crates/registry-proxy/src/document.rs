//! Finds the media type of a manifest or index. Bytes in, media type out.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const KNOWN: [&str; 4] = [
    OCI_INDEX,
    OCI_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What tells the kind of a document; nothing else of it is kept.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    manifests: Option<Vec<IgnoredAny>>,
    layers: Option<Vec<IgnoredAny>>,
    config: Option<BTreeMap<String, IgnoredAny>>,
}

/// The media type of a manifest or index: what it says of itself, else what it was stored as, else what its fields show. `None` when it is
/// neither; a config or layer must not be answered as a manifest.
pub(crate) fn media_type(bytes: &[u8], stored_as: Option<&str>) -> Option<&'static str> {
    let shape: Shape = serde_json::from_slice(bytes).ok()?;
    let known = |name: &str| KNOWN.into_iter().find(|kind| *kind == name);
    if let Some(own) = &shape.media_type {
        return known(own);
    }
    if shape.manifests.is_some() {
        return stored_as.and_then(known).filter(|kind| *kind != OCI_MANIFEST).or(Some(OCI_INDEX));
    }
    if shape.layers.is_some() && shape.config.is_some() {
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
