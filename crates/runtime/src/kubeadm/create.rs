//! Which steps turn bare hosts into a cluster, or finish one that was begun?

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::{Cluster, Host};
use serde_json::{Value, json};

use super::config::{self, Documents, Given};
use super::environment::{self, API_SERVER, Engine, VIRTUAL_ADDRESS};
use super::steps::{Script, complete, on, write};
use super::version::Version;
use super::{files, paths};
use crate::plan::size;
use crate::{Action, Error, Facts, HostChange, HostFacts, Marker, MarkerState, Payload, Plan, PlannedHost, Step};

/// Plans a cluster with one master. Hosts that are done are left alone; a cluster that is done gives an empty plan.
pub(crate) fn plan(cluster: &Cluster, facts: &Facts, payload: &Payload<'_>) -> Result<Plan, Error> {
    let create = Create::new(cluster, facts, payload)?;
    let mut plan = Plan { cluster: cluster.name.clone(), ..Plan::default() };
    let hosts = std::iter::once(create.master).chain(cluster.nodes());
    let todo: Vec<&Host> = hosts.filter(|host| !create.is_done(host.address)).collect();
    if todo.is_empty() {
        return Ok(plan);
    }
    plan.summary = create.summary(&todo);
    for host in &todo {
        let role = if host.is_master() { "master" } else { "node" };
        plan.hosts.push(PlannedHost { address: host.address, change: HostChange::Join, role: role.to_owned() });
        plan.steps.extend(create.prepare(host)?);
    }
    let master_todo = todo.iter().any(|host| host.is_master());
    plan.steps.push(if master_todo { create.init()? } else { create.token()? });
    let gate = plan.steps.last().map(|step| step.id.clone());
    for host in todo.iter().filter(|host| !host.is_master()) {
        plan.steps.push(Step { after: gate.clone().into_iter().collect(), ..create.join(host)? });
    }
    let mut joined: Vec<String> =
        plan.steps.iter().filter(|step| step.id.starts_with("kubeadm-join@")).map(|step| step.id.clone()).collect();
    for host in todo.iter().filter(|host| !host.labels.is_empty() || !host.taints.is_empty()) {
        let label = Step { after: joined.clone(), ..create.label(host)? };
        plan.steps.push(label);
    }
    if master_todo {
        // The network may be among what is launched, so nodes become Ready only afterwards.
        for (index, command) in payload.launch.iter().enumerate() {
            let after = if index == 0 { std::mem::take(&mut joined) } else { Vec::new() };
            plan.steps.push(Step { after, ..create.launch(index, command)? });
        }
    }
    plan.steps.push(Step { after: joined, ..create.wait()? });
    for host in todo.iter().rev() {
        plan.steps.push(create.finish(host)?);
    }
    Ok(plan)
}

/// All that the steps are made of.
struct Create<'a> {
    cluster: &'a Cluster,
    facts: &'a Facts,
    payload: &'a Payload<'a>,
    master: &'a Host,
    version: Version,
    engine: Engine,
    /// For everything that is the same on all hosts.
    documents: Documents,
}

impl<'a> Create<'a> {
    fn new(cluster: &'a Cluster, facts: &'a Facts, payload: &'a Payload<'a>) -> Result<Self, Error> {
        let no_master =
            || Error::Unsupported { cluster: cluster.name.clone(), reason: "names no master".to_owned() };
        let master = cluster.masters().next().ok_or_else(no_master)?;
        let engine = engine(payload)?;
        let missing = |what: &str| Error::Payload { image: payload.image.clone(), missing: what.to_owned() };
        let script = format!("scripts/{}.sh", engine.name);
        for needed in ["bin/kubeadm", "bin/kubelet", "bin/kubectl", "scripts/init-kube.sh", script.as_str()] {
            if !payload.files.iter().any(|file| file == needed) {
                return Err(missing(&format!("{needed} (is it a cluster image?)")));
            }
        }
        let version = config::version(payload, &config::asked(payload)?)?;
        version.config_api()?;
        let mut create =
            Self { cluster, facts, payload, master, version, engine, documents: Documents::default() };
        create.documents = create.documents_for(master)?;
        Ok(create)
    }

