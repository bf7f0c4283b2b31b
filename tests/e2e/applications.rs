//! What plugins and application images do on a real cluster.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use sealer_tests::program::finish;
use sealer_tests::stage::BASE;
use sealer_tests::{Program, Stage};
use serde_json::Value;

use crate::cluster::kubectl;

/// The application image.
const IMAGE: &str = "e2e-tools:1.0";
/// Where plugins note that they ran.
const TRACE: &str = "/root/plugins";
/// Phases of a new cluster on its master, in their order; the last ones come when it is deleted.
const MASTER: [&str; 12] = [
    "Originally",
    "pre-install",
    "pre-init-host",
    "PreInit",
    "post-init-host",
    "PreGuest",
    "post-install",
    "PostInstall",
    "pre-uninstall",
    "pre-clean-host",
    "PostClean",
    "post-uninstall",
];
/// The same on its node, where nothing runs once for the cluster.
const NODE: [&str; 8] = [
    "Originally",
    "pre-init-host",
    "PreInit",
    "post-init-host",
    "PreGuest",
    "PostInstall",
    "pre-clean-host",
    "PostClean",
];

/// Plugins of all kinds for a cluster whose node has this address, and a Config that merges into a file of its image.
pub(crate) fn documents(node: IpAddr) -> String {
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, action: &str, data: &str| {
        write!(text, "---\napiVersion: sealer.aliyun.com/v1alpha1\nkind: Plugin\nmetadata: {{name: {name}}}\nspec: {{type: {kind}, action: {action}, data: '{data}'}}\n").unwrap();
    };
    add("trace", "SHELL", &MASTER.join("|"), &format!("echo $SEALER_PHASE >> {TRACE}"));
    add("name", "HOSTNAME", "PreInit", &format!("{node} worker-1"));
    add("label", "LABEL", "PreGuest", &format!("{node} disk=ssd"));
    add("taint", "TAINT", "PreGuest", &format!("{node} dedicated=shop:PreferNoSchedule"));
    add("check", "CLUSTERCHECK", "PreGuest", "");
    text + "---\napiVersion: sealer.aliyun.com/v1alpha1\nkind: Config\nmetadata: {name: network}\nspec: {path: manifests/network.yaml, strategy: merge, data: 'metadata: {labels: {merged: by-config}}'}\n"
}

/// Expects that the Config became true in the cluster's files.
pub(crate) fn expect_config(master: &dyn Fn(&str) -> String, cluster: &str) {
    let text = master(&format!("cat /var/lib/sealer/data/{cluster}/rootfs/manifests/network.yaml"));
    assert!(text.contains("merged: by-config") && text.contains("kind:"), "{text}");
}

/// Expects what those plugins do while a cluster is made.
pub(crate) fn expect_plugins(master: &dyn Fn(&str) -> String, node: &dyn Fn(&str) -> String) {
    assert_eq!(phases(master), MASTER[..8]);
    assert_eq!(phases(node), NODE[..6]);
    let worker = kubectl(&|script: &str| master(script), "get node worker-1 -o json");
    let worker: Value = serde_json::from_str(&worker).unwrap();
    assert_eq!(worker["metadata"]["labels"]["disk"], "ssd");
    assert_eq!(worker["spec"]["taints"][0]["effect"], "PreferNoSchedule", "{}", worker["spec"]);
}

/// Expects what they did while it was deleted.
pub(crate) fn expect_last_plugins(master: &dyn Fn(&str) -> String, node: &dyn Fn(&str) -> String) {
    assert_eq!(phases(master), MASTER);
    assert_eq!(phases(node), NODE);
}

fn phases(shell: &dyn Fn(&str) -> String) -> Vec<String> {
    shell(&format!("cat {TRACE}")).lines().map(str::to_owned).collect()
}

