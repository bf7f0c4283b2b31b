//! The steps that made a cluster image.

use content_store::Digest;
use serde::Serialize;

use crate::image::Image;

/// A step that made an image, or a layer that nothing is known about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistoryStep {
    /// When it was made (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction; empty when unknown.
    pub created_by: String,
    /// A remark of the tool that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Digest of the layer that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// Size of that layer in bytes.
    pub size: u64,
}

impl Image {
    /// The steps that made the image, the last one first, as docker shows them.
    #[must_use]
    pub fn history(&self) -> Vec<HistoryStep> {
        let mut layers = self.layers().iter();
        let mut steps: Vec<HistoryStep> = Vec::new();
        for step in self.config().iter().flat_map(|config| &config.history) {
            let layer = if step.empty_layer { None } else { layers.next() };
            steps.push(HistoryStep {
                created: step.created.clone(),
                created_by: step.created_by.clone(),
                comment: step.comment.clone(),
                layer: layer.map(|layer| layer.digest),
                size: layer.map_or(0, |layer| layer.size),
            });
        }
        // Some tools keep no history of what they flattened.
        steps.extend(layers.map(|layer| HistoryStep {
            created: None,
            created_by: String::new(),
            comment: None,
            layer: Some(layer.digest),
            size: layer.size,
        }));
        steps.reverse();
        steps
    }
}