    fn host_facts(&self, host: IpAddr) -> Result<&'a HostFacts, Error> {
        self.facts.hosts.get(&host).ok_or(Error::NoFacts { host })
    }

    /// Whether a host's marker says that it is done with this very image, and the cluster knows the host.
    fn is_done(&self, host: IpAddr) -> bool {
        let marker = self.facts.hosts.get(&host).and_then(|facts| facts.marker.as_ref());
        let done = marker.is_some_and(|marker| {
            marker.cluster == self.cluster.name
                && marker.image == self.payload.image_digest
                && marker.state == MarkerState::Ready
        });
        done && self.facts.api.as_ref().is_some_and(|api| api.nodes.contains_key(&host))
    }

    fn summary(&self, todo: &[&Host]) -> String {
        let verb = if todo.len() == 1 { "host joins" } else { "hosts join" };
        let whole = size(self.payload.rootfs_bytes + self.payload.carried_bytes);
        let nodes = todo.iter().any(|host| !host.is_master());
        let per_node = if nodes { format!(", {} to each node", size(self.payload.rootfs_bytes)) } else { String::new() };
        let master = if todo.iter().any(|host| host.is_master()) { format!("{whole} to the master") } else { String::new() };
        let bytes = format!("{master}{per_node}");
        let bytes = bytes.trim_start_matches(", ");
        format!("{} {verb}, image {}, kubernetes {} ({bytes})", todo.len(), self.payload.image, self.version)
    }

    /// Everything on a host before kubeadm.
    fn prepare(&self, host: &Host) -> Result<Vec<Step>, Error> {
        let address = host.address;
        let master = host.is_master();
        let mut own = files::registry_rules(self.cluster, self.master.address, self.payload.secrets);
        let api = self.version.config_api()?;
        let documents = self.documents_for(host)?;
        if master {
            own.extend(files::registry(self.cluster, address, self.payload.secrets));
            own.extend(files::control_plane(self.cluster, self.payload.secrets, &documents.init_file(api)));
        } else {
            own.extend(files::join(self.cluster, &documents.join_file(api)));
        }
        let claim = files::marker(&self.marker(host, MarkerState::Joining)?);
        let mut steps = vec![
            write(on("claim", address), "claim", address, vec![claim]),
            write(on("files", address), "files", address, own),
            self.names(host)?,
            self.content(host),
        ];
        if master {
            steps.push(self.registry(host)?);
        }
        let engine = (include_str!("scripts/engine.sh"), Some(include_str!("scripts/engine_why.sh")));
        steps.push(self.script(host, "engine", &self.engine.name, engine)?.step());
        let kubernetes = (include_str!("scripts/kubernetes.sh"), None);
        steps.push(self.script(host, "init-kube", "kubernetes", kubernetes)?.step());
        Ok(steps)
    }

    fn script<'s>(&self, host: &Host, id: &str, title: &str, (body, why): (&'s str, Option<&'s str>)) -> Result<Script<'s>, Error> {
        let env = environment::of_host(self.cluster, host, &self.engine, &self.documents);
        Ok(Script {
            id: on(id, host.address),
            title: title.to_owned(),
            host: host.address,
            body,
            why,
            env,
            timeout_seconds: 600,
            show_output: false,
        })
    }

    fn names(&self, host: &Host) -> Result<Step, Error> {
        let master = self.master.address;
        let mut lines = vec![format!("{master} {API_SERVER}"), format!("{master} {}", self.cluster.registry.domain)];
        for alias in &self.cluster.host_aliases {
            lines.push(format!("{} {}", alias.address, alias.hostnames.join(" ")));
        }
        let mut script = self.script(host, "names", "names", (include_str!("scripts/names.sh"), None))?;
        script.env.insert("SEALER_NAMES".into(), lines.join("\n"));
        Ok(script.step())
    }

    fn content(&self, host: &Host) -> Step {
        let carried_images = host.is_master();
        let bytes = self.payload.rootfs_bytes + if carried_images { self.payload.carried_bytes } else { 0 };
        let action = Action::Content {
            image: self.payload.image_digest.clone(),
            carried_images,
            rootfs: paths::rootfs(&self.cluster.name),
            bytes,
            sources: Vec::new(),
        };
        Step {
            id: on("content", host.address),
            title: format!("content {}", size(bytes)),
            hosts: vec![host.address],
            after: Vec::new(),
            action,
        }
    }

    fn registry(&self, host: &Host) -> Result<Step, Error> {
        let texts = (include_str!("scripts/registry.sh"), Some(include_str!("scripts/registry_why.sh")));
        let mut script = self.script(host, "registry", "registry", texts)?;
        script.env.insert("SEALER_REGISTRY_PORT".into(), self.cluster.registry.port.to_string());
        Ok(script.step())
    }

    fn init(&self) -> Result<Step, Error> {
        let texts = (include_str!("scripts/init.sh"), Some(include_str!("scripts/init_why.sh")));
        let coredns = self.carries_coredns();
        let title = if coredns { "kubeadm init" } else { "kubeadm init without coredns, which the image does not carry" };
        let mut script = self.script(self.master, "kubeadm-init", title, texts)?;
        script.id = "kubeadm-init".to_owned();
        let mut skipped: Vec<&str> = Vec::new();
        if !coredns {
            skipped.push("addon/coredns");
        }
        script.env.insert("SEALER_KUBEADM_FLAGS".into(), self.flags(self.master.address, skipped)?);
        Ok(script.step())
    }

    fn token(&self) -> Result<Step, Error> {
        let mut script = self.script(self.master, "token", "renew the token", (include_str!("scripts/token.sh"), None))?;
        script.id = "bootstrap-token".to_owned();
        Ok(script.step())
    }

    fn join(&self, host: &Host) -> Result<Step, Error> {
        let texts = (include_str!("scripts/join.sh"), Some(include_str!("scripts/join_why.sh")));
        let mut script = self.script(host, "kubeadm-join", "kubeadm join", texts)?;
        script.env.insert("SEALER_KUBEADM_FLAGS".into(), self.flags(host.address, Vec::new())?);
        Ok(script.step())
    }

    /// Our own preflight has run already. Kubeadm's is left out where it cannot run, for want of crictl.
    fn flags(&self, host: IpAddr, mut skipped: Vec<&str>) -> Result<String, Error> {
        let crictl = self.payload.files.iter().any(|file| file == "bin/crictl")
            || self.host_facts(host)?.tools.iter().any(|tool| tool == "crictl");
        let mut flags = Vec::new();
        if crictl {
            // Its idea of a kernel's configuration fits few hosts, least of all containers.
            flags.push("--ignore-preflight-errors=SystemVerification,Swap".to_owned());
        } else {
            skipped.push("preflight");
        }
        if !skipped.is_empty() {
            flags.push(format!("--skip-phases={}", skipped.join(",")));
        }
        Ok(flags.join(" "))
    }

    fn label(&self, host: &Host) -> Result<Step, Error> {
        let title = format!("labels and taints of {}", host.address);
        let mut script = self.script(self.master, "label", &title, (include_str!("scripts/label.sh"), None))?;
        script.id = on("label", host.address);
        let labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        script.env.insert("SEALER_NODE".into(), self.node_name(host.address)?);
        script.env.insert("SEALER_LABELS".into(), labels.join("\n"));
        script.env.insert("SEALER_TAINTS".into(), host.taints.join("\n"));
        Ok(script.step())
    }

    fn launch(&self, index: usize, command: &str) -> Result<Step, Error> {
        let mut script = self.script(self.master, "launch", command, (include_str!("scripts/launch.sh"), None))?;
        script.id = format!("launch-{}", index + 1);
        script.env.insert("SEALER_LAUNCH".into(), command.to_owned());
        script.timeout_seconds = 1800;
        script.show_output = true;
        Ok(script.step())
    }

    fn wait(&self) -> Result<Step, Error> {
        let hosts = std::iter::once(self.master).chain(self.cluster.nodes());
        let names = hosts.map(|host| self.node_name(host.address)).collect::<Result<Vec<_>, _>>()?;
        let mut env: BTreeMap<String, String> = environment::ours(self.cluster, &self.engine);
        env.insert("SEALER_NODES".into(), names.join(" "));
        let until = "every node is Ready";
        let action = Action::Wait {
            script: complete(include_str!("scripts/ready.sh"), &env),
            until: until.to_owned(),
            timeout_seconds: 300,
            diagnose: Some(complete(include_str!("scripts/ready_why.sh"), &env)),
        };
        Ok(Step {
            id: "wait-ready".to_owned(),
            title: until.to_owned(),
            hosts: vec![self.master.address],
            after: Vec::new(),
            action,
        })
    }

    fn finish(&self, host: &Host) -> Result<Step, Error> {
        let marker = files::marker(&self.marker(host, MarkerState::Ready)?);
        let step = write(on("finish", host.address), "finish", host.address, vec![marker]);
        Ok(Step { after: vec!["wait-ready".to_owned()], ..step })
    }

    /// What is ours on a host was decided when it was claimed first.
    fn marker(&self, host: &Host, state: MarkerState) -> Result<Marker, Error> {
        let facts = self.host_facts(host.address)?;
        let before = facts.marker.as_ref().filter(|marker| marker.cluster == self.cluster.name);
        Ok(Marker {
            cluster: self.cluster.name.clone(),
            image: self.payload.image_digest.clone(),
            role: if host.is_master() { "master" } else { "node" }.to_owned(),
            state,
            engine: self.engine.name.clone(),
            engine_ours: before.map_or(!facts.engines.contains(&self.engine.name), |marker| marker.engine_ours),
            content_ours: before.map_or(!facts.own_content, |marker| marker.content_ours),
        })
    }

    fn carries_coredns(&self) -> bool {
        let mut images = self.payload.carried_images.iter().filter_map(|name| config::image_parts(name));
        images.any(|(_, image, _)| image == "coredns")
    }

    /// The name under which kubeadm registers a host: its host name in small letters.
    fn node_name(&self, host: IpAddr) -> Result<String, Error> {
        Ok(self.host_facts(host)?.hostname.to_lowercase())
    }

    fn documents_for(&self, host: &Host) -> Result<Documents, Error> {
        Documents::merged(&self.given(host)?, self.payload)
    }

    /// What only we know about a host and the cluster.
    fn given(&self, host: &Host) -> Result<Given, Error> {
        let network = &self.cluster.network;
        let usual = clusterfile::Network::default();
        let mut networking = (json!({}), json!({}));
        // A network that was asked for wins over the image, one that nobody mentioned does not.
        for (key, wanted, usual) in [
            ("podSubnet", &network.pod_cidr, &usual.pod_cidr),
            ("serviceSubnet", &network.service_cidr, &usual.service_cidr),
        ] {
            let place = if wanted == usual { &mut networking.0 } else { &mut networking.1 };
            place[key] = json!(wanted.to_string());
        }
        let mut sans = vec!["127.0.0.1".to_owned(), API_SERVER.to_owned(), VIRTUAL_ADDRESS.to_owned()];
        sans.extend(self.cluster.masters().map(|host| host.address.to_string()));
        sans.extend(self.cluster.cert_sans.iter().cloned());
        let mut cluster = config::from_carried_images(&self.payload.carried_images, &self.version);
        cluster["networking"] = networking.0;
        let node_ip = json!({"kubeletExtraArgs": {"node-ip": host.address.to_string()}});
        let mut init = json!({"nodeRegistration": node_ip});
        if self.cluster.nodes().next().is_none() {
            // Nobody else could run the pods.
            init["nodeRegistration"]["taints"] = json!([]);
        }
        Ok(Given {
            defaults: Documents {
                init,
                cluster,
                join: json!({"nodeRegistration": node_ip}),
                ..Documents::default()
            },
            wanted: Documents {
                cluster: json!({"networking": networking.1, "apiServer": {"certSANs": sans}}),
                ..Documents::default()
            },
            fixed: self.fixed(host)?,
        })
    }

    fn fixed(&self, host: &Host) -> Result<Documents, Error> {
        let endpoint = format!("{API_SERVER}:6443");
        let socket = if self.version.at_least(1, 24) { format!("unix://{}", self.engine.socket()) } else { self.engine.socket() };
        let registration: Value = json!({"name": self.node_name(host.address)?, "criSocket": socket});
        let secrets = self.payload.secrets;
        let token = secrets.bootstrap_token.expose();
        Ok(Documents {
            init: json!({
                "bootstrapTokens": [{
                    "token": token,
                    "ttl": "24h0m0s",
                    "usages": ["signing", "authentication"],
                    "groups": ["system:bootstrappers:kubeadm:default-node-token"],
                }],
                "localAPIEndpoint": {"advertiseAddress": host.address.to_string(), "bindPort": 6443},
                "nodeRegistration": registration,
            }),
            cluster: json!({
                "kubernetesVersion": self.version.to_string(),
                "controlPlaneEndpoint": endpoint,
            }),
            join: json!({
                "discovery": {"bootstrapToken": {
                    "apiServerEndpoint": endpoint,
                    "token": token,
                    "caCertHashes": [secrets.discovery_hash()],
                }},
                "nodeRegistration": registration,
            }),
            ..Documents::default()
        })
    }
}

/// The engine that the image brings: by its label, else by its scripts.
fn engine(payload: &Payload<'_>) -> Result<Engine, Error> {
    let label = payload.labels.get("cluster.alpha.sealer.io/container-runtime-type");
    let script = |name: &&str| payload.files.iter().any(|file| *file == format!("scripts/{name}.sh"));
    let name = label.cloned().or_else(|| ["containerd", "docker"].into_iter().find(script).map(str::to_owned));
    match name.as_deref() {
        Some("containerd") => Ok(Engine { name: "containerd".to_owned() }),
        Some(_) => Err(Error::NotBuilt { what: "an image with a container engine other than containerd" }),
        None => Err(Error::Payload {
            image: payload.image.clone(),
            missing: "scripts/containerd.sh (is it a cluster image?)".to_owned(),
        }),
    }
}
