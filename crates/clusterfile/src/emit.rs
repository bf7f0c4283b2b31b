//! How is a Clusterfile written so that it reads back the same?

use std::net::IpAddr;

use serde_json::{Map, Value as Json, json};

use crate::{
    Application, Cluster, Clusterfile, Config, Disk, Env, Host, Jump, MachineSpec, Network, Plugin, RegistrySettings,
    Role, Secret, Ssh, SshHost, Strategy, yaml,
};

impl Clusterfile {
    /// The file as canonical YAML: every document, the Cluster first as `sealer.io/v2`, defaults left out.
    ///
    /// It contains the passwords in plain; what holds it must be readable by its owner only.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut documents = vec![document(
            "Cluster",
            "sealer.io/v2",
            &self.cluster.name,
            &self.cluster.annotations,
            cluster(&self.cluster),
        )];
        let none = std::collections::BTreeMap::new();
        documents.extend(
            self.configs.iter().map(|item| document("Config", "sealer.io/v1", &item.name, &none, config(item))),
        );
        documents.extend(
            self.plugins.iter().map(|item| document("Plugin", "sealer.io/v1", &item.name, &none, plugin(item))),
        );
        documents.extend(
            self.applications
                .iter()
                .map(|item| document("Application", "sealer.io/v2", &item.name, &none, application(item))),
        );
        documents.extend(self.kubeadm.iter().map(|item| item.value.clone()));
        yaml::to_text(&documents)
    }
}

/// A mapping that takes only what is worth writing.
#[derive(Default)]
struct Fields(Map<String, Json>);

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Json>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Leaves out what is absent or empty.
    fn put_some(&mut self, name: &str, value: impl Into<Json>) {
        let value = value.into();
        let empty = match &value {
            Json::Null => true,
            Json::Array(items) => items.is_empty(),
            Json::Object(entries) => entries.is_empty(),
            _ => false,
        };
        if !empty {
            self.put(name, value);
        }
    }

    fn put_unless(&mut self, name: &str, value: impl Into<Json>, default: bool) {
        if !default {
            self.put(name, value);
        }
    }
}

impl From<Fields> for Json {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.0)
    }
}

fn document(
    kind: &str,
    version: &str,
    name: &str,
    annotations: &std::collections::BTreeMap<String, String>,
    spec: Fields,
) -> Json {
    let mut metadata = Fields::default();
    metadata.put_unless("name", name, name.is_empty());
    metadata.put_some("annotations", json!(annotations));
    json!({ "apiVersion": version, "kind": kind, "metadata": Json::from(metadata), "spec": Json::from(spec) })
}

fn cluster(cluster: &Cluster) -> Fields {
    let mut spec = Fields::default();
    spec.put_unless("image", &*cluster.image, cluster.image.is_empty());
    spec.put("provider", cluster.provider.as_str());
    spec.put_some("env", env(&cluster.env));
    spec.put_some(
        "cmd_args",
        cluster.command_args.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
    );
    spec.put_some("cmd", cluster.commands.clone());
    spec.put_some("appNames", cluster.app_names.clone());
    spec.put_some("ssh", ssh(&cluster.ssh, None));
    spec.put_some("network", network(&cluster.network));
    spec.put_some("certSANS", cluster.cert_sans.clone());
    spec.put_some("masters", cluster.machines.masters.as_ref().map(machines));
    spec.put_some("nodes", cluster.machines.nodes.as_ref().map(machines));
    spec.put_some("hosts", hosts(cluster));
    spec.put_some(
        "hostAliases",
        cluster
            .host_aliases
            .iter()
            .map(|alias| json!({ "ip": alias.address, "hostnames": alias.hostnames }))
            .collect::<Vec<_>>(),
    );
    spec.put_some("dataRoot", cluster.data_root.clone());
    spec.put_some("registry", registry(&cluster.registry));
    spec.put_some("containerRuntime", cluster.container_runtime.as_ref().map(|name| json!({ "type": name })));
    spec
}

