//! The schema and the parser know the same fields, and take the same files.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

use std::{collections::BTreeSet, fs, path::Path};

use boon::{Compiler, Schemas};
use clusterfile::{ErrorKind, parse, parse_default, schema};
use serde_json::{Map, Value, json};

/// Every field of the schema, put alone where it belongs, is known to the parser; with a letter more it is not.
#[test]
fn the_parser_knows_every_field_of_the_schema() {
    for document in schema()["oneOf"].as_array().unwrap().iter().take(5) {
        let kind = document["properties"]["kind"]["const"].as_str().unwrap();
        let version = document["properties"]["apiVersion"]["enum"][0].as_str().unwrap();
        for path in paths(document, &mut Vec::new()) {
            let unknown = |last: &str| {
                let mut path = path.clone();
                *path.last_mut().unwrap() = last.to_owned();
                let mut text = json!({});
                put(&mut text, &path);
                text["kind"] = json!(kind);
                text["apiVersion"] = json!(version);
                let errors = parse_default(&text.to_string())
                    .map_or_else(|errors| errors.iter().cloned().collect(), |_| Vec::new());
                errors.iter().any(|error| matches!(&error.kind, ErrorKind::UnknownField { field, .. } | ErrorKind::MisplacedField { field, .. } if field == last))
            };
            let last = path.last().unwrap();
            assert!(!unknown(last), "{kind} {version}: the parser does not know {}", path.join("."));
            assert!(
                unknown(&format!("{last}zzzzz")),
                "{kind} {version}: the parser knows everything at {}",
                path.join(".")
            );
        }
    }
}

/// Every field that stands in a suite case that parses is in the schema.
#[test]
fn the_schema_knows_every_field_of_the_cases() {
    let mut known = BTreeSet::new();
    for document in schema()["oneOf"].as_array().unwrap().iter().take(5) {
        known.extend(paths(document, &mut Vec::new()).into_iter().map(|path| path.join(".")));
    }
    let full = include_str!("../../../tests/suite/clusterfile/v2_full.case");
    let others = include_str!("../../../tests/suite/clusterfile/config_plugin_application.case");
    let mut checked = 0;
    for case in [full, others] {
        let yaml = case.split_once("=== expect\n").unwrap().1;
        for document in yaml.split("---\n") {
            let mut stack: Vec<(usize, String)> = Vec::new();
            let free = ["annotations", "labels", "data"];
            for line in document.lines() {
                let indent = line.len() - line.trim_start_matches([' ', '-']).len();
                let Some((key, _)) = line.trim_start_matches([' ', '-']).split_once(':') else { continue };
                stack.retain(|(outer, _)| *outer < indent);
                if stack
                    .iter()
                    .any(|(_, key)| free.contains(&key.as_str()) || key == "cmd" || key == "env" || key == "taints")
                {
                    continue;
                }
                stack.push((indent, key.trim_matches('"').to_owned()));
                let path = stack.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
                assert!(known.contains(&path), "the schema has no {path}");
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "only {checked} fields checked");
}

/// What the parser takes, as it was written and as it is written back, the schema takes; with an unknown field it does not.
#[test]
fn the_schema_takes_every_case_that_parses() {
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    compiler.add_resource("schema.json", schema()).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/suite/clusterfile");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let Some((_, input)) = text.split_once("=== input\n") else { continue };
        let input = input.split_once("=== expect\n").unwrap().0;
        let Ok(file) = parse(input) else { continue };
        for text in [input, &file.to_yaml()] {
            for mut document in serde_saphyr::from_multiple::<Value>(text).unwrap() {
                let result = schemas.validate(&document, index).map_err(|error| error.to_string());
                assert_eq!(result, Ok(()), "{}: {document:#}", path.display());
                if ["Cluster", "Config", "Plugin", "Application"].contains(&document["kind"].as_str().unwrap()) {
                    document["spec"]["imagge"] = json!("x");
                    assert!(schemas.validate(&document, index).is_err(), "{}: {document:#}", path.display());
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "only {checked} documents checked");
}

/// The paths of all properties below an object of the schema; lists, references and choices are passed through.
fn paths(object: &Value, above: &mut Vec<String>) -> Vec<Vec<String>> {
    let whole = schema();
    let mut found = Vec::new();
    let mut pending = vec![object.clone()];
    while let Some(object) = pending.pop() {
        if let Some(reference) = object["$ref"].as_str() {
            pending.push(whole.pointer(reference.trim_start_matches('#')).unwrap().clone());
        }
        pending.extend(object["anyOf"].as_array().into_iter().flatten().cloned());
        pending.extend(object.get("items").cloned());
        for (name, property) in object["properties"].as_object().unwrap_or(&Map::new()) {
            above.push(name.clone());
            found.push(above.clone());
            found.extend(paths(property, above));
            above.pop();
        }
    }
    found
}

/// Puts null at a path, making the mappings, and the lists where the format has lists, that lead there.
fn put(value: &mut Value, path: &[String]) {
    const LISTS: [&str; 5] = ["hosts", "hostAliases", "configs", "files", "dataDisks"];
    let [first, rest @ ..] = path else {
        *value = Value::Null;
        return;
    };
    let mut inner = json!({});
    put(&mut inner, rest);
    value[first] = if LISTS.contains(&first.as_str()) && !rest.is_empty() { json!([inner]) } else { inner };
}
