//! The Cluster document as it is written: hosts in groups, logins as overrides, passwords in plain.
//!
//! A type whose fields stand in the file as they are derives `Serialize` and `JsonSchema` where it is declared. The
//! types here are written in another shape than they are used in, or hold passwords: no public type serialises those.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    Cluster, ExternalRegistry, Host, HostAlias, Jump, MachineSpec, Network, ProviderName, RegistrySettings, Secret,
    Ssh, SshHost,
};

/// The container runtimes that a Clusterfile can ask for.
pub(crate) const CONTAINER_RUNTIMES: [&str; 3] = ["containerd", "docker", "cri-o"];

/// `spec` of a Cluster.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterSpec {
    /// The cluster image.
    #[schemars(required)]
    image: Option<String>,
    /// The provider of the hosts.
    #[schemars(extend("examples" = ProviderName::KNOWN.each_ref().map(ProviderName::as_str)))]
    provider: Option<String>,
    /// Variables for scripts, templates and commands, as `KEY=value` or as a mapping.
    #[schemars(with = "Option<EnvForm>")]
    env: Option<Vec<String>>,
    /// Values for the image's build arguments at run time, as `KEY=value`.
    #[serde(rename = "cmd_args")]
    command_args: Option<Vec<String>>,
    /// Commands that replace the image's launch commands.
    #[serde(rename = "cmd")]
    commands: Option<Vec<String>>,
    /// The applications of the image to start.
    app_names: Option<Vec<String>>,
    /// How to log in to the hosts.
    ssh: Option<Login>,
    /// The network of pods and services.
    network: Option<Network>,
    /// Further names and addresses for the API server's certificate.
    #[serde(rename = "certSANS")]
    cert_sans: Option<Vec<String>>,
    /// The masters that a provider creates.
    masters: Option<MachineSpec>,
    /// The nodes that a provider creates.
    nodes: Option<MachineSpec>,
    /// The hosts, in groups of equal ones.
    hosts: Option<Vec<HostGroup>>,
    /// Lines for `/etc/hosts` of every host.
    host_aliases: Option<Vec<HostAlias>>,
    /// Where sealer keeps its data on hosts.
    data_root: Option<String>,
    /// Where hosts pull images from.
    registry: Option<Registry>,
    /// The container runtime wanted.
    container_runtime: Option<ContainerRuntime>,
    /// Written by the original; nothing is read of it.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    status: Option<()>,
}

impl From<&Cluster> for ClusterSpec {
    fn from(cluster: &Cluster) -> Self {
        let arguments = cluster.command_args.iter().map(|(key, value)| format!("{key}={value}"));
        Self {
            image: (!cluster.image.is_empty()).then(|| cluster.image.clone()),
            provider: Some(cluster.provider.to_string()),
            env: list(cluster.env.pairs()),
            command_args: list(arguments.collect()),
            commands: list(cluster.commands.clone()),
            app_names: list(cluster.app_names.clone()),
            ssh: Some(Login::differing(&cluster.ssh, &Ssh::default())),
            network: Some(cluster.network.clone()),
            cert_sans: list(cluster.cert_sans.clone()),
            masters: cluster.machines.masters.clone(),
            nodes: cluster.machines.nodes.clone(),
            hosts: list(groups(cluster)),
            host_aliases: list(cluster.host_aliases.clone()),
            data_root: cluster.data_root.clone(),
            registry: Some(Registry::from(&cluster.registry)),
            container_runtime: cluster.container_runtime.clone().map(|name| ContainerRuntime { name: Some(name) }),
            status: None,
        }
    }
}

