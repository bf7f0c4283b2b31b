//! The cases of `tests/suite/plan` and `tests/suite/preflight` give what is recorded.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use clusterfile::{Cluster, Clusterfile};
use runtime::{
    Action, Facts, Finding, HostUpdate, ImageContents, Kubeadm, Payload, Plan, Request, Run, Runtime, Secrets, Wait,
};
use serde_json::{Value, json};

/// A case is a text file of sections `=== name`; `=== expect` is the last one, and `UPDATE=1` rewrites it.
///
/// `cluster` is the wanted Clusterfile, `current` the one that is (absent: none; wanted then: `delete` alone).
/// `facts` lays YAML over hosts with nothing wrong: `hosts: {ADDRESS: {field: value}}`, `api`. A host whose `marker` is
/// `finished` has the one that it gets when the current cluster is made, and is known to the API as Ready; fields that
/// differ from it are given by `marker: {finished: {field: value}}`.
/// `payload` lays YAML over an image with all that is needed; documents are texts.
/// `updates` are machines that change, one per line: address, summary and, when an earlier run stopped, `(begun)`.
/// `show` asks for more than the plan's text, one per line: `steps`, `file HOST PATH`, `env STEP`.
#[test]
fn plans() {
    check("plan", |case| match case.plan() {
        Err(error) => format!("error: {error}\n"),
        Ok(plan) => case.show(&plan),
    });
}

#[test]
fn findings() {
    check("preflight", |case| {
        let found: Vec<Finding> = case.request(|request| Kubeadm.preflight(request));
        found.iter().map(|finding| format!("{}  {}\n    {}\n", finding.host, finding.problem, finding.fix)).collect()
    });
}

/// The same inputs give the same plan, byte for byte, files included.
#[test]
fn planning_is_pure() {
    for path in paths("plan") {
        let case = Case::read(&path);
        let bytes = |plan: Plan| {
            let files: Vec<Vec<u8>> = files(&plan).map(|file| file.content.clone()).collect();
            (serde_json::to_string(&plan).unwrap(), files)
        };
        let twice = [case.plan(), case.plan()].map(|plan| plan.map(bytes));
        assert_eq!(twice[0], twice[1], "{}", path.display());
    }
}

/// No secret is in what is printed, logged or given to a process, and none is in a file that others may read.
#[test]
fn plans_show_no_secret() {
    let mut private_files = 0;
    let secrets_alone = secret_texts();
    for path in paths("plan") {
        let case = Case::read(&path);
        let Ok(plan) = case.plan() else {
            continue;
        };
        let mut hidden = secrets_alone.clone();
        hidden.extend(login_texts(&case.wanted.cluster));
        let shown = format!("{plan:?} {} {}", serde_json::to_string(&plan).unwrap(), plan.to_text());
        for text in &hidden {
            assert!(!shown.contains(text), "{} shows a secret", path.display());
        }
        for file in files(&plan) {
            let content = String::from_utf8_lossy(&file.content);
            // Who could read the hash of a password could try passwords on it.
            let holds = hidden.iter().any(|text| content.contains(text)) || content.contains(":$2y$");
            // What a Config holds, and a template of the user's variables, is private whatever it is.
            assert!(file.secret || !holds, "{}", file.path);
            assert!(holds || !file.secret || file.path.contains("/rootfs/"), "{}", file.path);
            assert_eq!(file.mode, if file.secret { 0o600 } else { 0o644 }, "{}", file.path);
            private_files += usize::from(holds);
        }
    }
    assert!(private_files > 10);
    let debug = format!("{:?}", secrets());
    assert!(debug.contains("***") && !secrets_alone.iter().any(|text| debug.contains(text)));
}

