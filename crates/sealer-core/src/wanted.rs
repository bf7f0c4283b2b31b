//! Makes a Clusterfile of an image and a few flags.

use std::collections::BTreeMap;

use clusterfile::{Cluster, Clusterfile, MachinesArg, ProviderName, Role, Secret};
use tokio_util::sync::CancellationToken;

use crate::change::APPLIED;
use crate::embedded::Embedded;
use crate::{Error, Events, Sealer, applications, pull, scale};

/// What `sealer run` was told; every field but the image may be left out.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunRequest {
    /// The cluster image.
    pub image: String,
    /// Addresses or a count.
    pub masters: Option<String>,
    /// Addresses or a count.
    pub nodes: Option<String>,
    /// How to log in on the hosts.
    pub login: Login,
    /// Network interface that the cluster uses.
    pub interface: Option<String>,
    /// Address range of pods.
    pub pod_cidr: Option<String>,
    /// Address range of services.
    pub service_cidr: Option<String>,
    /// Name of the cluster.
    pub cluster_name: Option<String>,
    /// Values for ARGs in launch commands.
    pub command_args: BTreeMap<String, String>,
    /// Commands in place of everything that the image launches.
    pub commands: Vec<String>,
    /// The applications to launch, in place of those that the image does.
    pub apps: Vec<String>,
    /// `KEY=VALUE` for scripts and commands.
    pub env: Vec<String>,
    /// `BAREMETAL`, `CONTAINER` or `ALI_CLOUD`.
    pub provider: Option<String>,
    /// Whether the operator agrees to a provider that only the image's own Clusterfile names.
    pub accept_provider: bool,
    /// Whether only a plan is made of it: an image that is not here is then pulled without what it carries.
    pub only_to_plan: bool,
}

/// A wanted cluster, and which part of it came from its image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Wanted {
    /// The documents that describe the cluster.
    pub clusterfile: Clusterfile,
    /// Remarks for the plan: what the image's own Clusterfile decides, and what of it was left out.
    pub notes: Vec<String>,
    /// Whether hosts that the cluster has and that are not named stay: then no host leaves by this request.
    pub keeps_hosts: bool,
}

impl From<Clusterfile> for Wanted {
    /// What an operator wrote.
    fn from(clusterfile: Clusterfile) -> Self {
        Self { clusterfile, notes: Vec::new(), keeps_hosts: false }
    }
}

/// How to log in on hosts; what is left out is as the Clusterfile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// User on the hosts.
    pub user: Option<String>,
    /// Its password, also for sudo.
    pub password: Option<Secret>,
    /// Path of the private key.
    pub private_key: Option<String>,
    /// Its passphrase.
    pub private_key_password: Option<Secret>,
    /// SSH port.
    pub port: Option<u16>,
}

impl RunRequest {
    /// Runs `image` by its own Clusterfile unless more is said.
    #[must_use]
    pub fn new(image: &str) -> Self {
        Self { image: image.to_owned(), ..Self::default() }
    }

    /// Puts the commands or applications that are named, if any, in place of those of a cluster.
    pub(crate) fn choose_launch(&self, cluster: &mut Cluster) {
        if !(self.commands.is_empty() && self.apps.is_empty()) {
            cluster.commands.clone_from(&self.commands);
            cluster.app_names.clone_from(&self.apps);
        }
    }

    /// The same for an application image on the cluster of this name: without what is said about hosts.
    #[must_use]
    pub fn for_application(&self, image: &str, cluster: &str) -> Self {
        let mut request = Self::new(image);
        request.cluster_name = Some(cluster.to_owned());
        request.login.clone_from(&self.login);
        request.command_args.clone_from(&self.command_args);
        request.env.clone_from(&self.env);
        request.only_to_plan = self.only_to_plan;
        request
    }
}

/// The cluster that a request asks for: the image's own, overlaid by what was said. An image that is not here is pulled.
///
/// Counts without a provider mean the image's own provider, else `ALI_CLOUD`; addresses mean `BAREMETAL`, as upstream.
/// Of machines that are counted, the image's own Clusterfile says the size. Hosts, logins, names and annotations in it
/// do not count.
///
/// A cluster of that name that was finished once is changed: what the request does not say stays as it is, and so does
/// every host, named or not. An application image runs on a cluster that there is.
///
/// # Errors
///
/// [`Error::ProviderOfImage`] when the image would choose who makes machines and nobody agreed to that. When the image
/// cannot be had, an argument does not parse, or neither the request nor the image says where to run;
/// [`Error::ClusterExists`] when a cluster of that name has other masters.
pub async fn wanted(sealer: &Sealer, request: RunRequest, events: Events<'_>) -> Result<Wanted, Error> {
    let cancel = CancellationToken::new();
    let pulled = pull::provide(sealer, &request.image, request.only_to_plan, &cancel, events).await?;
    let is_application = applications::is_application(&sealer.images().get_any(&request.image)?);
    let mut wanted = if is_application { applications::wanted(sealer, request)? } else { overlaid(sealer, request)? };
    wanted.notes.extend(pulled);
    Ok(wanted)
}

