//! Derives the JSON Schema of a Clusterfile, for editors.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

use crate::{
    Application, Config, KubeadmKind, Plugin,
    format::ClusterSpec,
    parse::{BY_KIND_VERSIONS, CLUSTER_VERSIONS, FIRST_VERSION, OTHER_VERSIONS, SECOND_ONLY},
};

/// The JSON Schema (draft 2020-12) of one document of a Clusterfile.
///
/// It is derived from the types that are written, and knows every field and its shape. What fits together, and the
/// finer rules for texts, only [`crate::parse`] knows.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(loosen)).into_generator();
    let generator = &mut generator;
    let [other_first, by_kind @ ..] = BY_KIND_VERSIONS;
    let second = CLUSTER_VERSIONS.into_iter().filter(|version| *version != FIRST_VERSION);
    let second: Vec<&str> = second.chain(by_kind).collect();
    let others: BTreeSet<&str> = OTHER_VERSIONS.into_iter().chain(BY_KIND_VERSIONS).collect();
    let others: Vec<&str> = others.into_iter().collect();
    let cluster = document(generator, "Cluster", &second, reference::<ClusterSpec>);
    let first = [FIRST_VERSION, other_first];
    let first = document(generator, "Cluster", &first, |_| json!({ "$ref": "#/$defs/FirstClusterSpec" }));
    let config = document(generator, "Config", &others, reference::<Config>);
    let plugin = document(generator, "Plugin", &others, reference::<Plugin>);
    let application = document(generator, "Application", &others, reference::<Application>);
    let kubeadm = json!({
        "type": "object",
        "required": ["kind"],
        "properties": { "apiVersion": { "type": ["string", "null"] }, "kind": { "enum": KubeadmKind::ALL.map(KubeadmKind::as_str) } },
    });
    let mut definitions = Value::Object(generator.take_definitions(true));
    add_first_generation(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Clusterfile",
        "oneOf": [cluster, first, config, plugin, application, kubeadm],
        "$defs": definitions,
    })
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn document(
    generator: &mut SchemaGenerator,
    kind: &str,
    versions: &[&str],
    spec: impl Fn(&mut SchemaGenerator) -> Value,
) -> Value {
    let text = json!({ "type": ["string", "number", "boolean", "null"] });
    let mut metadata = json!({ "name": text, "creationTimestamp": {} });
    let mut required = vec!["apiVersion", "kind", "spec"];
    if kind == "Cluster" {
        for name in ["annotations", "annotation"] {
            metadata[name] = json!({ "type": ["object", "null"], "additionalProperties": text });
        }
        required.push("metadata");
    }
    json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": {
            "apiVersion": { "enum": versions },
            "kind": { "const": kind },
            "metadata": { "type": ["object", "null"], "additionalProperties": false, "properties": metadata },
            "spec": spec(generator),
            "status": {},
        },
    })
}

/// The first generation has fewer fields, and addresses where the machines are.
fn add_first_generation(definitions: &mut Value) {
    let mut spec = definitions["ClusterSpec"].clone();
    if let Some(fields) = spec["properties"].as_object_mut() {
        fields.retain(|name, _| name != "hosts" && !SECOND_ONLY.contains(&name.as_str()));
        for role in ["masters", "nodes"] {
            fields.insert(role.to_owned(), json!({ "$ref": "#/$defs/FirstMachines" }));
        }
    }
    let mut machines = definitions["MachineSpec"].clone();
    machines["properties"]["ipList"] = definitions["ClusterSpec"]["properties"]["certSANS"].clone();
    machines["properties"]["ipList"]["description"] = json!("Addresses and ranges of hosts that are there.");
    definitions["FirstClusterSpec"] = spec;
    definitions["FirstMachines"] = machines;
}

/// Accepts what the reader accepts: a null for what may be absent, scalars of other types for texts, texts for numbers
/// and truth values; and no unknown fields.
fn loosen(schema: &mut Schema) {
    schema.remove("format");
    let nullable = match schema.get("type") {
        Some(Value::Array(types)) => types.contains(&json!("null")),
        _ => false,
    };
    let of_type = |name: &str| match schema.get("type") {
        Some(Value::Array(types)) => types.contains(&json!(name)),
        Some(one) => one == name,
        None => false,
    };
    if of_type("object") {
        if schema.get("required").is_none() {
            schema.insert("type".to_owned(), json!(["object", "null"]));
        }
        if schema.get("properties").is_some() {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    } else if of_type("array") {
        schema.insert("type".to_owned(), json!(["array", "null"]));
    } else if of_type("integer") {
        schema.insert("type".to_owned(), json!(["integer", "string", "null"]));
        schema.insert("pattern".to_owned(), json!("^[0-9]*$"));
    } else if schema.get("const").is_none() && of_type("boolean") {
        schema.insert("type".to_owned(), json!(["boolean", "string", "null"]));
        schema.insert("pattern".to_owned(), json!("^(true|false|yes|no|on|off)?$"));
    } else if schema.get("const").is_none() && of_type("string") {
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            if nullable {
                values.push(Value::Null);
            }
            schema.remove("type");
        } else {
            schema.insert("type".to_owned(), json!(["string", "number", "boolean", "null"]));
        }
    }
}
