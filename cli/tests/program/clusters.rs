//! `sealer run | apply | delete`: requests that are refused before any host is touched.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Outcome, Program, finish};

const HEAD: &str = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata:\n  name: mine\nspec:\n  image: kube:1\n";
const HOSTS: &str = "  hosts:\n    - ips: [10.0.0.1]\n      roles: [master]\n";
/// Hosts that a provider would make: no address is ever tried.
const MACHINES: &str = "  provider: CONTAINER\n  masters:\n    count: 1\n";

const MIXED: &str = "counts and addresses do not mix";

fn apply(program: &Program, text: &str) -> Outcome {
    let file = program.write("Clusterfile", text);
    let outcome = program.call(&["apply", "-f", &file]);
    assert!(!program.path("home/.sealer").exists(), "something was begun:\n{}", outcome.stderr);
    outcome
}

#[test]
fn arguments_of_run_are_checked_before_anything_is_done() {
    let program = Program::with_kubernetes();
    let cases: [(&[&str], &[&str]); 21] = [
        (&[], &["kube:1 brings no Clusterfile of its own", "hint: `--masters ADDRESS"]),
        (&["-m", "10.0.0.300"], &["--masters 10.0.0.300: `10.0.0.300` is no IP address", "hint:"]),
        (&["-m", "10.0.0.9-10.0.0.2"], &["the range `10.0.0.9-10.0.0.2` ends before it begins"]),
        (&["-m", "10.0.0.1", "--podcidr", "10.0.0.0/33"], &["--podcidr 10.0.0.0/33", "no address block"]),
        (&["-m", "10.0.0.1", "--svccidr", "10.96.0.1/22"], &["not the start of its block, which is 10.96.0.0/22"]),
        (
            &["-m", "127.0.0.1", "--podcidr", "10.96.0.0/16"],
            &[
                "the pod network 10.96.0.0/16 (spec.network.podCIDR) and the service network 10.96.0.0/22 (the default) overlap",
            ],
        ),
        (&["-m", "127.0.0.1", "--podcidr", "127.0.0.0/16"], &["the host 127.0.0.1 lies in the pod network"]),
        (
            &["-m", "127.0.0.1", "--svccidr", "10.0.0.0/8"],
            &["is too large: the API server takes at most a /12", "hint:"],
        ),
        (&["-m", "127.0.0.1", "--podcidr", "10.244.0.0/26"], &["is too small: every node takes a /24 of it"]),
        (&["-n", "10.0.0.1"], &["the cluster has no master"]),
        (&["-m", "127.0.0.1", "-n", "2", "--dry-run"], &[MIXED, "masters are given by address, nodes by count"]),
        (&["-m", "1", "-n", "127.0.0.1", "--dry-run"], &[MIXED, "nodes are given by address, masters by count"]),
        (&["-m", "127.0.0.1", "-n", "2", "--provider", "CONTAINER"], &[MIXED]),
        (&["-m", "127.0.0.1", "-n", "2", "--provider", "BAREMETAL"], &[MIXED]),
        (
            &["-m", "127.0.0.1", "-n", "127.0.0.1-127.0.0.3"],
            &["--nodes 127.0.0.1-127.0.0.3: 127.0.0.1 is listed twice"],
        ),
        (&["-m", "1", "--provider", "NOBODY"], &["--provider NOBODY: expected BAREMETAL, CONTAINER or ALI_CLOUD"]),
        (&["-m", "10.0.0.1", "--provider", "CONTAINER"], &["CONTAINER makes its hosts itself"]),
        (&["-m", "1", "--provider", "BAREMETAL"], &["BAREMETAL makes no machines"]),
        (&["-m", "10.0.0.1", "-e", "novalue"], &["--env novalue: `novalue` has no `=`"]),
        (&["-m", "10.0.0.1", "--cmd-args", "WHO"], &["--cmd-args WHO: expected KEY=VALUE"]),
        (&["-m", "10.0.0.1", "--cluster-name", "Not_This"], &["`Not_This` is no valid name of a cluster"]),
    ];
    for (arguments, texts) in cases {
        program.call(&[&["run", "kube:1"], arguments].concat()).fails(2, texts);
    }
    assert!(!program.path("home/.sealer").exists());
}

