//! Reads a whole file: finds out the kind of each document and reads it.

use super::{
    cluster::{self, Generation},
    documents,
    fields::{Fields, Problems, text},
    kubeadm,
};
use crate::{
    Clusterfile, Error, ErrorKind, Errors, KubeadmDocument, KubeadmKind, Plugin, Span,
    yaml::{self, Node, to_json},
};

/// The most bytes a Clusterfile may have: 1 MiB.
pub const MAX_BYTES: usize = 1 << 20;

/// The version of the first generation.
pub(crate) const FIRST_VERSION: &str = "sealer.aliyun.com/v1alpha1";
pub(crate) const CLUSTER_VERSIONS: [&str; 3] = ["sealer.io/v2", "sealer.cloud/v2", FIRST_VERSION];
pub(crate) const OTHER_VERSIONS: [&str; 5] =
    ["sealer.io/v1", "sealer.io/v2", "sealer.cloud/v1", "sealer.cloud/v2", FIRST_VERSION];
/// The original's first generation under its other name.
const FIRST_OTHER_NAME: &str = "zlink.aliyun.com/v1alpha1";
/// What the original reads too, since it looks only at the kind of a document.
pub(crate) const BY_KIND_VERSIONS: [&str; 5] =
    [FIRST_OTHER_NAME, "sealer.aliyun.com/v2alpha1", "sealer.com/v1alpha1", "sealer.cloud/v1", "sealer.io/v1"];

/// Reads a Clusterfile: any number of YAML documents, exactly one of them a Cluster with at least one master.
///
/// # Errors
/// Everything that is wrong with the file and can be found in one pass, each with its place in the whole file.
pub fn parse(text: &str) -> Result<Clusterfile, Errors> {
    Ok(parse_with_remarks(text)?.0)
}

/// Reads a Clusterfile as [`parse`] does, and says what of it is read as something else: one sentence each, with the line.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_remarks(text: &str) -> Result<(Clusterfile, Vec<String>), Errors> {
    read(text, true)
}

/// Reads the Clusterfile that an image carries as its default: it may leave hosts and image to the one who runs it.
///
/// # Errors
/// As [`parse`].
pub fn parse_default(text: &str) -> Result<Clusterfile, Errors> {
    Ok(read(text, false)?.0)
}

/// Reads the plugins that an image carries in a file of its rootfs: YAML documents of the kind Plugin and no other.
///
/// # Errors
/// As [`parse`].
pub fn parse_plugins(text: &str) -> Result<Vec<Plugin>, Errors> {
    let mut problems = Problems::default();
    let nodes = yaml::documents(text, &mut problems.0);
    let mut found = Found::default();
    for node in &nodes {
        let before = found.rest.plugins.len();
        found.document(node, &mut problems);
        if found.rest.plugins.len() == before && problems.0.is_empty() {
            problems.add(node.span, ErrorKind::UnknownKind("a document that is no Plugin".to_owned()));
        }
    }
    if problems.0.is_empty() { Ok(found.rest.plugins) } else { Err(Errors::new(problems.0)) }
}

fn read(text: &str, complete: bool) -> Result<(Clusterfile, Vec<String>), Errors> {
    if text.len() > MAX_BYTES {
        let span = Span { line: 1, column: 1, ..Span::default() };
        return Err(Errors::new(vec![Error {
            span,
            kind: ErrorKind::TooLarge { limit: MAX_BYTES },
            suggestion: None,
        }]));
    }
    let mut problems = Problems::default();
    let nodes = yaml::documents(text, &mut problems.0);
    let malformed = !problems.0.is_empty();
    let mut found = Found { complete, ..Found::default() };
    found.subnets = kubeadm::subnets(&nodes, &mut problems);
    for node in &nodes {
        found.document(node, &mut problems);
    }
    let missing = found.cluster_line.is_none() && !malformed;
    if missing {
        problems.add(Span { line: 1, column: 1, ..Span::default() }, ErrorKind::NoCluster);
    }
    match found.file {
        Some(file) if problems.0.is_empty() => {
            let documents::Documents { configs, plugins, applications, kubeadm, .. } = found.rest;
            Ok((Clusterfile { configs, plugins, applications, kubeadm, ..file }, problems.1))
        }
        _ => Err(Errors::new(problems.0)),
    }
}

/// The documents seen so far.
#[derive(Default)]
struct Found {
    complete: bool,
    subnets: kubeadm::Subnets,
    cluster_line: Option<usize>,
    file: Option<Clusterfile>,
    rest: documents::Documents,
    kubeadm_lines: Vec<(KubeadmKind, usize)>,
}