fn env(env: &Env) -> Vec<String> {
    env.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// What differs from the cluster's setting, or for the cluster itself what differs from the defaults.
fn ssh(ssh: &Ssh, base: Option<&Ssh>) -> Fields {
    let default = Ssh::default();
    let base = base.unwrap_or(&default);
    let mut fields = Fields::default();
    let secret = |secret: &Option<Secret>| secret.as_ref().map_or(String::new(), |secret| secret.expose().to_owned());
    fields.put_unless("user", &*ssh.user, ssh.user == base.user);
    fields.put_unless("passwd", secret(&ssh.password), ssh.password == base.password);
    fields.put_unless("pk", ssh.private_key.clone().unwrap_or_default(), ssh.private_key == base.private_key);
    fields.put_unless(
        "pkPasswd",
        secret(&ssh.private_key_password),
        ssh.private_key_password == base.private_key_password,
    );
    fields.put_unless("port", ssh.port, ssh.port == base.port);
    fields.put_unless("jump", ssh.jump.iter().map(jump).collect::<Vec<_>>(), ssh.jump == base.jump);
    fields
}

/// One line, unless it has keys or passwords of its own.
fn jump(jump: &Jump) -> Json {
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    if jump.password.is_some() || jump.private_key.is_some() || jump.private_key_password.is_some() {
        let mut fields = Fields::default();
        fields.put("host", jump.host.to_string());
        fields.put_some("user", jump.user.clone());
        fields.put_unless("port", jump.port, jump.port == 22);
        fields.put_some("passwd", secret(&jump.password));
        fields.put_some("pk", jump.private_key.clone());
        fields.put_some("pkPasswd", secret(&jump.private_key_password));
        return fields.into();
    }
    let user = jump.user.as_ref().map_or(String::new(), |user| format!("{user}@"));
    match (&jump.host, jump.port) {
        (host, 22) => json!(format!("{user}{host}")),
        (SshHost::Address(IpAddr::V6(address)), port) => json!(format!("{user}[{address}]:{port}")),
        (host, port) => json!(format!("{user}{host}:{port}")),
    }
}

fn network(network: &Network) -> Fields {
    let mut fields = Fields::default();
    fields.put_some("interface", network.interface.clone());
    fields.put("podCIDR", network.pod_cidr.to_string());
    fields.put("svcCIDR", network.service_cidr.to_string());
    fields.put_some("cniName", network.cni_name.clone());
    fields.put_unless("withoutCNI", network.without_cni, !network.without_cni);
    fields
}

fn machines(machines: &MachineSpec) -> Json {
    let disk = |disk: &Disk| match &disk.category {
        None => json!(disk.size_gib),
        Some(category) => json!({ "size": disk.size_gib, "category": category }),
    };
    let mut fields = Fields::default();
    fields.put("count", machines.count);
    fields.put_some("cpu", machines.cpu);
    fields.put_some("memory", machines.memory_gib);
    fields.put_some("systemDisk", machines.system_disk.as_ref().map(disk));
    fields.put_some("dataDisks", machines.data_disks.iter().map(disk).collect::<Vec<_>>());
    fields.into()
}

/// Hosts in order; neighbours that differ only by address share a group.
fn hosts(cluster: &Cluster) -> Vec<Json> {
    let mut groups: Vec<(Fields, Vec<Json>)> = Vec::new();
    for host in &cluster.hosts {
        let fields = host_fields(host, cluster);
        match groups.last_mut() {
            Some((known, addresses)) if known.0 == fields.0 => addresses.push(json!(host.address)),
            _ => groups.push((fields, vec![json!(host.address)])),
        }
    }
    let group = |(fields, addresses): (Fields, Vec<Json>)| {
        let mut group = Fields::default();
        group.put("ips", addresses);
        group.0.extend(fields.0);
        group.into()
    };
    groups.into_iter().map(group).collect()
}

fn host_fields(host: &Host, cluster: &Cluster) -> Fields {
    let mut fields = Fields::default();
    fields.put("roles", host.roles.iter().map(Role::as_str).collect::<Vec<_>>());
    fields.put_some("ssh", ssh(&host.ssh, Some(&cluster.ssh)));
    fields.put_some("env", env(&host.env.differing_from(&cluster.env)));
    fields.put_some("labels", json!(host.labels));
    fields.put_some("taints", host.taints.clone());
    fields
}

fn registry(registry: &RegistrySettings) -> Fields {
    let default = RegistrySettings::default();
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let mut local = Fields::default();
    local.put_unless("domain", &*registry.domain, registry.domain == default.domain);
    local.put_unless("port", registry.port, registry.port == default.port);
    local.put_some("username", registry.username.clone());
    local.put_some("password", secret(&registry.password));
    local.put_unless("ha", registry.high_availability, registry.high_availability);
    local.put_unless("insecure", registry.insecure, !registry.insecure);
    let mut names = Fields::default();
    names.put_some("dnsNames", registry.certificate_names.clone());
    names.put_some("ips", json!(registry.certificate_addresses));
    if !names.0.is_empty() {
        local.put("cert", json!({ "subjectAltName": Json::from(names) }));
    }
    let mut fields = Fields::default();
    fields.put_some("localRegistry", local);
    if let Some(external) = &registry.external {
        let mut other = Fields::default();
        other.put("domain", &*external.domain);
        other.put_some("port", external.port);
        other.put_some("username", external.username.clone());
        other.put_some("password", secret(&external.password));
        fields.put("externalRegistry", other);
    }
    fields
}

fn config(config: &Config) -> Fields {
    let mut spec = Fields::default();
    spec.put("path", &*config.path);
    spec.put_some("strategy", strategy(config.strategy));
    spec.put_some("process", config.process.clone());
    spec.put_some("appName", config.app_name.clone());
    spec.put("data", &*config.data);
    spec
}

fn strategy(strategy: Strategy) -> Option<&'static str> {
    match strategy {
        Strategy::Overwrite => None,
        Strategy::Merge => Some("merge"),
    }
}

fn plugin(plugin: &Plugin) -> Fields {
    let mut spec = Fields::default();
    spec.put("type", &*plugin.plugin_type);
    spec.put("action", &*plugin.action);
    spec.put_some("on", plugin.on.clone());
    spec.put_some("scope", plugin.scope.clone());
    spec.put("data", &*plugin.data);
    spec
}

fn application(application: &Application) -> Fields {
    let configs = application.configs.iter().map(|config| {
        let mut fields = Fields::default();
        fields.put("name", &*config.name);
        fields.put_some("env", env(&config.env));
        let files = config.files.iter().map(|file| {
            let mut fields = Fields::default();
            fields.put("path", &*file.path);
            fields.put_some("strategy", strategy(file.strategy));
            fields.put("data", &*file.data);
            Json::from(fields)
        });
        fields.put_some("files", files.collect::<Vec<_>>());
        if !config.launch_commands.is_empty() {
            fields.put("launch", json!({ "cmds": config.launch_commands }));
        }
        Json::from(fields)
    });
    let mut spec = Fields::default();
    spec.put_some("cmds", application.commands.clone());
    spec.put_some("launchApps", application.launch_apps.clone());
    spec.put_some("configs", configs.collect::<Vec<_>>());
    spec
}
