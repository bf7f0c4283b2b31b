//! Finds what a Clusterfile asks for and this version does not support, and what has no effect.

use std::fmt;

use clusterfile::{Clusterfile, Host, MachineSpec, ProviderName, RegistrySettings};
use content_store::Reference;
use runtime::{ImageContents, LaunchCommand};
use serde::Serialize;

use crate::{Error, applications};

/// Something that a Clusterfile asks for and that this version does not support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsupported {
    /// Where it stands: a document or a field, for example `Plugin backup` or `spec.appNames`.
    pub place: String,
    /// What is not supported yet.
    pub what: &'static str,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} is not supported yet", self.place, self.what)
    }
}

/// Refuses what would otherwise be ignored silently.
///
/// What depends on the runtime is refused by [`runtime::Runtime::supports`].
pub(crate) fn refuse(wanted: &Clusterfile) -> Result<(), Error> {
    let mut found = Vec::new();
    let cluster = &wanted.cluster;
    let mut add = |place: String, what| found.push(Unsupported { place, what });
    for host in cluster.hosts.iter().filter(|host| !host.is_master() && !host.is_node()) {
        let roles: Vec<&str> = host.roles.iter().map(clusterfile::Role::as_str).collect();
        add(
            format!("spec.hosts {} (roles {})", host.address, roles.join(", ")),
            "a host that is neither master nor node (give it the role node, too)",
        );
    }
    if found.is_empty() { Ok(()) } else { Err(Error::Unsupported(found)) }
}

/// Checks a Clusterfile as far as that needs no image, no host and no store.
///
/// # Errors
///
/// [`Error::Unsupported`] for what it asks for and this version does not support, [`Error::Runtime`] for plugins that
/// cannot be understood and for what kubeadm cannot make, [`Error::Application`] for documents that contradict each other.
pub fn check(wanted: &Clusterfile) -> Result<(), Error> {
    refuse(wanted)?;
    if !wanted.cluster.image.starts_with("sha256:") {
        wanted.cluster.image.parse::<Reference>().map_err(cloudimage::Error::from)?;
    }
    let planned = runtime::with_plugins(wanted, None)?;
    runtime::host_names(&planned)?;
    applications::check(wanted)?;
    Ok(runtime::Kubeadm::check(&planned.cluster)?)
}

/// What is said and changes nothing, or is written as it stands, one sentence each; `launch` are the commands of the image.
pub(crate) fn without_effect(wanted: &Clusterfile, launch: &[LaunchCommand], image: &ImageContents) -> Vec<String> {
    let (cluster, mut remarks) = (&wanted.cluster, configs(wanted, image));
    if let Some(name) = &cluster.network.cni_name {
        remarks
            .push(format!("spec.network.cniName `{name}` has no effect: the image decides about the network plugin"));
    }
    let registry = &cluster.registry;
    if let Some(external) = &registry.external {
        let mut local = RegistrySettings::default();
        local.external = Some(external.clone());
        if *registry != local {
            let domain = &external.domain;
            remarks.push(format!("spec.registry.localRegistry has no effect: images come from {domain} outside"));
        }
        if external.insecure && external.ca.is_some() {
            remarks.push("spec.registry.externalRegistry.ca has no effect: the registry is insecure".to_owned());
        }
    }
    // Commands that use an argument have it among their variables.
    let used = |name: &String| launch.iter().any(|command| command.env.contains_key(name));
    for name in cluster.command_args.keys().filter(|name| !used(name)) {
        remarks.push(format!("no launch command uses the argument {name}"));
    }
    let hosts = cluster.hosts.iter().flat_map(|host: &Host| host.env.iter());
    let mut names: Vec<&str> = cluster.env.iter().chain(hosts).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if name.contains(['-', '.']) {
            remarks.push(format!("the variable `{name}` reaches no script: a shell takes letters, digits and `_`"));
        } else if runtime::is_own_variable(name)
            && !(clusterfile::is_cluster_setting(name) && cluster.env.get(name).is_some())
        {
            remarks.push(format!("the variable `{name}` has no effect: scripts get the value that sealer sets"));
        }
    }
    if cluster.provider == ProviderName::CONTAINER {
        for (field, machines) in [("masters", &cluster.machines.masters), ("nodes", &cluster.machines.nodes)] {
            if machines.as_ref().is_some_and(has_disks) {
                remarks
                    .push(format!("the disks of spec.{field} have no effect: hosts of CONTAINER share this machine's"));
            }
        }
    }
    remarks
}

