//! Takes from the Clusterfile inside an image what an image may decide, and nothing else.
//!
//! An image is made by others. Whom the operator's credentials go to, which state is opened and who may reach the
//! machines is for the operator alone to say, by flags or a Clusterfile of their own.

use clusterfile::{Cluster, Clusterfile, ProviderName};

use crate::{Error, Sealer};

/// Where an image keeps the Clusterfile that it is run by when nothing else is said (upstream: `etc/Clusterfile`).
const DEFAULT_CLUSTERFILE: &str = "etc/Clusterfile";
/// It is never larger than this.
const CLUSTERFILE_LIMIT: u64 = 1 << 20;
/// The name of a cluster that was given none (upstream's).
const CLUSTER_NAME: &str = "my-cluster";

/// What an image's own Clusterfile says.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// The part of it that counts.
    pub(crate) clusterfile: Clusterfile,
    /// What that part sets, for the plan.
    pub(crate) taken: Vec<String>,
    /// What only the operator may say, and is left out.
    pub(crate) left_out: Vec<&'static str>,
}

impl Embedded {
    /// What `image` says about the cluster that it becomes; defaults where it says nothing.
    pub(crate) fn of(sealer: &Sealer, image: &str) -> Result<Self, Error> {
        Ok(match sealer.embedded_clusterfile(image)? {
            Some(found) => allowed(image, found),
            None => Self { clusterfile: plain(image).into(), taken: Vec::new(), left_out: Vec::new() },
        })
    }
}

impl Sealer {
    /// The Clusterfile inside `image` as it is written there, to be read and edited; a minimal one if there is none.
    ///
    /// # Errors
    ///
    /// When the image is unknown or its own Clusterfile has errors.
    pub fn default_clusterfile(&self, image: &str) -> Result<Clusterfile, Error> {
        Ok(self.embedded_clusterfile(image)?.unwrap_or_else(|| plain(image).into()))
    }

    fn embedded_clusterfile(&self, image: &str) -> Result<Option<Clusterfile>, Error> {
        let found = self.images().get_any(image)?.read_files(&[DEFAULT_CLUSTERFILE], CLUSTERFILE_LIMIT)?;
        let Some(bytes) = found.get(DEFAULT_CLUSTERFILE) else { return Ok(None) };
        let text = String::from_utf8_lossy(bytes);
        let parsed = clusterfile::parse_default(&text);
        parsed.map(Some).map_err(|errors| Error::EmbeddedClusterfile { image: image.to_owned(), errors })
    }
}

fn plain(image: &str) -> Cluster {
    Cluster::new(CLUSTER_NAME, image)
}

/// The part of a Clusterfile that an image may decide: a list of what may, so that a new field may not.
fn allowed(image: &str, found: Clusterfile) -> Embedded {
    let (default, theirs) = (plain(image), &found.cluster);
    let mut cluster = default.clone();
    cluster.provider.clone_from(&theirs.provider);
    cluster.machines.clone_from(&theirs.machines);
    cluster.network.clone_from(&theirs.network);
    cluster.env.clone_from(&theirs.env);
    cluster.commands.clone_from(&theirs.commands);
    cluster.command_args.clone_from(&theirs.command_args);
    cluster.app_names.clone_from(&theirs.app_names);
    cluster.registry.clone_from(&theirs.registry);
    cluster.registry.external = None;
    cluster.registry.insecure = false;
    let (taken, left_out) = (taken(&default, &cluster, &found), left_out(&default, &found));
    let mut clusterfile = Clusterfile::from(cluster);
    clusterfile.configs = found.configs;
    clusterfile.plugins = found.plugins;
    clusterfile.kubeadm = found.kubeadm;
    Embedded { clusterfile, taken, left_out }
}

fn taken(default: &Cluster, cluster: &Cluster, found: &Clusterfile) -> Vec<String> {
    let fields = [
        (cluster.machines != default.machines, "masters and nodes"),
        (cluster.network != default.network, "network"),
        (cluster.env != default.env, "env"),
        (cluster.commands != default.commands, "cmd"),
        (cluster.command_args != default.command_args, "cmd_args"),
        (cluster.app_names != default.app_names, "appNames"),
        (cluster.registry != default.registry, "registry.localRegistry"),
    ];
    let mut taken: Vec<String> = Vec::new();
    if cluster.provider != ProviderName::BAREMETAL {
        taken.push(format!("provider {}", cluster.provider));
    }
    taken.extend(fields.into_iter().filter(|(differs, _)| *differs).map(|(_, name)| name.to_owned()));
    taken.extend(found.configs.iter().map(|config| format!("Config {} ({})", config.name, config.path)));
    taken.extend(found.plugins.iter().map(|plugin| format!("Plugin {} ({})", plugin.name, plugin.plugin_type)));
    taken.extend(found.kubeadm.iter().map(|document| format!("{:?}", document.kind)));
    taken
}

fn left_out(default: &Cluster, found: &Clusterfile) -> Vec<&'static str> {
    let theirs = &found.cluster;
    let fields = [
        (theirs.name != default.name, "metadata.name"),
        (theirs.annotations != default.annotations, "metadata.annotations"),
        (theirs.hosts != default.hosts, "hosts"),
        (theirs.ssh != default.ssh, "ssh"),
        (theirs.cert_sans != default.cert_sans, "certSANs"),
        (theirs.host_aliases != default.host_aliases, "hostAliases"),
        (theirs.data_root != default.data_root, "dataRoot"),
        (theirs.container_runtime != default.container_runtime, "containerRuntime"),
        (theirs.registry.external.is_some(), "registry.externalRegistry"),
        (theirs.registry.insecure, "registry.localRegistry.insecure"),
        (!found.applications.is_empty(), "Application documents"),
    ];
    fields.into_iter().filter(|(differs, _)| *differs).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\
apiVersion: sealer.io/v2
kind: Cluster
metadata:
  name: production
  annotations: {sealer.io/ali-admin-cidr: 0.0.0.0/0}
spec:
  image: other:1
  hosts: [{ips: [127.0.0.9], roles: [master], ssh: {user: spy, pk: /dev/zero}}]
  ssh: {user: spy, passwd: x, pk: /dev/zero}
  env: [A=b]
  dataRoot: /etc
  hostAliases: [{ip: 127.0.0.9, hostnames: [registry.example.com]}]
  registry: {localRegistry: {port: 5001, insecure: true}, externalRegistry: {domain: spy.example.com}}
---
apiVersion: sealer.io/v1
kind: Plugin
metadata: {name: hello}
spec: {type: SHELL, action: post-install, data: echo}
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
networking: {podSubnet: 10.9.0.0/16}
";

    #[test]
    fn an_image_decides_nothing_that_is_the_operators() {
        let embedded = allowed("shop:1", clusterfile::parse_default(HOSTILE).unwrap());
        let mut wanted = plain("shop:1");
        wanted.set_env("A", "b");
        wanted.registry.port = 5001;
        assert_eq!(embedded.clusterfile.cluster, wanted);
        assert_eq!(embedded.taken, ["env", "registry.localRegistry", "Plugin hello (SHELL)", "ClusterConfiguration"]);
        let operators = [
            "metadata.name",
            "metadata.annotations",
            "hosts",
            "ssh",
            "hostAliases",
            "dataRoot",
            "registry.externalRegistry",
            "registry.localRegistry.insecure",
        ];
        assert_eq!(embedded.left_out, operators);
    }
}
