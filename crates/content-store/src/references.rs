//! What a manifest or index refers to. Bytes in, digests out.

use crate::Digest;
use serde::Deserialize;

/// The digests that a manifest or index names, by what they mean for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct References {
    /// Config and layers: without them the image is not whole. Layers that are to be fetched elsewhere are not among them.
    pub required: Vec<Digest>,
    /// Manifests of an index: an index may list more than a registry holds.
    pub optional: Vec<Digest>,
    /// The manifest that this one is about; it need not exist.
    pub subject: Option<Digest>,
}

#[derive(Deserialize)]
struct Document {
    config: Option<Entry>,
    layers: Option<Vec<Entry>>,
    manifests: Option<Vec<Entry>>,
    subject: Option<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    digest: Digest,
    media_type: Option<String>,
    urls: Option<Vec<String>>,
}

impl Entry {
    /// As the image specification calls layers that registries do not distribute.
    fn is_elsewhere(&self) -> bool {
        let is_foreign = |kind: &str| kind.contains(".nondistributable.") || kind.contains(".rootfs.foreign.");
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty()) || self.media_type.as_deref().is_some_and(is_foreign)
    }
}

impl References {
    /// Reads a manifest or index; `None` when it is neither, or names something else than a digest.
    #[must_use]
    pub fn of(document: &[u8]) -> Option<Self> {
        let Document { config, layers, manifests, subject } = serde_json::from_slice(document).ok()?;
        if manifests.is_none() && (config.is_none() || layers.is_none()) {
            return None;
        }
        let blobs = config.into_iter().chain(layers.into_iter().flatten());
        Some(Self {
            required: blobs.filter(|entry| !entry.is_elsewhere()).map(|entry| entry.digest).collect(),
            optional: manifests.into_iter().flatten().map(|entry| entry.digest).collect(),
            subject: subject.map(|entry| entry.digest),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_needed_is_told_from_what_may_be_missing() {
        let [config, layer, foreign, child, subject] =
            ["c", "l", "f", "m", "s"].map(|text| Digest::of(text.as_bytes()));
        let manifest = json!({
            "config": { "digest": config },
            "layers": [
                { "digest": layer, "urls": [] },
                { "digest": foreign, "urls": ["https://store.example/x"] },
                { "digest": foreign, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip" },
            ],
            "subject": { "digest": subject },
        });
        let read = |value: &serde_json::Value| References::of(value.to_string().as_bytes());
        let expected = References { required: vec![config, layer], optional: vec![], subject: Some(subject) };
        assert_eq!(read(&manifest), Some(expected));
        let index = json!({ "manifests": [{ "digest": child }] });
        assert_eq!(read(&index), Some(References { optional: vec![child], ..References::default() }));
        for wrong in [json!({}), json!([]), json!({ "layers": [] }), json!({ "manifests": [{ "digest": "sha256:0" }] })]
        {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }
}