impl Found {
    fn document(&mut self, node: &Node, problems: &mut Problems) {
        let Some(mut fields) = Fields::open(node, "the document", problems) else {
            return;
        };
        let kind = fields.require("kind").and_then(|kind| Some((kind.span, text(kind, problems)?)));
        let known =
            kind.as_ref().and_then(|(_, kind)| KubeadmKind::ALL.into_iter().find(|known| known.as_str() == kind));
        // The original's examples leave it out of kubeadm's documents.
        let version = if known.is_some() { fields.take("apiVersion") } else { fields.require("apiVersion") };
        let version = version.and_then(|version| Some((version.span, text(version, problems)?)));
        let Some((span, kind)) = kind else {
            fields.report_missing(problems);
            return;
        };
        if let Some(kind) = known {
            check_version(version.as_ref(), kind.as_str(), kubeadm_versions(kind), problems);
            fields.report_missing(problems);
            self.kubeadm(node, kind, problems);
            return;
        }
        match kind.as_str() {
            "Cluster" => {
                check_version(version.as_ref(), "Cluster", &CLUSTER_VERSIONS, problems);
                let version = version.as_ref().map(|(_, version)| version.as_str());
                self.cluster(fields, node, version, problems);
            }
            "Config" | "Plugin" | "Application" => {
                check_version(version.as_ref(), &kind, &OTHER_VERSIONS, problems);
                self.rest.add(&kind, fields, problems);
            }
            _ => {
                let known = ["Cluster", "Config", "Plugin", "Application"]
                    .into_iter()
                    .chain(KubeadmKind::ALL.map(KubeadmKind::as_str));
                // The original's documentation speaks of a KubeadmConfig, which it never read.
                let meant = if kind == "KubeadmConfig" { "ClusterConfigurations" } else { &kind };
                problems.add_word(span, ErrorKind::UnknownKind(kind.clone()), meant, known);
            }
        }
    }

    fn cluster(&mut self, fields: Fields<'_>, node: &Node, version: Option<&str>, problems: &mut Problems) {
        if let Some(first_line) = self.cluster_line {
            problems.add(node.span, ErrorKind::SecondCluster { first_line });
            return;
        }
        self.cluster_line = Some(node.span.line);
        let is_first = version.is_some_and(|version| [FIRST_VERSION, FIRST_OTHER_NAME].contains(&version));
        let generation = if is_first { Generation::First } else { Generation::Second };
        self.file = cluster::read(fields, generation, self.complete, &self.subnets, problems).map(Clusterfile::from);
    }

    fn kubeadm(&mut self, node: &Node, kind: KubeadmKind, problems: &mut Problems) {
        if let Some((_, first_line)) = self.kubeadm_lines.iter().find(|(known, _)| *known == kind) {
            problems.add(node.span, ErrorKind::SecondDocument { kind: kind.as_str(), first_line: *first_line });
            return;
        }
        self.kubeadm_lines.push((kind, node.span.line));
        if kind == KubeadmKind::ClusterConfiguration {
            kubeadm::check_names(node, problems);
        }
        let mut value = to_json(node);
        kubeadm::complete_version(kind, &mut value);
        self.rest.kubeadm.push(KubeadmDocument { kind, value });
    }
}

fn kubeadm_versions(kind: KubeadmKind) -> &'static [&'static str] {
    match kind {
        KubeadmKind::KubeletConfiguration => &["kubelet.config.k8s.io/v1beta1"],
        KubeadmKind::KubeProxyConfiguration => &["kubeproxy.config.k8s.io/v1alpha1"],
        _ => &["kubeadm.k8s.io/v1beta4", "kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta2", "kubeadm.k8s.io/v1beta1"],
    }
}

/// Reports a version that is not one of those known for the kind.
fn check_version(version: Option<&(Span, String)>, kind: &str, known: &[&str], problems: &mut Problems) {
    let Some((span, api_version)) = version else {
        return;
    };
    let is_ours = ["Cluster", "Config", "Plugin", "Application"].contains(&kind);
    if !known.contains(&api_version.as_str()) && is_ours && BY_KIND_VERSIONS.contains(&api_version.as_str()) {
        problems.remark(
            *span,
            format_args!("apiVersion {api_version} of {kind} is read as {}", read_as(api_version, known)),
        );
    } else if !known.contains(&api_version.as_str()) {
        let api_version = api_version.clone();
        let given = api_version.clone();
        let kind = ErrorKind::UnknownApiVersion { api_version, kind: kind.to_owned(), known: known.join(", ") };
        problems.add_word(*span, kind, &given, known.iter().copied());
    }
}

fn read_as<'k>(version: &str, known: &[&'k str]) -> &'k str {
    let first = version == FIRST_OTHER_NAME;
    known.iter().copied().find(|known| (*known == FIRST_VERSION) == first).unwrap_or(FIRST_VERSION)
}
