//! Reads `hosts`.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use super::{
    cluster::read_env,
    fields::{Fields, Problems, text},
    login, rules,
};
use crate::{Cluster, ErrorKind, Host, MAX_HOSTS, Role, Span, addresses::expand, suggest::closest, yaml::Node};

/// Reads `hosts`: groups of addresses with roles, and what differs from the cluster.
pub(crate) fn read(spec: &mut Fields<'_>, cluster: &Cluster, hosts: &mut PlacedHosts, problems: &mut Problems) {
    for node in spec.list("hosts", problems) {
        let Some(mut fields) = Fields::open(node, "the host", problems) else {
            continue;
        };
        fields.require("ips");
        let addresses = fields.list("ips", problems);
        let own = read_env(&mut fields, "env", problems);
        for (key, value) in own.iter().filter(|(key, _)| crate::is_cluster_setting(key)) {
            if cluster.env.get(key) != Some(value) {
                problems.add(fields.span_of("env"), ErrorKind::ClusterVariable(key.to_owned()));
            }
        }
        let model = Host {
            address: [0, 0, 0, 0].into(),
            roles: read_roles(&mut fields, problems),
            ssh: login::read(&mut fields, Some(&cluster.ssh), problems),
            env: cluster.env.overlaid(&own),
            labels: read_labels(&mut fields, problems),
            taints: read_taints(&mut fields, problems),
        };
        hosts.add(addresses, &model, problems);
        fields.finish(problems);
    }
}

/// The hosts read so far, each with the place of its address.
#[derive(Default)]
pub(crate) struct PlacedHosts {
    pub(crate) hosts: Vec<(Span, Host)>,
    known: HashSet<IpAddr>,
}

impl PlacedHosts {
    /// Adds a copy of the model host for every address and range; duplicate addresses are errors.
    pub(crate) fn add(&mut self, entries: &[Node], model: &Host, problems: &mut Problems) {
        for entry in entries {
            let text = text(entry, problems);
            let Some(addresses) = text.and_then(|text| problems.keep(entry.span, expand(text.trim()))) else {
                continue;
            };
            for address in addresses {
                if !self.known.insert(address) {
                    problems.add(entry.span, ErrorKind::DuplicateAddress(address));
                    break;
                }
                if self.hosts.len() >= MAX_HOSTS as usize {
                    problems.add(entry.span, ErrorKind::TooManyHosts);
                    return;
                }
                self.hosts.push((entry.span, Host { address, ..model.clone() }));
            }
        }
    }
}

fn read_roles(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Role> {
    let given = fields.texts("roles", problems);
    if given.is_empty() {
        fields.missing("roles");
    }
    let mut roles = Vec::new();
    for (span, name) in given {
        let near = closest(&name, ["master", "node", "masters", "nodes"]);
        if let Some(meant) = near.filter(|_| name != "master" && name != "node") {
            let rule = "master, node, or a name of your own that cannot be mistaken for them";
            let kind = ErrorKind::Invalid { what: "role", value: name.clone(), rule };
            problems.0.push(crate::Error { span, kind, suggestion: Some(meant.trim_end_matches('s').to_owned()) });
        } else if problems.keep(span, rules::WORD.check(&name)).is_some() {
            push_role(Role::from(name.as_str()), span, &mut roles, problems);
        }
    }
    roles
}

fn push_role(role: Role, span: Span, roles: &mut Vec<Role>, problems: &mut Problems) {
    roles.push(role);
    if roles.contains(&Role::Master) && roles.contains(&Role::Node) {
        problems.add(span, ErrorKind::MasterAndNode);
    }
}

fn read_labels(fields: &mut Fields<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (key, span, value) in fields.pairs("labels", problems) {
        let good_key = problems.keep(key.span, rules::LABEL_KEY.check(&key.text));
        let good_value = problems.keep(span, rules::LABEL_VALUE.check(&value));
        if good_key.is_some() && good_value.is_some() {
            labels.insert(key.text.clone(), value);
        }
    }
    labels
}

fn read_taints(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<String> {
    let mut taints = Vec::new();
    for (span, taint) in fields.texts("taints", problems) {
        match rules::TAINT.check(&taint) {
            Ok(()) => taints.push(taint),
            Err(kind) => {
                let effect = taint.trim_end_matches('-').rsplit_once(':').map_or("", |(_, effect)| effect);
                problems.add_word(span, kind, effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"]);
            }
        }
    }
    taints
}