/// An application image runs on the only cluster that there is, twice, is configured by a document, and removed.
pub(crate) fn live_through(
    stage: &Stage,
    program: &Program,
    master: &dyn Fn(&str) -> String,
    address: IpAddr,
    cluster: &str,
) {
    build(stage, program);
    let rolled_out = || kubectl(&|script: &str| master(script), "rollout status deployment/shop --timeout=60s");
    let said = |what: &str| kubectl(&|script: &str| master(script), &format!("get configmap {what}"));
    program.succeed(&["run", IMAGE]);
    assert_eq!(said("tool -o jsonpath={.data.said}"), format!("hello from tool in {address} red"));
    assert_eq!(said("settings -o jsonpath={.data.color}"), "green");
    assert!(rolled_out().contains("successfully rolled out"));
    let again: Value = serde_json::from_str(&program.succeed(&["run", IMAGE, "-o", "json"])).unwrap();
    assert_eq!(again["outcome"], "unchanged");

    // Login and hosts are those of the cluster's own file.
    let file = program.home().join("Applicationfile");
    let text = std::fs::read_to_string(cluster).unwrap();
    let (own, _) = text.split_once("---\n").unwrap();
    let own: Vec<String> = own
        .lines()
        .map(|line| if line.starts_with("  image:") { format!("  image: {IMAGE}") } else { line.to_owned() })
        .collect();
    let document = "---\napiVersion: sealer.io/v2\nkind: Application\nmetadata: {name: tools}\nspec:\n  configs:\n  - {name: tool, env: [Greeting=bonjour]}\n  - name: settings\n    files: [{path: settings.yaml, data: \"apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: settings}\\ndata: {color: blue}\\n\"}]\n  - name: shop\n    files: [{path: values.yaml, strategy: merge, data: \"replicas: 2\"}]\n";
    std::fs::write(&file, own.join("\n") + "\n" + document).unwrap();
    program.succeed(&["apply", "-f", &file.display().to_string()]);
    assert_eq!(said("tool -o jsonpath={.data.said}"), format!("bonjour from tool in {address} red"));
    assert_eq!(said("settings -o jsonpath={.data.color}"), "blue");
    // What `rollout status` sees first may be a moment old: it is asked once the new number is there.
    let replicas = kubectl(&|script: &str| master(script), "get deployment shop -o jsonpath={.spec.replicas}");
    assert_eq!(replicas, "2", "helm reads the values that were merged");
    assert!(rolled_out().contains("successfully rolled out"));

    let listed: Value = serde_json::from_str(&program.succeed(&["apps", "-o", "json"])).unwrap();
    let image = listed.as_array().unwrap().iter().find(|image| image["image"] == IMAGE).unwrap();
    assert_eq!((&image["state"], &image["applications"][1]["name"]), (&"launched".into(), &"settings".into()));
    assert_eq!(
        (&image["applications"][2]["kind"], &image["applications"][2]["version"]),
        (&"helm".into(), &"1.2.0".into())
    );
    let refused = program.call(&["apps", "rm", IMAGE, "--yes"]);
    refused.expect_code(2);
    assert!(refused.stderr.contains("nothing says how tool is removed"), "{}", refused.stderr);
    program.succeed(&["apps", "rm", "tool", "--yes", "--cmds", "kubectl delete configmap tool"]);
    program.succeed(&["apps", "rm", "settings", "--yes"]);
    program.succeed(&["apps", "rm", "shop", "--yes"]);
    let left = "get --ignore-not-found configmap/tool configmap/settings deployment/shop";
    assert_eq!(kubectl(&|script: &str| master(script), left), "");
    assert!(!program.succeed(&["apps", "-o", "json"]).contains(IMAGE));
}

/// A cluster image as upstream's examples have them: several COPY, commands in the list of CMD, variables in ENV.
pub(crate) fn build_like_upstream(stage: &Stage, program: &Program) -> &'static str {
    let context = program.home().join("blog");
    copy_application(stage, &context);
    let kubefile = format!(
        "FROM {BASE}\nENV Stage=production\nCOPY images images\nCOPY manifests/hello.yaml manifests/\nCOPY notes.txt stage.sh ./\nCMD [\"kubectl apply -f manifests/hello.yaml\", \"bash stage.sh\"]\n"
    );
    let stage =
        "kubectl create configmap stage --from-literal=stage=$Stage --dry-run=client -o yaml | kubectl apply -f -\n";
    for (name, text) in [("Kubefile", kubefile.as_str()), ("notes.txt", "a blog\n"), ("stage.sh", stage)] {
        std::fs::write(context.join(name), text).unwrap();
    }
    program.succeed(&["build", "-q", "-t", "blog:1.0", &context.display().to_string()]);
    "blog:1.0"
}

/// The files of the demo application, its container image among them.
fn copy_application(stage: &Stage, to: &Path) {
    finish(Command::new("cp").arg("-rT").arg(&stage.application).arg(to)).expect_code(0);
}

fn build(stage: &Stage, program: &Program) {
    let context = program.home().join("tools");
    copy_application(stage, &context);
    std::fs::create_dir_all(context.join("shop/templates")).unwrap();
    std::fs::copy(stage.helm(), context.join("helm")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(context.join(name), text).unwrap();
    write("host.tmpl", "{{ .HostIP }} {{ .Color }}");
    write("settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: green}\n");
    write("shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.2.0\n");
    write("shop/values.yaml", "replicas: 1\nimage: docker.io/example/hello:1.0\n");
    write(
        "shop/templates/web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ .Release.Name }}}\nspec:\n  replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: shop}}\n  template:\n    metadata: {labels: {app: shop}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers: [{name: web, image: {{ .Values.image | quote }}}]\n",
    );
    write(
        "tool.sh",
        "kubectl create configmap tool --from-literal=said=\"$Greeting from ${PWD##*/} in $(cat ../../../etc/host)\" --dry-run=client -o yaml | kubectl apply -f -\n",
    );
    write(
        "Kubefile",
        "FROM scratch\nENV Color=red\nCOPY host.tmpl etc/\nAPP tool local://tool.sh\nAPPENV tool Greeting=hello\nAPPCMDS tool [\"bash tool.sh\"]\nAPP settings local://settings.yaml\nCOPY images images\nCOPY helm bin/\nAPP shop local://shop\nKUBEVERSION >=1.20 <1.21\nLAUNCH [\"tool\", \"settings\", \"shop\"]\n",
    );
    program.succeed(&["build", "-q", "-t", IMAGE, &context.display().to_string()]);
}