#[test]
fn a_provider_that_nobody_registered_is_refused() {
    let program = Program::with_kubernetes();
    let spec = "{image: kube:1, provider: ACME_METAL, hosts: [{ips: [10.0.0.1], roles: [master]}]}";
    let text = format!("apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {{name: c}}\nspec: {spec}\n");
    let file = program.write("Clusterfile", text);
    for arguments in [&["apply", "-f", &file][..], &["apply", "-f", &file, "--dry-run"]] {
        program.call(arguments).fails(2, &["there is no provider ACME_METAL", "hint:"]);
    }
    assert!(!program.path("home/.sealer").exists());
}

#[test]
fn what_is_not_built_yet_says_so() {
    let program = Program::with_kubernetes();
    program.build("shop:1.4");
    let run = |arguments: &[&str]| program.call(&[&["run"], arguments].concat());
    run(&["kube:1", "--masters", "1", "--nodes", "2"]).fails(1, &["no access key for Alibaba Cloud: set ACCESSKEYID"]);
    run(&["kube:1", "-m", "127.0.0.1", "-n", "::1"]).fails(1, &["addresses of two families (127.0.0.1 and ::1)"]);
    run(&["shop:1.4", "-m", "127.0.0.1"])
        .fails(2, &["shop:1.4 is an application image: it runs on a cluster that is there", "`--masters`"]);
    let nobody = "127.0.0.1:1/nobody:1";
    run(&[nobody, "-m", "10.0.0.1"]).fails(1, &["nobody:1 is not in the store", "cannot reach 127.0.0.1:1"]);
    assert!(!program.path("home/.sealer").exists());
}

