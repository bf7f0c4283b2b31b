//! Reads the Cluster document.

use std::collections::BTreeMap;

use super::{
    check,
    fields::{Fields, Problems, pairs_of},
    hosts,
    kubeadm::Subnets,
    login, machines, rules, settings,
};
use crate::{Cluster, Env, ErrorKind, ProviderName, yaml::Value};

/// Which of the two generations of the format a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// `sealer.aliyun.com/v1alpha1`: addresses and sizes below `masters` and `nodes`.
    First,
    /// `sealer.cloud/v2` and `sealer.io/v2`: addresses below `hosts`.
    Second,
}

/// Fields of the second generation alone.
pub(crate) const SECOND_ONLY: [&str; 7] =
    ["cmd", "cmd_args", "appNames", "hostAliases", "dataRoot", "registry", "cmdArgs"];

/// Fields that appear at the top level when a text has lost its indentation.
const LOST_INDENTATION: [(&[&str], &str); 5] = [
    (&["name", "annotations"], "indent it below `metadata:`"),
    (
        &["image", "provider", "env", "ssh", "network", "certSANS", "masters", "nodes", "hosts"],
        "indent it below `spec:`",
    ),
    (&["user", "passwd", "pk", "pkPasswd", "jump"], "indent it below `ssh:`, and that below `spec:`"),
    (
        &["interface", "cniName", "podCIDR", "svcCIDR", "withoutCNI"],
        "indent it below `network:`, and that below `spec:`",
    ),
    (
        &["ipList", "count", "cpu", "memory", "systemDisk", "dataDisks"],
        "indent it below `masters:` or `nodes:`, and that below `spec:`",
    ),
];

/// Reads the document; `complete` demands an image and a master.
pub(crate) fn read(
    mut fields: Fields<'_>,
    generation: Generation,
    complete: bool,
    subnets: &Subnets,
    problems: &mut Problems,
) -> Option<Cluster> {
    let mut cluster = Cluster::new("", "");
    if let Some(node) = fields.require("metadata")
        && let Some(metadata) = Fields::open(node, "metadata", problems)
    {
        read_metadata(metadata, &mut cluster, problems);
    }
    for (names, instead) in LOST_INDENTATION {
        fields.misplaced(names, instead, problems);
    }
    fields.take("status"); // Written by the original, as in its spec; there is never anything in it.
    if let Some(node) = fields.require("spec")
        && let Some(spec) = Fields::open(node, "spec", problems)
    {
        read_spec(spec, generation, complete, subnets, &mut cluster, problems);
    }
    fields.finish(problems);
    Some(cluster)
}

fn read_metadata(mut metadata: Fields<'_>, cluster: &mut Cluster, problems: &mut Problems) {
    cluster.name = metadata.require_valid("name", rules::CLUSTER_NAME, problems).unwrap_or_default();
    // The original's reference shows it under both names.
    for name in ["annotation", "annotations"] {
        let pairs = metadata.pairs(name, problems).into_iter();
        cluster.annotations.extend(pairs.map(|(key, _, text)| (key.text.clone(), text)));
    }
    metadata.take("creationTimestamp"); // Likewise written by the original.
    metadata.finish(problems);
}

fn read_spec(
    mut spec: Fields<'_>,
    generation: Generation,
    complete: bool,
    subnets: &Subnets,
    cluster: &mut Cluster,
    problems: &mut Problems,
) {
    let image = if complete {
        spec.require_valid("image", rules::IMAGE, problems)
    } else {
        spec.valid("image", rules::IMAGE, problems)
    };
    cluster.image = image.unwrap_or_default();
    spec.take("status");
    cluster.env = read_env(&mut spec, "env", problems);
    cluster.ssh = login::read(&mut spec, None, problems);
    cluster.network = settings::read_network(&mut spec, problems);
    cluster.cert_sans = spec.valid_texts("certSANS", rules::CERTIFICATE_NAME, problems);
    let provider = read_provider(&mut spec, problems);

    let before = problems.0.len();
    let mut hosts = hosts::PlacedHosts::default();
    machines::read(&mut spec, generation, cluster, &mut hosts, problems);
    match generation {
        Generation::First => {
            spec.misplaced(
                &["hosts"],
                "v1alpha1 lists addresses as masters.ipList and nodes.ipList, hosts came with sealer.io/v2",
                problems,
            );
            spec.misplaced(&SECOND_ONLY, "it came with sealer.io/v2", problems);
        }
        Generation::Second => {
            hosts::read(&mut spec, cluster, &mut hosts, problems);
        }
    }
    settings::read_container_runtime(&mut spec, cluster, problems);
    // Where reading them failed, there may well be a master.
    let sound = problems.0.len() == before;
    if generation == Generation::Second {
        settings::read_second(&mut spec, cluster, problems);
    }
    cluster.provider = provider.unwrap_or(cluster.provider_by_default());
    cluster.hosts = hosts.hosts.iter().map(|(_, host)| host.clone()).collect();
    let settled = cluster.settle_env(false);
    problems.keep(spec.span_of("env"), settled);
    let misspelled = spec.clone().finish(problems);
    let master_wanted =
        complete && sound && !misspelled.iter().any(|field| ["hosts", "masters", "nodes"].contains(field));
    check::cluster(&spec, cluster, &hosts.hosts, master_wanted, subnets, problems);
}

fn read_provider(spec: &mut Fields<'_>, problems: &mut Problems) -> Option<ProviderName> {
    let text = spec.text("provider", problems)?;
    match text.parse() {
        Ok(name) => Some(name),
        Err(kind) => {
            let span = spec.take("provider").map_or(spec.span(), |node| node.span);
            problems.add_word(span, kind, &text, ProviderName::KNOWN.iter().map(ProviderName::as_str));
            None
        }
    }
}

/// The `K=V` entries of a list, or a mapping.
pub(crate) fn read_env(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Env {
    if let Some(node) = fields.value(name).filter(|node| matches!(node.value, Value::Map(_))) {
        fields.take(name);
        let pairs = pairs_of(node, problems).into_iter();
        let checked = pairs.map(|(key, _, value)| (key.span, crate::env_pair(&format!("{}={value}", key.text))));
        return checked.filter_map(|(span, pair)| problems.keep(span, pair)).collect();
    }
    let texts = fields.texts(name, problems);
    texts.into_iter().filter_map(|(span, text)| problems.keep(span, crate::env_pair(&text))).collect()
}

/// The `K=V` entries of a list in which every key is unique.
pub(crate) fn read_arguments(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for (span, text) in fields.texts(name, problems) {
        let Some((key, value)) = problems.keep(span, crate::env_pair(&text)) else {
            continue;
        };
        match lines.insert(key.clone(), span.line) {
            Some(first_line) => problems.add(span, ErrorKind::DuplicateKey { key, first_line }),
            None => {
                arguments.insert(key, value);
            }
        }
    }
    arguments
}