/// What of Config documents surprises: files that the image does not have, and data that looks like a template.
fn configs(wanted: &Clusterfile, image: &ImageContents) -> Vec<String> {
    let mut remarks = Vec::new();
    for config in &wanted.configs {
        let (name, path) = (&config.name, config.inner_path());
        if !image.has(&path) && !image.has(&format!("{path}.tmpl")) {
            remarks.push(format!("Config {name} makes {path}, which the image does not have"));
        }
        if config.data.contains("{{") && !path.ends_with(".tmpl") {
            remarks.push(format!(
                "Config {name} is written as it stands, braces too: a path that ends in .tmpl is filled in"
            ));
        }
    }
    // What an image sets and sealer sets too.
    let own = image.env.keys().filter(|name| runtime::is_own_variable(name));
    remarks.extend(
        own.map(|name| format!("ENV {name} of the image has no effect: scripts get the value that sealer sets")),
    );
    remarks
}

fn has_disks(machines: &MachineSpec) -> bool {
    machines.system_disk.is_some() || !machines.data_disks.is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CLUSTER: &str = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: a}\nspec:\n  image: i:1\n  hosts:\n    - {ips: [10.0.0.1], roles: [master]}\n";

    fn parse(more: &str) -> Clusterfile {
        clusterfile::parse(&format!("{CLUSTER}{more}")).unwrap()
    }

    fn refused(more: &str) -> String {
        refuse(&parse(more)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_performed_is_not_refused() {
        let performed = "  hostAliases: [{ip: 10.0.0.9, hostnames: [a.b]}]\n  certSANS: [x.y]\n  env: [A=b]\n  cmd: [\"echo $A\"]\n---\nkind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta3\n";
        refuse(&parse(performed)).unwrap();
        refuse(&parse("    - {ips: [10.0.0.2], roles: [node, db], labels: {a: b}, taints: [\"a=b:NoSchedule\"]}\n"))
            .unwrap();
    }

    #[test]
    fn documents_and_fields_are_named_all_at_once() {
        let text = refused("    - {ips: [10.0.0.7], roles: [db]}\n    - {ips: [10.0.0.8], roles: [cache]}\n");
        for expected in [
            "spec.hosts 10.0.0.7 (roles db): a host that is neither master nor node (give it the role node, too) is not supported yet",
            "spec.hosts 10.0.0.8 (roles cache): a host",
        ] {
            assert!(text.contains(expected), "`{expected}` is missing in:\n{text}");
        }
    }

    #[test]
    fn a_registry_outside_leaves_nothing_to_the_one_on_the_masters() {
        let remarks = |registry: &str| {
            without_effect(&parse(&format!("  registry: {registry}\n")), &[], &ImageContents::named("i:1"))
        };
        let external = "externalRegistry: {domain: hub.example.com}";
        assert_eq!(remarks(&format!("{{{external}}}")), [""; 0]);
        assert_eq!(
            remarks(&format!("{{localRegistry: {{port: 5001}}, {external}}}")),
            ["spec.registry.localRegistry has no effect: images come from hub.example.com outside"]
        );
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let wanted = parse(
            "  network: {cniName: calico}\n  cmd_args: [WHO=x, USED=y]\n  env: [a-b=c, HostIP=1.2.3.4, PodCIDR=10.9.0.0/16]\n---\n\
             kind: Config\napiVersion: sealer.io/v1\nmetadata: {name: my}\nspec: {path: etc/my.yaml, data: \"{{ .A }}\"}\n",
        );
        let mut image = ImageContents::named("i:1");
        image.env.insert("SvcCIDR".to_owned(), "10.8.0.0/16".to_owned());
        let uses = LaunchCommand::from("echo ${USED}").within("", [("USED".into(), "x".into())].into());
        let remarks = without_effect(&wanted, &[uses], &image);
        assert_eq!(
            remarks,
            [
                "Config my makes etc/my.yaml, which the image does not have",
                "Config my is written as it stands, braces too: a path that ends in .tmpl is filled in",
                "ENV SvcCIDR of the image has no effect: scripts get the value that sealer sets",
                "spec.network.cniName `calico` has no effect: the image decides about the network plugin",
                "no launch command uses the argument WHO",
                "the variable `HostIP` has no effect: scripts get the value that sealer sets",
                "the variable `a-b` reaches no script: a shell takes letters, digits and `_`",
            ]
        );
    }
}
