//! Writes documents in each version of kubeadm's format.

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const APIS: [ConfigApi; 3] = [ConfigApi::V1Beta2, ConfigApi::V1Beta3, ConfigApi::V1Beta4];

    /// Any document, with a liking for the names that mean something.
    fn any_document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,5}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("apiServer"),
            Just("extraArgs"),
            Just("etcd"),
            Just("local"),
            Just("timeouts"),
            Just("discovery"),
            Just("nodeRegistration"),
            Just("kubeletExtraArgs"),
            Just("name"),
            Just("value"),
            Just("dns"),
            Just("timeout"),
            Just("controlPlaneComponentHealthCheck"),
            Just("timeoutForControlPlane"),
            Just("x"),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            let map = prop::collection::vec((key.clone(), inner.clone()), 0..6);
            let map = map
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>());
            prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), map.prop_map(Value::from)]
        })
    }

    proptest! {
        #[test]
        fn no_document_makes_us_panic(value in any_document()) {
            let Ok(neutral) = neutral(value) else { return Ok(()); };
            let all = Documents { init: neutral.clone(), cluster: neutral.clone(), ..Documents::default() };
            for api in APIS {
                for kind in KubeadmKind::ALL {
                    document(kind, &neutral, &all, api);
                }
            }
        }
    }

    #[test]
    fn a_document_comes_back_the_same_from_every_format() {
        let cluster = json!({
            "apiServer": {"extraArgs": {"a": "1", "b": "2"}, "certSANs": ["x"]},
            "controllerManager": {"extraArgs": {"c": "3"}},
            "etcd": {"local": {"extraArgs": {"d": "4"}, "imageTag": "3.5"}},
        });
        let init = json!({"nodeRegistration": {"kubeletExtraArgs": {"v": "2"}, "name": "n"}});
        let all = Documents { init: init.clone(), cluster: cluster.clone(), ..Documents::default() };
        for api in APIS {
            for (kind, value) in
                [(KubeadmKind::ClusterConfiguration, &cluster), (KubeadmKind::InitConfiguration, &init)]
            {
                assert_eq!(neutral(document(kind, value, &all, api)).unwrap(), *value, "{api:?}");
            }
        }
    }

    #[test]
    fn arguments_need_name_and_value() {
        let broken = json!({"apiServer": {"extraArgs": [{"name": "a"}]}});
        assert!(neutral(broken).unwrap_err().contains("extraArgs needs a name and a value"));
        assert!(neutral(json!([])).is_err());
    }
}
