//! How does each version of kubeadm's format spell what we mean?

use clusterfile::KubeadmKind;
use serde_json::{Map, Value, json};

use super::config::Documents;
use super::version::ConfigApi;

/// Brings a document as somebody wrote it, in any version of the format, into our neutral form.
pub(crate) fn neutral(value: Value) -> Result<Value, String> {
    let Value::Object(mut document) = value else {
        return Err("a document is not a mapping".to_owned());
    };
    document.remove("apiVersion");
    document.remove("kind");
    let mut document = Value::Object(document);
    arguments_to_maps(&mut document)?;
    // Where the time-outs were before v1beta4.
    if let Some(wait) = take(&mut document, &["apiServer", "timeoutForControlPlane"]) {
        put(&mut document, &["timeouts", "controlPlaneComponentHealthCheck"], wait);
    }
    if let Some(wait) = take(&mut document, &["discovery", "timeout"]) {
        put(&mut document, &["timeouts", "discovery"], wait);
    }
    Ok(document)
}

/// A document in the form that one version of kubeadm reads, `apiVersion` and `kind` first.
pub(crate) fn document(kind: KubeadmKind, neutral: &Value, all: &Documents, api: ConfigApi) -> Value {
    let api_version = match kind {
        KubeadmKind::KubeletConfiguration => "kubelet.config.k8s.io/v1beta1",
        KubeadmKind::KubeProxyConfiguration => "kubeproxy.config.k8s.io/v1alpha1",
        _ => api.as_str(),
    };
    let mut body = neutral.clone();
    if body.is_null() {
        body = Value::Object(Map::new());
    }
    match kind {
        KubeadmKind::KubeletConfiguration | KubeadmKind::KubeProxyConfiguration => {}
        _ => for_kubeadm(kind, &mut body, all, api),
    }
    let mut document = Map::new();
    document.insert("apiVersion".into(), json!(api_version));
    document.insert("kind".into(), json!(kind.as_str()));
    if let Value::Object(body) = body {
        document.extend(body);
    }
    Value::Object(document)
}

fn for_kubeadm(kind: KubeadmKind, body: &mut Value, all: &Documents, api: ConfigApi) {
    const CONTROL_PLANE: [&str; 2] = ["timeouts", "controlPlaneComponentHealthCheck"];
    if api >= ConfigApi::V1Beta4 {
        if kind == KubeadmKind::InitConfiguration {
            // An older ClusterConfiguration may have said it.
            if let (None, Some(wait)) = (get(body, &CONTROL_PLANE), get(&all.cluster, &CONTROL_PLANE)) {
                put(body, &CONTROL_PLANE, wait.clone());
            }
        } else if kind == KubeadmKind::ClusterConfiguration {
            take(body, &["timeouts"]);
        }
        maps_to_lists(body);
    } else {
        if kind == KubeadmKind::ClusterConfiguration {
            let wait = get(&all.init, &CONTROL_PLANE).or_else(|| get(&all.cluster, &CONTROL_PLANE)).cloned();
            if let Some(wait) = wait {
                put(body, &["apiServer", "timeoutForControlPlane"], wait);
            }
        }
        if kind == KubeadmKind::JoinConfiguration
            && let Some(wait) = get(body, &["timeouts", "discovery"]).cloned()
        {
            put(body, &["discovery", "timeout"], wait);
        }
        take(body, &["timeouts"]);
        join_repeated_arguments(body);
    }
    if api >= ConfigApi::V1Beta3 {
        take(body, &["useHyperKubeImage"]);
        take(body, &["dns", "type"]);
    }
}

/// `extraArgs: [{name: a, value: b}]` becomes `extraArgs: {a: b}`; an argument given twice gets a list of values.
fn arguments_to_maps(value: &mut Value) -> Result<(), String> {
    each_arguments(value, &mut |key, arguments| {
        let Value::Array(list) = arguments else {
            return Ok(());
        };
        let mut map: Map<String, Value> = Map::new();
        for argument in std::mem::take(list) {
            let text = |part: &str| argument.get(part).and_then(Value::as_str);
            let (Some(name), Some(value)) = (text("name"), text("value")) else {
                return Err(format!("each entry of {key} needs a name and a value"));
            };
            match map.get_mut(name) {
                None => {
                    map.insert(name.to_owned(), json!(value));
                }
                Some(Value::Array(values)) => values.push(json!(value)),
                Some(first) => *first = json!([first.take(), value]),
            }
        }
        *arguments = Value::Object(map);
        Ok(())
    })
}

fn maps_to_lists(value: &mut Value) {
    let changed = each_arguments(value, &mut |_, arguments| {
        let Value::Object(map) = arguments else {
            return Ok(());
        };
        let mut list = Vec::new();
        for (name, value) in std::mem::take(map) {
            let values = if let Value::Array(values) = value { values } else { vec![value] };
            list.extend(values.into_iter().map(|value| json!({"name": name, "value": value})));
        }
        *arguments = Value::Array(list);
        Ok(())
    });
    debug_assert!(changed.is_ok());
}

/// Older formats know an argument only once; values of Kubernetes' flags are joined by commas.
fn join_repeated_arguments(value: &mut Value) {
    let changed = each_arguments(value, &mut |_, arguments| {
        for value in arguments.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Value::Array(values) = value {
                let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                *value = json!(texts.join(","));
            }
        }
        Ok(())
    });
    debug_assert!(changed.is_ok());
}

/// Calls `with` for the arguments of every component of a document.
fn each_arguments(
    value: &mut Value,
    with: &mut dyn FnMut(&str, &mut Value) -> Result<(), String>,
) -> Result<(), String> {
    const PLACES: [(&[&str], &str); 5] = [
        (&["apiServer"], "extraArgs"),
        (&["controllerManager"], "extraArgs"),
        (&["scheduler"], "extraArgs"),
        (&["etcd", "local"], "extraArgs"),
        (&["nodeRegistration"], "kubeletExtraArgs"),
    ];
    for (path, key) in PLACES {
        let place = path.iter().try_fold(&mut *value, |place, key| place.get_mut(*key));
        if let Some(arguments) = place.and_then(|place| place.get_mut(key)) {
            with(key, arguments)?;
        }
    }
    Ok(())
}

fn get<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |place, key| place.get(*key))
}

fn put(value: &mut Value, path: &[&str], new: Value) {
    let Some((last, path)) = path.split_last() else {
        return;
    };
    let mut place = value;
    for key in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[*key];
    }
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    place[*last] = new;
}

fn take(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, path) = path.split_last()?;
    let place = path.iter().try_fold(value, |place, key| place.get_mut(*key))?;
    place.as_object_mut()?.shift_remove(*last)
}