fn overlaid(sealer: &Sealer, request: RunRequest) -> Result<Wanted, Error> {
    let Embedded { clusterfile: mut wanted, taken, left_out } = Embedded::of(sealer, &request.image)?;
    let cluster = &mut wanted.cluster;
    if let Some(name) = &request.cluster_name {
        cluster.name.clone_from(name);
    }
    request.login.overlay(cluster);
    network(cluster, &request)?;
    set_env(cluster, &request.env)?;
    cluster.command_args.extend(request.command_args.clone());
    request.choose_launch(cluster);
    let of_image = cluster.provider.clone();
    machines(sealer, cluster, &request)?;
    let chosen_by_image = of_image != ProviderName::BAREMETAL && request.provider.is_none();
    if chosen_by_image && cluster.provider == of_image && !request.accept_provider {
        return Err(Error::ProviderOfImage { image: request.image, provider: of_image });
    }
    let known = match sealer.state().clusterfile(&cluster.name) {
        // Whoever says such a name is told below what else is wrong.
        Err(Error::ClusterName { .. }) => None,
        known => known?.filter(|known| is_finished(&known.cluster)),
    };
    if cluster.hosts.is_empty() && cluster.machines.is_empty() && known.is_none() {
        return Err(Error::NoHosts { image: request.image });
    }
    if let Some(known) = known {
        return scale::run_again(&known, wanted, &request);
    }
    // What flags and an embedded file make together must be as right as a file.
    let clusterfile = clusterfile::parse(&wanted.to_yaml()).map_err(Error::Request)?;
    Ok(Wanted { clusterfile, notes: notes(&request.image, &taken, &left_out), keeps_hosts: true })
}

/// Whether a cluster was made once and has hosts that can stay.
fn is_finished(cluster: &Cluster) -> bool {
    cluster.annotations.contains_key(APPLIED) && !cluster.hosts.is_empty()
}

fn notes(image: &str, taken: &[String], left_out: &[&str]) -> Vec<String> {
    let taken = (!taken.is_empty()).then(|| format!("from the Clusterfile inside {image}: {}", taken.join(", ")));
    let left_out = (!left_out.is_empty()).then(|| {
        let fields = left_out.join(", ");
        format!(
            "left out of the Clusterfile inside {image}: {fields}; only you may say these, by flags or your own file"
        )
    });
    taken.into_iter().chain(left_out).collect()
}

impl Login {
    /// Says how to log in to the hosts of a cluster, except to those that have a setting of their own.
    pub fn overlay(&self, cluster: &mut Cluster) {
        let mut ssh = cluster.ssh.clone();
        if let Some(user) = &self.user {
            ssh.user.clone_from(user);
        }
        if let Some(port) = self.port {
            ssh.port = port;
        }
        if self.password.is_some() {
            ssh.password.clone_from(&self.password);
        }
        if self.private_key.is_some() {
            ssh.private_key.clone_from(&self.private_key);
        }
        if self.private_key_password.is_some() {
            ssh.private_key_password.clone_from(&self.private_key_password);
        }
        cluster.set_ssh(ssh);
    }
}

fn network(cluster: &mut Cluster, request: &RunRequest) -> Result<(), Error> {
    if request.interface.is_some() {
        cluster.network.interface.clone_from(&request.interface);
    }
    if let Some(cidr) = &request.pod_cidr {
        cluster.network.pod_cidr = cidr.parse().map_err(|source| argument("--podcidr", cidr, source))?;
    }
    if let Some(cidr) = &request.service_cidr {
        cluster.network.service_cidr = cidr.parse().map_err(|source| argument("--svccidr", cidr, source))?;
    }
    // What the image says as a variable is the same setting.
    for (name, said) in [("PodCIDR", &request.pod_cidr), ("SvcCIDR", &request.service_cidr)] {
        if let Some(said) = said.as_ref().filter(|_| cluster.env.get(name).is_some()) {
            cluster.set_env(name, said);
        }
    }
    Ok(())
}

fn machines(sealer: &Sealer, cluster: &mut Cluster, request: &RunRequest) -> Result<(), Error> {
    let named = request.masters.is_some() || request.nodes.is_some();
    // Who names machines means exactly these, not those of the image's own file besides; what the image says about
    // their size and about who makes them still holds for so many machines as are asked for.
    let default = std::mem::take(&mut cluster.machines);
    if named {
        cluster.hosts.clear();
    } else {
        cluster.machines = default.clone();
    }
    for (option, role, text) in [("--masters", Role::Master, &request.masters), ("--nodes", Role::Node, &request.nodes)]
    {
        let Some(text) = text else { continue };
        let machines = clusterfile::machines_or_addresses(text).map_err(|source| argument(option, text, source))?;
        match (&machines, &role) {
            (MachinesArg::Count(_), Role::Master) => cluster.machines.masters.clone_from(&default.masters),
            (MachinesArg::Count(_), _) => cluster.machines.nodes.clone_from(&default.nodes),
            (MachinesArg::Addresses(addresses), _) => {
                if let Some(twice) = addresses.iter().find(|address| cluster.host(**address).is_some()) {
                    return Err(argument(option, text, clusterfile::ErrorKind::DuplicateAddress(*twice)));
                }
            }
        }
        cluster.add(&role, machines);
    }
    if let Some(given) = &request.provider {
        cluster.provider = sealer.provider_name(given)?;
    } else if named && (cluster.machines.is_empty() || cluster.provider == ProviderName::BAREMETAL) {
        cluster.provider = cluster.provider_by_default();
    }
    Ok(())
}

/// Sets variables, each given as `KEY=VALUE`.
pub(crate) fn set_env(cluster: &mut Cluster, pairs: &[String]) -> Result<(), Error> {
    for pair in pairs {
        let (key, value) = clusterfile::env_pair(pair).map_err(|source| argument("--env", pair, source))?;
        cluster.set_env(&key, &value);
    }
    if pairs.is_empty() {
        return Ok(());
    }
    // Those of two networks may be right only together.
    cluster.settle_env(true).map_err(|source| argument("--env", &pairs.join(","), source))
}

fn argument(option: &'static str, value: &str, source: clusterfile::ErrorKind) -> Error {
    Error::Argument { option, value: value.to_owned(), source }
}