/// Hosts that differ by their addresses only.
#[derive(Serialize, JsonSchema)]
struct HostGroup {
    /// Addresses, and ranges such as `192.168.0.3-192.168.0.5`.
    ips: Vec<String>,
    /// `master` or `node`, and names of your own.
    roles: Vec<String>,
    /// How to log in, where it differs from the cluster.
    ssh: Option<Login>,
    /// Variables that differ from the cluster's, as `KEY=value` or as a mapping.
    #[schemars(with = "Option<EnvForm>")]
    env: Option<Vec<String>>,
    /// Labels of the Kubernetes nodes.
    labels: Option<BTreeMap<String, String>>,
    /// Taints of the Kubernetes nodes: `key=value:Effect`, with `-` at the end to remove one.
    taints: Option<Vec<String>>,
}

/// Hosts in order; neighbours that differ only by address share a group.
fn groups(cluster: &Cluster) -> Vec<HostGroup> {
    let alike = |left: &Host, right: &Host| Host { address: right.address, ..left.clone() } == *right;
    let group = |hosts: &[Host]| {
        let host = hosts.first()?;
        Some(HostGroup {
            ips: hosts.iter().map(|host| host.address.to_string()).collect(),
            roles: host.roles.iter().map(ToString::to_string).collect(),
            ssh: Some(Login::differing(&host.ssh, &cluster.ssh)),
            env: list(host.env.differing_from(&cluster.env).pairs()),
            labels: Some(host.labels.clone()),
            taints: list(host.taints.clone()),
        })
    };
    cluster.hosts.chunk_by(alike).filter_map(group).collect()
}

/// How to log in; a host unsets a field of the cluster with an empty text.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Login {
    /// The login name.
    user: Option<String>,
    /// The password.
    passwd: Option<String>,
    /// The path of the private key.
    pk: Option<String>,
    /// What decrypts the private key.
    pk_passwd: Option<String>,
    /// The TCP port.
    port: Option<u16>,
    /// Written by the original sealer, whose encryption protects nothing.
    #[schemars(extend("const" = false))]
    encrypted: Option<bool>,
    /// The hosts on the way, the first to be reached in front.
    #[schemars(with = "Option<OneOrMany<JumpForm>>")]
    jump: Option<Vec<JumpForm>>,
}

impl Login {
    fn differing(ssh: &Ssh, base: &Ssh) -> Self {
        let secret = |own: &Option<Secret>, base: &Option<Secret>| {
            (own != base).then(|| plain(own.as_ref()).unwrap_or_default())
        };
        Self {
            user: (ssh.user != base.user).then(|| ssh.user.clone()),
            passwd: secret(&ssh.password, &base.password),
            pk: (ssh.private_key != base.private_key).then(|| ssh.private_key.clone().unwrap_or_default()),
            pk_passwd: secret(&ssh.private_key_password, &base.private_key_password),
            port: (ssh.port != base.port).then_some(ssh.port),
            encrypted: None,
            jump: (ssh.jump != base.jump).then(|| ssh.jump.iter().map(JumpForm::from).collect()),
        }
    }
}

/// A jump host.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum JumpForm {
    /// `[user@]host[:port]`
    Line(String),
    /// A jump host with a login of its own.
    Mapping(JumpLogin),
}

/// A jump host with a login of its own.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct JumpLogin {
    /// Its address or DNS name.
    host: String,
    /// The login name; that of the host behind it by default.
    user: Option<String>,
    /// The TCP port.
    port: Option<u16>,
    /// The password.
    passwd: Option<String>,
    /// The path of the private key.
    pk: Option<String>,
    /// What decrypts the private key.
    pk_passwd: Option<String>,
}

impl From<&Jump> for JumpForm {
    /// One line, unless it has keys or passwords of its own.
    fn from(jump: &Jump) -> Self {
        if jump.password.is_some() || jump.private_key.is_some() || jump.private_key_password.is_some() {
            return Self::Mapping(JumpLogin {
                host: jump.host.to_string(),
                user: jump.user.clone(),
                port: (jump.port != 22).then_some(jump.port),
                passwd: plain(jump.password.as_ref()),
                pk: jump.private_key.clone(),
                pk_passwd: plain(jump.private_key_password.as_ref()),
            });
        }
        let user = jump.user.as_ref().map_or(String::new(), |user| format!("{user}@"));
        Self::Line(match (&jump.host, jump.port) {
            (host, 22) => format!("{user}{host}"),
            (SshHost::Address(IpAddr::V6(address)), port) => format!("{user}[{address}]:{port}"),
            (host, port) => format!("{user}{host}:{port}"),
        })
    }
}