#[test]
fn directories_that_others_could_change_are_closed_or_refused() {
    let program = Program::new();
    let set_mode =
        |path: &str, mode| fs::set_permissions(program.path(path), fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(program.path("home/.sealer")).unwrap();
    set_mode("home/.sealer", 0o755);
    let delete = || program.call(&["delete", "-c", "nobody"]).stderr;
    assert!(delete().contains(".sealer (mode 0755); it has mode 0700 now"), "upstream made it so");
    assert_eq!(fs::metadata(program.path("home/.sealer")).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!delete().contains("warning"), "said once");

    program.call(&["images"]).code(0);
    for path in ["root", "root/content"] {
        set_mode(path, 0o777);
        program.call(&["images"]).fails(1, &["cannot use", "everybody may write to it (mode 0777); run `chmod o-w "]);
        set_mode(path, 0o755);
    }
    program.call(&["images"]).code(0);
}

#[test]
fn passwords_are_not_asked_for_where_nobody_can_answer() {
    let program = Program::with_kubernetes();
    let run =
        |arguments: &[&str]| program.call(&[&["run", "kube:1", "-m", "127.0.0.1", "-n", "::1"], arguments].concat());
    run(&["-p"]).fails(2, &["cannot ask for the password for root on 2 hosts", "SEALER_PASSWORD"]);
    run(&["--pk", "key", "--pk-passwd"]).fails(2, &["cannot ask for the passphrase"]);
    run(&["-p", "x", "--passwd-file", "y"]).fails(2, &["cannot be used with"]);
    run(&["--passwd-file", "nowhere"]).fails(2, &["cannot read nowhere"]);
    let large = program.write("large", vec![b'x'; 5000]);
    run(&["--passwd-file", &large]).fails(2, &["larger than 4096 bytes"]);
    // Given by the environment, it is not asked for; the failure is the next one.
    let mut command = program.command(&["run", "kube:1", "-m", "127.0.0.1", "-n", "::1", "-p"]);
    finish(command.env("SEALER_PASSWORD", "hunter2")).fails(1, &["two families"]);
}

#[test]
fn a_dry_run_for_hosts_that_are_not_made_yet_says_what_would_be_made() {
    let program = Program::with_kubernetes();
    let arguments = ["run", "kube:1", "--provider", "container", "-m", "1", "-n", "1", "--dry-run"];
    let outcome = program.call(&arguments);
    let text = &outcome.code(0).stdout;
    assert!(text.starts_with("cluster my-cluster: hosts are made first"), "{text}");
    assert!(
        text.contains("\n  + host my-cluster-master-0 (master)") && text.contains("+ host my-cluster-node-0"),
        "{text}"
    );
    assert!(text.ends_with("nothing was changed\n"), "{text}");
    let plan = program.json(&[&arguments[..], &["-o", "json"]].concat());
    assert_eq!((&plan["plan"]["steps"], &plan["findings"]), (&json!([]), &json!([])));
    assert!(!program.path("home/.sealer").exists());
}

#[test]
fn errors_of_a_clusterfile_are_shown_without_its_passwords() {
    let program = Program::with_kubernetes();
    let text = format!("{HEAD}  imagee: x\n  ssh: {{user: root, passwd: hunter2, prot: 22}}\n{HOSTS}");
    let outcome = apply(&program, &text);
    outcome
        .fails(2, &[":7:3\n", "^^^^^^ did you mean `image`?", "did you mean `port`?", "2 errors; nothing was changed"]);
    assert!(!outcome.stderr.contains("hunter2") && outcome.stderr.contains("passwd: *"), "{}", outcome.stderr);
    let file = program.text("Clusterfile");
    let outcome = program.call(&["apply", "-o", "json", "-f", &file]);
    let error: Value = serde_json::from_str(&outcome.code(2).stderr).unwrap();
    assert_eq!(error["error"]["errors"][0]["suggestion"], "image");
    assert!(!outcome.stderr.contains("hunter2"));

    program.call(&["apply", "-f", "nowhere"]).fails(2, &["cannot read nowhere"]);
    program.call(&["apply"]).fails(2, &["cannot read Clusterfile", "hint: `-f` names the Clusterfile"]);
    program.call(&["apply", "-f", "."]).fails(2, &["cannot read ."]);
    let binary = program.write("binary", [0xff, 0xfe, 0]);
    program.call(&["apply", "-f", &binary]).fails(2, &["hint: expected a text"]);
}

#[test]
fn documents_that_nobody_performs_are_refused_all_at_once() {
    let program = Program::with_kubernetes();
    let plugin = "---\napiVersion: sealer.io/v1\nkind: Plugin\nmetadata: {name: backup}\nspec: {type: ETCD, action: PostInstall}\n";
    let outcome = apply(&program, &format!("{HEAD}{HOSTS}{plugin}"));
    outcome.fails(2, &["error: plugin backup: backups of etcd are not supported yet"]);
    apply(&program, &format!("{HEAD}  appNames: [shop]\n{HOSTS}")).fails(2, &["shop"]);
    let roles = "    - {ips: [10.0.0.2], roles: [db]}\n    - {ips: [10.0.0.3], roles: [cache]}\n";
    let outcome = apply(&program, &format!("{HEAD}{HOSTS}{roles}"));
    outcome.fails(
        2,
        &[
            "error: the Clusterfile asks for what is not supported yet:\n  spec.hosts 10.0.0.2 (roles db): ",
            "\n  spec.hosts 10.0.0.3 (roles cache): ",
            "hint: take it out of the Clusterfile",
        ],
    );
    let file = program.text("Clusterfile");
    let outcome = program.call(&["apply", "--json", "-f", &file]);
    let error: Value = serde_json::from_str(&outcome.code(2).stderr).unwrap();
    assert_eq!(error["error"]["unbuilt"][0]["place"], "spec.hosts 10.0.0.2 (roles db)");
}

#[test]
fn fields_that_nobody_performs_are_refused() {
    let program = Program::with_kubernetes();
    let cases = [
        ("  dataRoot: /data\n", "spec.dataRoot"),
        ("  containerRuntime: {type: docker}\n", "a container runtime other than containerd"),
    ];
    for (field, text) in cases {
        let outcome = apply(&program, &format!("{HEAD}{field}{HOSTS}"));
        outcome.fails(2, &[text, "yet", "hint:"]);
    }
    let without_network = "  network: {withoutCNI: true}\n";
    let outcome = apply(&program, &format!("{HEAD}{without_network}{HOSTS}"));
    outcome.fails(2, &["kube:1 declares no network plugin by CNI", "say the commands to launch as spec.cmd instead"]);
    let custom = apply(&program, &format!("{HEAD}{HOSTS}    - ips: [10.0.0.2]\n      roles: [db]\n"));
    custom.fails(2, &["spec.hosts 10.0.0.2 (roles db): a host that is neither master nor node (give it the role node, too) is not supported yet"]);
}

#[test]
fn network_plugins_that_an_image_declares_can_be_left_out() {
    let program = Program::with_kubernetes();
    program.write("kube/net.yaml", "kind: DaemonSet\n");
    program.write(
        "kube/Kubefile",
        "FROM kube:1\nCNI calico local://net.yaml\nAPP shop local://net.yaml\nLAUNCH [\"calico\", \"shop\"]\n",
    );
    program.call(&["build", "-q", "-t", "net:1", &program.text("kube")]).code(0);
    let head = HEAD.replace("kube:1", "net:1");
    let dry_run = |more: &str| {
        let file = program.write("Clusterfile", format!("{head}{MACHINES}{more}"));
        program.call(&["apply", "-f", &file, "--dry-run"]).code(0).stdout.clone()
    };
    let note = "note: calico is not launched (withoutCNI): nodes are Ready once you install a network plugin";
    assert!(dry_run("  network: {withoutCNI: true}\n").contains(note));
    assert!(!dry_run("").contains("withoutCNI"));
}

#[test]
fn what_has_no_effect_is_told_and_what_has_is_taken() {
    let program = Program::with_kubernetes();
    let fields = "  network: {cniName: calico}\n  cmd_args: [WHO=me, WHOO=x]\n  env: [a-b=c, GOOD=x]\n  \
                  hostAliases: [{ip: 10.0.0.9, hostnames: [db.example.com]}]\n  certSANS: [example.com]\n  \
                  dataRoot: /var/lib/sealer/data\n  containerRuntime: {type: containerd}\n";
    let file = program.write("Clusterfile", format!("{HEAD}{MACHINES}{fields}"));
    let outcome = program.call(&["apply", "-f", &file, "--dry-run"]);
    outcome.code(0);
    let warnings: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(
        warnings,
        [
            "warning: spec.network.cniName `calico` has no effect: the image decides about the network plugin",
            "warning: no launch command uses the argument WHOO",
            "warning: the variable `a-b` reaches no script: a shell takes letters, digits and `_`",
        ]
    );
}

#[test]
fn delete_wants_one_cluster_that_is_there() {
    let program = Program::new();
    let unknown = program.call(&["delete", "-c", "nobody"]);
    unknown.fails(1, &["there is no cluster nobody", "hint: `ls "]);
    program.call(&["delete"]).fails(2, &["--cluster <NAME>"]);
    for arguments in [&["-c", "a", "-a"][..], &["-c", "a", "-f", "b"], &["-f", "b", "-a"]] {
        program.call(&[&["delete"], arguments].concat()).fails(2, &["cannot be used with"]);
    }
    assert_eq!(program.call(&["delete", "-a"]).code(0).stdout, "there is no cluster\n");
    assert_eq!(program.call(&["delete", "-a", "-q"]).code(0).stdout, "");
    assert_eq!(program.json(&["delete", "--all", "-o", "json"]), json!([]));
    program.call(&["delete", "-f", "nowhere"]).fails(2, &["cannot read nowhere"]);
    assert!(!program.path("home/.sealer").exists());
    for name in ["../x", "a/b", ""] {
        program.call(&["delete", "-c", name]).fails(2, &["cannot be the name of a cluster"]);
    }
    assert!(!program.path("home/x").exists());
}

#[test]
fn a_cluster_that_somebody_works_on_is_left_alone() {
    let program = Program::new();
    program.write("home/.sealer/mine/Clusterfile", format!("{HEAD}{HOSTS}"));
    let lock = fs::File::create(program.path("home/.sealer/mine/lock")).unwrap();
    lock.lock().unwrap();
    program
        .call(&["delete", "-y", "-c", "mine"])
        .fails(1, &["another sealer is working on cluster mine", "hint: wait"]);
    drop(lock);
    program.write("home/.sealer/mine/Clusterfile", "kind: Cluster\nspce: {}\n");
    let broken = program.call(&["delete", "-c", "mine"]);
    broken.fails(1, &["home/.sealer/mine/Clusterfile has errors", "hint: fix the file"]);
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let program = Program::with_kubernetes();
    program.write("home/.sealer", "not a directory");
    let file = program.write("Clusterfile", format!("{HEAD}{MACHINES}"));
    program.call(&["apply", "-f", &file]).fails(1, &["cannot make ", "home/.sealer/mine"]);
}

#[test]
fn hosts_leave_only_with_consent() {
    let program = Program::new();
    let listed = format!("{HEAD}{HOSTS}    - ips: [10.0.0.2]\n      roles: [node]\n");
    program.write("home/.sealer/mine/Clusterfile", &listed);
    let refused = ["cluster mine, and nobody agreed to that: 10.0.0.1, 10.0.0.2", "hint: `--yes` agrees to it"];
    for arguments in [&["-c", "mine"][..], &["-a"], &["-a", "--ignore-unreachable"]] {
        program.call(&[&["delete"], arguments].concat()).fails(2, &refused);
    }
    assert_eq!(fs::read_to_string(program.path("home/.sealer/mine/Clusterfile")).unwrap(), listed);
    program.call(&["delete", "-a", "--prune=false"]).fails(2, &["--prune=false: hosts are left as they were"]);
    program.call(&["delete", "-a", "--drain-timeout", "soon"]).fails(2, &["`soon` is no span of time"]);
    program.call(&["delete", "-a", "-n", "10.0.0.2"]).fails(2, &["cannot be used with"]);
    program.call(&["delete", "--host", "127.0.0.1", "--dry-run"]).fails(2, &["cannot be used with"]);
}

#[test]
fn upstream_s_flags_have_one_meaning() {
    for flags in [
        &["apply", "--force", "--drain-timeout", "90s", "--drain-force"][..],
        &["delete", "-a", "--force", "-p", "--ignore-unreachable"],
        &["delete", "-m", "10.0.0.1", "-n", "2", "--prune=true", "--cluster-name", "x"],
        &[
            "join",
            "-m",
            "10.0.0.2",
            "-n",
            "10.0.0.3-10.0.0.5",
            "-c",
            "x",
            "-u",
            "root",
            "-p",
            "x",
            "--port",
            "22",
            "-y",
        ],
        &["scale-up", "--nodes", "2", "--cluster-name", "x", "--pk", "key", "--pk-passwd", "x"],
        &["run", "kube:1", "--yes", "--ignore-unreachable"],
    ] {
        let arguments = std::iter::once("sealer").chain(flags.iter().copied());
        let parsed = sealer::command().try_get_matches_from(arguments);
        assert!(parsed.is_ok(), "{flags:?}: {}", parsed.err().unwrap());
    }
}

#[test]
fn hosts_that_come_and_go_are_checked_before_anything_is_done() {
    let program = Program::with_kubernetes();
    program.call(&["scale-up", "-n", "10.0.0.2"]).fails(2, &["there is no cluster in "]);
    program.call(&["scale-up", "-n", "10.0.0.2", "-c", "mine"]).fails(1, &["there is no cluster mine in "]);
    program.call(&["scale-up"]).fails(2, &["--masters <ADDRESSES|COUNT>"]);
    let file = format!("{HEAD}{HOSTS}    - ips: [10.0.0.2]\n      roles: [node]\n");
    program.write("home/.sealer/mine/Clusterfile", &file);
    let cases: [(&[&str], &str); 6] = [
        (&["scale-up", "-n", "10.0.0.300"], "--nodes 10.0.0.300: `10.0.0.300` is no IP address"),
        (&["scale-up", "-m", "10.0.0.2"], "10.0.0.2 is a node of cluster mine and cannot become a master"),
        (&["join", "-n", "2"], "cluster mine: its hosts are given by address"),
        (&["delete", "-n", "10.0.0.9", "-y"], "cluster mine: 10.0.0.9 is no node of it"),
        (&["delete", "-m", "10.0.0.2", "-y"], "cluster mine: 10.0.0.2 is no master of it; it is a node"),
        (&["delete", "-m", "10.0.0.1", "-y"], "the last master cannot be taken out"),
    ];
    for (arguments, text) in cases {
        program.call(arguments).fails(2, &[text]);
    }
    program.write("home/.sealer/other/Clusterfile", file.replace("name: mine", "name: other"));
    let which = program.call(&["scale-up", "-n", "10.0.0.3"]);
    which.fails(2, &["there are 2 clusters: say which one, mine or other", "hint: `-c NAME`"]);
}

#[test]
fn the_person_at_the_terminal_is_asked() {
    let program = Program::new();
    let hosts = "  ssh: {port: 1, passwd: x}\n  hosts:\n    - ips: [127.0.0.2]\n      roles: [master]\n";
    program.write("home/.sealer/mine/Clusterfile", format!("{HEAD}{hosts}"));
    let answered = |answer: &str| {
        // A terminal of its own; the program's exit code is that of `script`.
        let call = format!("{} delete -c mine", env!("CARGO_BIN_EXE_sealer"));
        let home = program.path("home");
        let mut command = Command::new("script");
        command.args(["-qec", &call, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
        command.env("HOME", home).env("SEALER_ROOT", program.path("root")).env("SHELL", "/bin/sh");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, shown) = answered("n\n");
    let question =
        "Cluster mine is deleted, and everything on its hosts that belongs to it:\r\n  127.0.0.2  master\r\n";
    assert!(shown.contains(question) && shown.contains("Continue? [y/N]"), "{shown}");
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("1 host would leave cluster mine, and nobody agreed to that: 127.0.0.2"), "{shown}");
    // It goes on, and finds that nobody listens there.
    let (code, shown) = answered("y\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("127.0.0.2  cannot reach port 1: connection refused"), "{shown}");
}
