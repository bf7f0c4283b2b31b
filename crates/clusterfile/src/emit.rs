//! Writes a Clusterfile so that it reads back the same.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::{Clusterfile, format::ClusterSpec, yaml};

impl Clusterfile {
    /// The file as canonical YAML: every document, the Cluster first as `sealer.io/v2`, defaults left out.
    ///
    /// It contains the passwords in plain; what holds it must be readable by its owner only.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let none = BTreeMap::new();
        let cluster = &self.cluster;
        let spec = ClusterSpec::from(cluster);
        let mut documents = vec![document("Cluster", "sealer.io/v2", &cluster.name, &cluster.annotations, &spec)];
        let configs = self.configs.iter().map(|item| document("Config", "sealer.io/v1", &item.name, &none, item));
        let plugins = self.plugins.iter().map(|item| document("Plugin", "sealer.io/v1", &item.name, &none, item));
        let applications =
            self.applications.iter().map(|item| document("Application", "sealer.io/v2", &item.name, &none, item));
        documents.extend(configs.chain(plugins).chain(applications));
        documents.extend(self.kubeadm.iter().map(|item| item.value.clone()));
        yaml::to_text(&documents)
    }
}

fn document(
    kind: &str,
    version: &str,
    name: &str,
    annotations: &BTreeMap<String, String>,
    spec: &impl Serialize,
) -> Json {
    let name = (!name.is_empty()).then_some(name);
    let metadata = pruned(json!({ "name": name, "annotations": annotations }));
    // Structs of texts, numbers and lists have a JSON form, so there is no failure to report.
    let spec = pruned(serde_json::to_value(spec).unwrap_or_default());
    json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })
}

/// Without the fields that hold nothing: null, or a mapping without fields.
fn pruned(value: Json) -> Json {
    let says_nothing = |value: &Json| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    match value {
        Json::Object(fields) => Json::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, pruned(value)))
                .filter(|(_, value)| !says_nothing(value))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.into_iter().map(pruned).collect()),
        value => value,
    }
}