/// Variables as they may be read; what is written is always a list.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "stands for what may be read")]
pub(crate) enum EnvForm {
    /// `KEY=value`
    List(Vec<String>),
    /// `KEY: value`
    Mapping(BTreeMap<String, String>),
}

/// One item, or a list of them.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "stands for what may be read; what is written is always a list")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// Where hosts pull images from.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Registry {
    /// The registry on the masters.
    local_registry: Option<LocalRegistry>,
    /// A registry outside the cluster.
    external_registry: Option<OuterRegistry>,
}

/// The registry on the masters.
#[derive(Serialize, JsonSchema)]
struct LocalRegistry {
    /// The name hosts know it by.
    domain: Option<String>,
    /// Its TCP port.
    port: Option<u16>,
    /// The user name it asks for.
    username: Option<String>,
    /// The password it asks for.
    password: Option<String>,
    /// Whether it runs on every master.
    ha: Option<bool>,
    /// Whether it speaks plain HTTP.
    insecure: Option<bool>,
    /// Its certificate.
    cert: Option<Certificate>,
}

/// The certificate of the registry.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    /// Further names and addresses that it is valid for.
    subject_alt_name: Option<AlternativeNames>,
}

/// Further names and addresses of a certificate.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AlternativeNames {
    /// DNS names.
    dns_names: Option<Vec<String>>,
    /// Addresses.
    ips: Option<Vec<IpAddr>>,
}

/// A registry outside the cluster, from which hosts pull instead.
#[derive(Serialize, JsonSchema)]
struct OuterRegistry {
    /// Its domain.
    domain: String,
    /// Its TCP port.
    port: Option<u16>,
    /// The user name it asks for.
    username: Option<String>,
    /// The password it asks for.
    password: Option<String>,
    /// Whether it speaks plain HTTP.
    insecure: Option<bool>,
    /// The certificate (PEM) of the authority that signed its own.
    ca: Option<String>,
}

impl From<&RegistrySettings> for Registry {
    fn from(registry: &RegistrySettings) -> Self {
        let default = RegistrySettings::default();
        let names = AlternativeNames {
            dns_names: list(registry.certificate_names.clone()),
            ips: list(registry.certificate_addresses.clone()),
        };
        Self {
            local_registry: Some(LocalRegistry {
                domain: (registry.domain != default.domain).then(|| registry.domain.clone()),
                port: (registry.port != default.port).then_some(registry.port),
                username: registry.username.clone(),
                password: plain(registry.password.as_ref()),
                ha: (!registry.high_availability).then_some(false),
                insecure: registry.insecure.then_some(true),
                cert: Some(Certificate { subject_alt_name: Some(names) }),
            }),
            external_registry: registry.external.as_ref().map(OuterRegistry::from),
        }
    }
}

impl From<&ExternalRegistry> for OuterRegistry {
    fn from(registry: &ExternalRegistry) -> Self {
        Self {
            domain: registry.domain.clone(),
            port: registry.port,
            username: registry.username.clone(),
            password: plain(registry.password.as_ref()),
            insecure: registry.insecure.then_some(true),
            ca: registry.ca.clone(),
        }
    }
}

/// The container runtime wanted; the image decides when absent.
#[derive(Serialize, JsonSchema)]
struct ContainerRuntime {
    /// Its name.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = CONTAINER_RUNTIMES))]
    name: Option<String>,
}

fn plain(secret: Option<&Secret>) -> Option<String> {
    secret.map(|secret| secret.expose().to_owned())
}

fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}