/// Steps wait only for steps that are there and stand before them, ids are unique, and every script is one for `sh`.
#[test]
fn plans_are_well_formed() {
    let mut scripts = std::collections::BTreeSet::new();
    for path in paths("plan") {
        let Ok(plan) = Case::read(&path).plan() else {
            continue;
        };
        let mut known: Vec<&str> = Vec::new();
        for step in &plan.steps {
            assert!(!known.contains(&step.id.as_str()), "{} twice in {}", step.id, path.display());
            for before in &step.after {
                assert!(known.contains(&before.as_str()), "{} waits for {before} in {}", step.id, path.display());
            }
            known.push(&step.id);
        }
        assert!(plan.steps.iter().all(|step| !step.hosts.is_empty()));
        scripts.extend(plan.steps.iter().flat_map(scripts_of));
    }
    assert!(scripts.len() > 15, "only {} scripts", scripts.len());
    for script in scripts {
        let output = sh(&["-n"], &script, &BTreeMap::new());
        assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The names of the cluster stand once in the file, however often they are put there, and nothing else is touched.
#[test]
fn names_are_put_into_the_hosts_file_once() {
    let case = Case::read(&paths("plan").into_iter().find(|path| path.ends_with("create_three_hosts.case")).unwrap());
    let plan = case.plan().unwrap();
    let path = "/var/lib/sealer/data/my-cluster/names.sh";
    let script = file(&plan, "192.168.0.3".parse().unwrap(), path);
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost\n10.0.0.1 other\n").unwrap();
    let here = |text: &str| text.replace("/var/lib/sealer/data/my-cluster", folder.path().to_str().unwrap());
    let script = here(&script).replace("/etc/hosts", hosts.to_str().unwrap());
    let put = |script: &str| {
        let output = sh(&["-s"], script, &BTreeMap::new());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(&hosts).unwrap()
    };
    let text = "127.0.0.1 localhost\n10.0.0.1 other\n# begin sealer my-cluster\n10.103.97.2 apiserver.cluster.local\n\
                192.168.0.2 sea.hub\n# end sealer my-cluster\n";
    assert_eq!(put(&script), text);
    assert_eq!(put(&script), text);
    assert_eq!(put(&script.replace("192.168.0.2", "192.168.0.9")), text.replace("192.168.0.2", "192.168.0.9"));
    // A host that the cluster named knows its name, once, also when the file was made anew.
    let named = script.replace("SEALER_HOSTNAME=''", "SEALER_HOSTNAME='shop-1'");
    let knows = text.replace("# begin", "127.0.1.1 shop-1\n# begin");
    assert_eq!([put(&named), put(&named)], [knows.clone(), knows.clone()]);
    std::fs::write(&hosts, "127.0.0.1 localhost\n10.0.0.1 other\n").unwrap();
    assert_eq!(put(&named), knows);
    // Where somebody took the last line away, what follows stays.
    std::fs::write(&hosts, "# begin sealer my-cluster\n10.0.0.1 other\n").unwrap();
    assert!(put(&script).starts_with("10.0.0.1 other\n# begin sealer my-cluster\n"));
}

/// Values reach the scripts that bring their environment along, whatever is in them.
#[test]
fn a_waiting_script_knows_its_node() {
    let mut case =
        Case::read(&paths("plan").into_iter().find(|path| path.ends_with("create_three_hosts.case")).unwrap());
    // Without a network plugin, it is enough that there is the node.
    for (without_cni, known, ready) in
        [(false, "False", false), (false, "True", true), (false, "", false), (true, "False", true), (true, "", false)]
    {
        case.wanted.cluster.network.without_cni = without_cni;
        let plan = case.plan().unwrap();
        let step = plan.steps.iter().find(|step| step.id == "ready@192.168.0.3").unwrap();
        let Action::Wait(Wait { script, .. }) = &step.action else {
            panic!("that waits");
        };
        // Asked with a kubectl of our own that knows one node.
        let answer = format!("printf '{known}'; [ -n '{known}' ]");
        let kubectl = format!("kubectl() {{ case \"$*\" in *' -- host-192-168-0-3') {answer} ;; *) false ;; esac; }}");
        assert_eq!(sh(&["-s"], &format!("{kubectl}\n{script}"), &BTreeMap::new()).status.success(), ready);
    }
}

/// A password in the environment of the Clusterfile reaches scripts, and nobody else.
#[test]
fn variables_of_users_are_not_shown() {
    let case = "labels_taints_aliases_and_variables.case";
    let case = std::fs::read_to_string(paths("plan").into_iter().find(|path| path.ends_with(case)).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case");
    std::fs::write(&path, case.replace("[A=1, ", "[A=hunter2, SEALER_INITIALIZED=yes, ").replace("env: [A=2], ", ""))
        .unwrap();
    let plan = Case::read(&path).plan().unwrap();
    assert!(env(&plan, "init-kube@192.168.0.2").contains("A=hunter2\n"));
    assert!(env(&plan, "kubeadm-init").contains("SEALER_INITIALIZED=no\n"), "a name of ours is not set by users");
    assert!(!serde_json::to_string(&plan).unwrap().contains("hunter2"));
    for step in &plan.steps {
        let arguments = match &step.action {
            Action::Run(Run { diagnose, .. }) => diagnose.clone().unwrap_or_default(),
            _ => scripts_of(step).concat(),
        };
        assert!(!arguments.contains("hunter2"), "{}", step.id);
    }
}

/// A control plane that stood, or was finished with the same configuration, is never made anew.
#[test]
fn a_finished_control_plane_is_not_destroyed() {
    let case = Case::read(&paths("plan").into_iter().find(|path| path.ends_with("create_one_host.case")).unwrap());
    let plan = case.plan().unwrap();
    let Action::Run(Run { script, .. }) = &plan.steps.iter().find(|step| step.id == "kubeadm-init").unwrap().action
    else {
        panic!("that runs a script");
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("kubeadm");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("init.yaml"), "a: b\n").unwrap();
    let admin = folder.path().join("admin.conf");
    std::fs::write(&admin, "").unwrap();
    // Nothing of this machine is touched: what the script calls are functions that only tell.
    let mock = "sleep() { :; }\nkubectl() { return 1; }\nkubeadm() { echo KUBEADM >&2; }\nremove_partial_install() { echo REMOVED >&2; exit 9; }\n";
    let (begin, body) = script.split_once("# Makes this host the control plane").unwrap();
    let script = format!("{begin}{mock}#{body}").replace("/etc/kubernetes/admin.conf", admin.to_str().unwrap());
    let run = |initialized: &str| {
        let env = [("SEALER_INITIALIZED", initialized), ("SEALER_DATA", folder.path().to_str().unwrap())];
        let env = env.into_iter().chain([("SEALER_ROOTFS", "/none"), ("SEALER_KUBEADM_FLAGS", "")]);
        let output = sh(&["-s"], &script, &env.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run("no").contains("REMOVED"), "what was never finished is made anew");
    assert!(run("yes").contains("does not answer"));
    std::fs::write(data.join("init.done"), "of another configuration\n").unwrap();
    assert!(run("no").contains("REMOVED") && run("yes").contains("does not answer"));
    let digest = sh(&["-s"], "printf 'a: b\\n' | sha256sum | cut -d ' ' -f 1", &BTreeMap::new()).stdout;
    std::fs::write(data.join("init.done"), digest).unwrap();
    assert!(run("no").contains("does not answer"));
}

fn scripts_of(step: &runtime::Step) -> Vec<String> {
    match &step.action {
        Action::Run(Run { script, diagnose, .. }) | Action::Wait(Wait { script, diagnose, .. }) => {
            std::iter::once(script).chain(diagnose).cloned().collect()
        }
        _ => Vec::new(),
    }
}

fn sh(arguments: &[&str], script: &str, env: &BTreeMap<String, String>) -> std::process::Output {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut command = Command::new("sh");
    command.args(arguments).envs(env).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn check(suite: &str, run: impl Fn(&Case) -> String) {
    #[expect(clippy::disallowed_methods, reason = "a test may be told to rewrite what it expects")]
    let update = std::env::var_os("UPDATE").is_some();
    let mut failures = String::new();
    for path in paths(suite) {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once("=== expect\n").unwrap_or((&text, ""));
        let found = run(&Case::read(&path));
        if update && found != expected {
            std::fs::write(&path, format!("{input}=== expect\n{found}")).unwrap();
        } else if found != expected {
            writeln!(failures, "{}\n--- expected\n{expected}--- found\n{found}", path.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn paths(suite: &str) -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/suite").join(suite);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    assert!(paths.len() >= 10, "only {} cases of {suite} found", paths.len());
    paths
}

fn files(plan: &Plan) -> impl Iterator<Item = &runtime::File> {
    plan.steps.iter().flat_map(|step| match &step.action {
        Action::Write { files } => files.as_slice(),
        _ => &[],
    })
}

/// Made once: they are costly.
fn secrets() -> &'static Secrets {
    static SECRETS: OnceLock<Secrets> = OnceLock::new();
    SECRETS
        .get_or_init(|| Secrets::make(&Cluster::new("my-cluster", "shop:1.4"), Kubeadm::REQUIREMENTS.secrets).unwrap())
}

/// What must not be seen: the token, and a line out of the middle of each key.
fn secret_texts() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    secrets().store(folder.path()).unwrap();
    let tokens: Value = serde_json::from_slice(&std::fs::read(folder.path().join("secrets.json")).unwrap()).unwrap();
    let mut texts: Vec<String> =
        ["bootstrap_token", "certificate_key"].map(|key| tokens[key].as_str().unwrap().to_owned()).into();
    for name in ["ca", "front-proxy-ca", "etcd-ca", "sa", "registry"] {
        let key = std::fs::read_to_string(folder.path().join(format!("pki/{name}.key"))).unwrap();
        texts.push(key.lines().nth(2).unwrap().to_owned());
    }
    texts
}

/// The password of the registry, as it is and as it is sent.
fn login_texts(cluster: &Cluster) -> Vec<String> {
    let login = cluster.registry.login();
    let texts = login.map(|(user, password)| {
        let sent = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose()));
        vec![password.expose().to_owned(), sent]
    });
    texts.unwrap_or_default()
}

struct Case {
    current: Option<Clusterfile>,
    wanted: Clusterfile,
    facts: Facts,
    payload: Value,
    updates: Vec<HostUpdate>,
    show: Vec<String>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let sections: BTreeMap<&str, &str> =
            text.split("=== ").skip(1).map(|part| part.split_once('\n').unwrap()).collect();
        let cluster = |name: &str| {
            let parsed = sections.get(name).map(|text| clusterfile::parse(text));
            parsed.map(|parsed| parsed.unwrap_or_else(|errors| panic!("{}: {errors}", path.display())))
        };
        let current = cluster("current");
        let wanted: Clusterfile = cluster("cluster").unwrap_or_else(|| {
            let current = current.clone().expect("a case has a section cluster or current");
            let cluster = current.cluster.without_hosts();
            current.with_cluster(cluster)
        });
        let yaml = |name: &str| match sections.get(name) {
            Some(text) if !text.trim().is_empty() => serde_saphyr::from_str::<Value>(text).unwrap(),
            _ => json!({}),
        };
        let files = current.iter().chain([&wanted]);
        let hosts: Vec<IpAddr> = files.flat_map(|file| file.cluster.hosts.iter().map(|host| host.address)).collect();
        let mut facts = json!({"hosts": hosts.iter().map(|host| (host.to_string(), sound_host(*host))).collect::<BTreeMap<_, _>>()});
        overlay(&mut facts, yaml("facts"));
        // A host that nobody could ask.
        facts["hosts"].as_object_mut().unwrap().retain(|_, host| !host.is_null());
        let mut payload = sound_payload();
        overlay(&mut payload, yaml("payload"));
        let update = |line: &str| {
            let (host, summary) = line.split_once(' ').unwrap();
            let update = HostUpdate::new(host.parse().unwrap(), summary.trim_end_matches(" (begun)"));
            if summary.ends_with(" (begun)") { update.begun() } else { update }
        };
        finish_hosts(&mut facts, current.as_ref().unwrap_or(&wanted), &payload);
        let wanted = runtime::with_plugins(&wanted, current.as_ref().map(|file| &file.cluster)).unwrap();
        Self {
            current,
            wanted,
            facts: serde_json::from_value(facts).unwrap(),
            payload,
            updates: sections.get("updates").unwrap_or(&"").lines().map(update).collect(),
            show: sections.get("show").unwrap_or(&"").lines().map(str::to_owned).collect(),
        }
    }

    fn plan(&self) -> Result<Plan, String> {
        self.request(|request| Kubeadm.plan(request)).map_err(|error| error.to_string())
    }

    fn request<T>(&self, with: impl FnOnce(&Request<'_>) -> T) -> T {
        let image = self.image();
        let payload = Payload::new(&image, secrets()).with_launch(texts(&self.payload["launch"]));
        let mut request = Request::new(&self.wanted, &self.facts, &payload);
        (request.updates, request.known) = (&self.updates, self.current.as_ref().map(|file| &file.cluster));
        with(&request)
    }

    fn image(&self) -> ImageContents {
        image_of(&self.payload)
    }

    fn show(&self, plan: &Plan) -> String {
        let mut text = plan.to_text();
        for asked in &self.show {
            writeln!(text, "--- {asked}").unwrap();
            match asked.split(' ').collect::<Vec<_>>()[..] {
                ["steps"] => text.push_str(&steps(plan)),
                ["file", host, path] => text.push_str(&file(plan, host.parse().unwrap(), path)),
                ["env", id] => text.push_str(&env(plan, id)),
                _ => panic!("cannot show `{asked}`"),
            }
        }
        text
    }
}

/// Gives hosts that are said to be finished the marker that the plan of the current cluster writes last.
fn finish_hosts(facts: &mut Value, current: &Clusterfile, payload: &Value) {
    let finished = |host: &Value| host["marker"] == "finished" || host["marker"]["finished"].is_object();
    let hosts = facts["hosts"].as_object().unwrap();
    let asked: Vec<String> = hosts.iter().filter(|(_, host)| finished(host)).map(|(at, _)| at.clone()).collect();
    if asked.is_empty() {
        return;
    }
    let hosts = current.cluster.hosts.iter().map(|host| (host.address.to_string(), sound_host(host.address)));
    let bare = json!({"hosts": hosts.collect::<BTreeMap<_, _>>()});
    let bare: Facts = serde_json::from_value(bare).unwrap();
    let (image, launch) = (image_of(payload), texts(&payload["launch"]));
    let payload = Payload::new(&image, secrets()).with_launch(launch);
    let plan = Kubeadm.plan(&Request::new(current, &bare, &payload)).unwrap();
    for address in asked {
        let step = plan.steps.iter().find(|step| step.id == format!("finish@{address}")).unwrap();
        let Action::Write { files } = &step.action else { panic!("that writes the marker") };
        let mut marker: Value = serde_json::from_slice(&files[0].content).unwrap();
        let facts_of = &mut facts["hosts"][&address];
        if facts_of["marker"].is_object() {
            overlay(&mut marker, facts_of["marker"]["finished"].take());
        }
        facts_of["cluster"] = marker["cluster"].clone();
        let node = json!({"name": facts_of["hostname"], "ready": true, "control_plane": marker["role"] == "master"});
        facts_of["marker"] = marker;
        if facts["api"] != "silent" {
            let mut known = json!({"version": "v1.20.2", "nodes": {address: node}});
            match facts["api"].take() {
                Value::Null => {}
                said => overlay(&mut known, said),
            }
            facts["api"] = known;
        }
    }
    if facts["api"] == "silent" {
        facts["api"] = Value::Null;
    } else {
        // What is said to be gone is gone.
        facts["api"]["nodes"].as_object_mut().unwrap().retain(|_, node| !node.is_null());
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn image_of(payload: &Value) -> ImageContents {
    let text = |key: &str| payload[key].as_str().unwrap().to_owned();
    let map = |key: &str| -> BTreeMap<String, String> {
        let entries = payload[key].as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        entries.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
    };
    let mut image = ImageContents::named(text("image"));
    image.digest = text("image_digest");
    image.platform = text("platform");
    image.labels = map("labels");
    image.files = texts(&payload["files"]);
    image.documents = map("documents").into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    image.carried_images = texts(&payload["carried_images"]);
    image.rootfs_bytes = payload["rootfs_bytes"].as_u64().unwrap();
    image.carried_bytes = payload["carried_bytes"].as_u64().unwrap();
    for other in payload["others"].as_array().into_iter().flatten() {
        let mut contents = image.clone();
        contents.platform = other["platform"].as_str().unwrap().to_owned();
        contents.rootfs_bytes = other["rootfs_bytes"].as_u64().unwrap();
        image.others.push(contents);
    }
    image.all_bytes = payload["all_bytes"].as_u64().unwrap_or_default();
    image
}

fn steps(plan: &Plan) -> String {
    let line = |step: &runtime::Step| {
        let list = |what: &str, ids: &[String]| {
            if ids.is_empty() { String::new() } else { format!("  {what} {}", ids.join(", ")) }
        };
        let (after, ended) = (list("after", &step.after), list("after the end of", &step.after_end_of));
        format!("{}{after}{ended}\n", step.id)
    };
    plan.steps.iter().map(line).collect()
}

/// The content of a file, with the secrets that a file may hold replaced by their names.
fn file(plan: &Plan, host: IpAddr, path: &str) -> String {
    let of_host = plan.steps.iter().filter(|step| step.hosts == [host]);
    let of_host: Vec<runtime::Step> = of_host.cloned().collect();
    let plan = Plan::default().with_steps(of_host);
    let file = files(&plan).find(|file| file.path == path).unwrap_or_else(|| panic!("{host} gets no {path}"));
    let text = String::from_utf8(file.content.clone()).unwrap();
    text.replace(&secret_texts()[0], "<token>").replace(&secrets().fingerprint(), "<fingerprint>")
}

fn env(plan: &Plan, id: &str) -> String {
    let step = plan.steps.iter().find(|step| step.id == id).unwrap_or_else(|| panic!("there is no step {id}"));
    let Action::Run(Run { env, .. }) = &step.action else {
        panic!("{id} runs nothing");
    };
    env.iter().map(|(key, value)| format!("{key}={}\n", value.expose().replace('\n', "\\n"))).collect()
}

/// A host on which nothing stands in the way.
fn sound_host(address: IpAddr) -> Value {
    let number = address.to_string().replace(['.', ':'], "-");
    json!({
        "arch": "x86_64", "os": "debian 12", "kernel": "6.1.0", "hostname": format!("host-{number}"),
        "machine_id": number, "root": true, "systemd": true,
        "addresses": {"lo": ["127.0.0.1"], "eth0": [address]}, "default_interface": "eth0", "ports": {"22": "sshd/312"},
        "disk_free": 50_000_000_000_u64, "memory": 4_000_000_000_u64, "cpus": 2,
        "cgroups": ["v1", "cpu", "cpuacct", "cpuset", "devices", "memory", "pids"],
        "modules": ["br_netfilter", "nf_tables", "overlay"], "tools": ["bash", "ip", "iptables", "mount", "systemctl", "tar"],
    })
}

/// An image that carries all that a cluster needs.
fn sound_payload() -> Value {
    json!({
        "image": "shop:1.4", "image_digest": format!("sha256:{}", "1".repeat(64)), "platform": "linux/amd64",
        "labels": {
            "cluster.alpha.sealer.io/cluster-runtime-version": "v1.20.2",
            "cluster.alpha.sealer.io/container-runtime-type": "containerd",
        },
        "files": [
            "Metadata", "bin/kubeadm", "bin/kubectl", "bin/kubelet", "etc/kubeadm.yml", "scripts/containerd.sh",
            "scripts/init-kube.sh",
        ],
        "documents": {},
        "carried_images": [
            "k8s.gcr.io/kube-apiserver:v1.20.2", "k8s.gcr.io/kube-controller-manager:v1.20.2",
            "k8s.gcr.io/kube-scheduler:v1.20.2", "k8s.gcr.io/kube-proxy:v1.20.2", "k8s.gcr.io/etcd:3.4.23-0",
            "k8s.gcr.io/pause:3.2",
        ],
        "rootfs_bytes": 412_000_000, "carried_bytes": 119_000_000, "launch": ["kubectl apply -f manifests/network.yaml"],
    })
}

fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
