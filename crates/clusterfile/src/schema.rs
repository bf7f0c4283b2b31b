//! Which JSON Schema describes a Clusterfile, for editors?
#![expect(clippy::needless_pass_by_value, reason = "parts of a schema read better when they are moved into each other")]

use serde_json::{Value, json};

use crate::{KubeadmKind, MAX_HOSTS};

/// The JSON Schema (draft 2020-12) of one document of a Clusterfile.
///
/// It knows every field and its shape. What fits together, and the finer rules for texts, only [`crate::parse`] knows.
#[must_use]
pub fn schema() -> Value {
    let kubeadm = KubeadmKind::ALL.map(KubeadmKind::as_str);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Clusterfile",
        "oneOf": [
            document("Cluster", &["sealer.io/v2", "sealer.cloud/v2"], second_cluster()),
            document("Cluster", &["sealer.aliyun.com/v1alpha1"], first_cluster()),
            document("Config", &OTHERS, config()),
            document("Plugin", &OTHERS, plugin()),
            document("Application", &OTHERS, application()),
            { "type": "object", "required": ["apiVersion", "kind"], "properties": { "apiVersion": text(), "kind": { "enum": kubeadm } } },
        ],
    })
}

const OTHERS: [&str; 5] =
    ["sealer.io/v1", "sealer.io/v2", "sealer.cloud/v1", "sealer.cloud/v2", "sealer.aliyun.com/v1alpha1"];

fn document(kind: &str, versions: &[&str], spec: Value) -> Value {
    let cluster = kind == "Cluster";
    let mut metadata = json!({ "name": text(), "creationTimestamp": {} });
    if cluster {
        metadata["annotations"] = texts_by_key();
    }
    let required =
        if cluster { json!(["apiVersion", "kind", "metadata", "spec"]) } else { json!(["apiVersion", "kind", "spec"]) };
    let properties = json!({ "apiVersion": { "enum": versions }, "kind": { "const": kind }, "metadata": object(metadata, &[]), "spec": spec, "status": {} });
    let mut document = object(properties, &[]);
    document["required"] = required;
    document
}

fn first_cluster() -> Value {
    let mut fields = shared_fields();
    for role in ["masters", "nodes"] {
        let mut machines = machines();
        machines["ipList"] = list(text());
        fields[role] = object(machines, &[]);
    }
    object(fields, &["image"])
}

fn second_cluster() -> Value {
    let mut fields = shared_fields();
    let more = json!({
        "masters": object(machines(), &[]),
        "nodes": object(machines(), &[]),
        "hosts": list(object(
            json!({ "ips": list(text()), "roles": list(text()), "ssh": ssh(), "env": list(text()), "labels": texts_by_key(), "taints": list(text()) }),
            &["ips", "roles"],
        )),
        "cmd": list(text()),
        "cmd_args": list(text()),
        "appNames": list(text()),
        "hostAliases": list(object(json!({ "ip": text(), "hostnames": list(text()) }), &["ip", "hostnames"])),
        "dataRoot": text(),
        "containerRuntime": object(json!({ "type": { "enum": ["containerd", "docker", "cri-o", null] } }), &[]),
        "registry": registry(),
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    object(fields, &["image"])
}

/// What the specs of both generations have.
fn shared_fields() -> Value {
    json!({
        "image": text(),
        "provider": { "type": ["string", "null"], "examples": ["BAREMETAL", "ALI_CLOUD", "CONTAINER"] },
        "env": list(text()),
        "ssh": ssh(),
        "network": object(
            json!({ "interface": text(), "cniName": text(), "podCIDR": text(), "svcCIDR": text(), "withoutCNI": truth() }),
            &[],
        ),
        "certSANS": list(text()),
    })
}

fn ssh() -> Value {
    let login = json!({ "user": text(), "passwd": text(), "pk": text(), "pkPasswd": text(), "port": port() });
    let mut jump = login.clone();
    jump["host"] = text();
    let jump = object(jump, &["host"]);
    let mut fields = login;
    fields["encrypted"] = json!({ "const": false });
    // A text such as `user@host:port`, a mapping, or a list of these.
    fields["jump"] = json!({ "anyOf": [text(), jump.clone(), list(json!({ "anyOf": [text(), jump] }))] });
    object(fields, &[])
}

fn machines() -> Value {
    let disk =
        json!({ "anyOf": [number(65536), object(json!({ "size": number(65536), "category": text() }), &["size"])] });
    json!({ "count": number(MAX_HOSTS), "cpu": number(65536), "memory": number(65536), "systemDisk": disk, "dataDisks": list(disk.clone()) })
}

fn registry() -> Value {
    let login = json!({ "domain": text(), "port": port(), "username": text(), "password": text() });
    let mut local = login.clone();
    local["ha"] = truth();
    local["insecure"] = truth();
    local["cert"] =
        object(json!({ "subjectAltName": object(json!({ "dnsNames": list(text()), "ips": list(text()) }), &[]) }), &[]);
    object(json!({ "localRegistry": object(local, &[]), "externalRegistry": object(login, &["domain"]) }), &[])
}

fn config() -> Value {
    object(
        json!({ "path": text(), "data": text(), "strategy": strategy(), "process": text(), "appName": text() }),
        &["path"],
    )
}

fn plugin() -> Value {
    let types = json!({ "enum": ["SHELL", "LABEL", "TAINT", "HOSTNAME", "CLUSTERCHECK", "ETCD"] });
    object(
        json!({ "type": types, "data": text(), "action": text(), "on": text(), "scope": text() }),
        &["type", "action"],
    )
}

fn application() -> Value {
    let file = object(json!({ "path": text(), "strategy": strategy(), "data": text() }), &["path"]);
    let launch = object(json!({ "cmds": list(text()) }), &[]);
    let config =
        object(json!({ "name": text(), "env": list(text()), "files": list(file), "launch": launch }), &["name"]);
    object(json!({ "cmds": list(text()), "launchApps": list(text()), "configs": list(config) }), &[])
}

fn strategy() -> Value {
    json!({ "enum": ["overwrite", "merge", null] })
}

fn object(properties: Value, required: &[&str]) -> Value {
    let mut object = json!({ "type": ["object", "null"], "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["type"] = json!("object");
        object["required"] = json!(required);
    }
    object
}

fn list(items: Value) -> Value {
    json!({ "type": ["array", "null"], "items": items })
}

/// Numbers and truth values are taken as the text they are written with.
fn text() -> Value {
    json!({ "type": ["string", "number", "boolean", "null"] })
}

fn texts_by_key() -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": text() })
}

/// Numbers may be written as texts.
fn number(most: u32) -> Value {
    json!({ "anyOf": [{ "type": ["integer", "null"], "minimum": 0, "maximum": most }, { "type": "string", "pattern": "^[0-9]*$" }] })
}

fn port() -> Value {
    number(u16::MAX.into())
}

fn truth() -> Value {
    json!({ "anyOf": [{ "type": ["boolean", "null"] }, { "enum": ["true", "false", "yes", "no", "on", "off", ""] }] })
}
