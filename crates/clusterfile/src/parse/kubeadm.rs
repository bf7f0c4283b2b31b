//! Reads what kubeadm's documents say about networks and names, with its place.

use serde_json::{Value as Json, json};

use super::{fields::Problems, rules};
use crate::{
    CidrList, KubeadmKind, Span,
    yaml::{Node, Value},
};

/// The networks that a ClusterConfiguration names; they win over `spec.network`.
#[derive(Debug, Default)]
pub(crate) struct Subnets {
    pub(crate) pods: Option<(Span, CidrList)>,
    pub(crate) services: Option<(Span, CidrList)>,
}

/// The networks of the first ClusterConfiguration among the documents of a file.
pub(crate) fn subnets(documents: &[Node], problems: &mut Problems) -> Subnets {
    let is_meant = |node: &&Node| texts(node, &["kind"]).next().is_some_and(|(_, kind)| kind == "ClusterConfiguration");
    let Some(document) = documents.iter().find(is_meant) else { return Subnets::default() };
    let mut read = |name| {
        let (span, text) = texts(document, &["networking", name]).next().filter(|(_, text)| !text.is_empty())?;
        problems.keep(span, text.parse()).map(|list| (span, list))
    };
    Subnets { pods: read("podSubnet"), services: read("serviceSubnet") }
}

/// Gives a document without `apiVersion` the one whose form it has: only v1beta4 lists arguments.
pub(crate) fn complete_version(kind: KubeadmKind, document: &mut Json) {
    const ARGUMENTS: [&str; 5] = [
        "/apiServer/extraArgs",
        "/controllerManager/extraArgs",
        "/scheduler/extraArgs",
        "/etcd/local/extraArgs",
        "/nodeRegistration/kubeletExtraArgs",
    ];
    let listed = ARGUMENTS.iter().any(|place| document.pointer(place).is_some_and(Json::is_array));
    let version = match kind {
        KubeadmKind::KubeletConfiguration => "v1beta1",
        KubeadmKind::KubeProxyConfiguration => "v1alpha1",
        _ if listed => "v1beta4",
        _ => "v1beta3",
    };
    if let Json::Object(fields) = document
        && fields.get("apiVersion").is_none_or(Json::is_null)
    {
        fields.shift_remove("apiVersion");
        fields.shift_insert(0, "apiVersion".to_owned(), json!(format!("{}/{version}", kind.group())));
    }
}

/// Checks the names that a ClusterConfiguration wants in certificates.
pub(crate) fn check_names(document: &Node, problems: &mut Problems) {
    const PLACES: [&[&str]; 3] =
        [&["apiServer", "certSANs"], &["etcd", "local", "serverCertSANs"], &["etcd", "local", "peerCertSANs"]];
    for (span, name) in PLACES.iter().flat_map(|place| texts(document, place)) {
        problems.keep(span, rules::CERTIFICATE_NAME.check(name));
    }
}

/// The text at a path, or the texts of the list there.
fn texts<'n>(document: &'n Node, path: &[&str]) -> impl Iterator<Item = (Span, &'n str)> {
    let inner = path.iter().try_fold(document, |node, name| match &node.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| key.text == *name).map(|(_, value)| value),
        _ => None,
    });
    let nodes = inner.map(|node| match &node.value {
        Value::List(list) => list.as_slice(),
        _ => std::slice::from_ref(node),
    });
    nodes.unwrap_or_default().iter().filter_map(|node| match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => Some((node.span, text.as_str())),
        _ => None,
    })
}
