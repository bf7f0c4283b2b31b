//! Do hosts that already exist become a cluster, by flags and by a Clusterfile of the first generation?

use std::process::Command;

use sealer_tests::program::finish;
use sealer_tests::stage::APP;
use sealer_tests::{Machines, Stage};

use crate::cluster::{expect_hello, expect_original_name, expect_ready};

const PASSWORD: &str = "correct horse 'battery' $taple";

#[test]
fn hosts_with_a_password_become_a_cluster_and_are_clean_afterwards() {
    let stage = Stage::get();
    let program = stage.program();
    let machines = Machines::start("bare", &stage.node_image, 2);
    let [master, node] = [machines.get(0), machines.get(1)];
    master.set_password("root", PASSWORD);
    node.set_password("root", PASSWORD);

    let addresses = [master.address.to_string(), node.address.to_string()];
    program.succeed(&["run", APP, "-m", &addresses[0], "-n", &addresses[1], "-p", PASSWORD, "--cluster-name", "bare"]);
    let shell = |script: &str| master.shell(script);
    expect_ready(&shell, 2);
    expect_hello(&shell, node.address);
    expect_original_name(&shell);
    // The node asks the API servers through its own kernel, and goes on when its carer is killed.
    let status = node.shell("/var/lib/sealer/bin/sealer lvscare status -o json");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["service"], "10.103.97.2:6443");
    assert_eq!((&status[0]["servers"][0]["state"], &status[0]["servers"][0]["weight"]), (&"up".into(), &1.into()));
    let healthz = "curl --silent --max-time 5 --cacert /var/lib/sealer/data/bare/certs/ca.crt https://apiserver.cluster.local:6443/healthz";
    let asked = node.shell(&format!(
        "systemctl kill --signal KILL sealer-lvscare; {healthz}; getent hosts apiserver.cluster.local"
    ));
    assert!(asked.starts_with("ok10.103.97.2 "), "{asked}");

    program.succeed(&["delete", "-f", &program.state("bare").join("Clusterfile").display().to_string()]);
    for machine in [master, node] {
        let left = machine.shell("ls -d /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/sealer/data/bare /etc/cni/net.d/* /etc/systemd/system/sealer* /run/sealer 2>/dev/null || true; nft list tables | grep lvscare || true; ip route show table local | grep 10.103.97.2 || true; grep -c sealer /etc/hosts || true; pgrep -a 'kubelet|kube-|etcd|containerd|sealer' || true");
        assert_eq!(left.trim(), "0", "left on {}", machine.name);
    }
    assert!(!program.state("bare").exists());
}

#[test]
fn a_clusterfile_of_the_first_generation_works_with_sudo_and_an_encrypted_key() {
    let stage = Stage::get();
    let program = stage.program();
    let machines = Machines::start("blog", &stage.node_image, 2);
    let key = program.home().join("key");
    let made = finish(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", PASSWORD, "-f"]).arg(&key));
    made.expect_code(0);
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    for machine in [machines.get(0), machines.get(1)] {
        machine.authorize("deployer", &public);
        machine.shell("echo 'deployer ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deployer");
    }

    let clusterfile = program.home().join("Clusterfile");
    let text = format!(
        "apiVersion: sealer.aliyun.com/v1alpha1\nkind: Cluster\nmetadata:\n  name: blog\nspec:\n  image: {APP}\n  provider: BAREMETAL\n  ssh:\n    user: deployer\n    pk: {}\n    pkPasswd: \"{PASSWORD}\"\n  network:\n    podCIDR: 100.64.0.0/10\n    svcCIDR: 10.96.0.0/22\n  certSANS:\n    - aliyun-inc.com\n    - 10.0.0.2\n  masters:\n    ipList:\n      - {}\n  nodes:\n    ipList:\n      - {}\n",
        key.display(),
        machines.get(0).address,
        machines.get(1).address
    );
    std::fs::write(&clusterfile, text).unwrap();
    let file = clusterfile.display().to_string();

    let plan = program.succeed(&["apply", "-f", &file, "--dry-run"]);
    assert!(plan.contains("kubeadm init") && plan.contains("nothing was changed"), "{plan}");
    assert!(!plan.contains(PASSWORD) && !machines.get(0).test("test -e /var/lib/sealer"), "{plan}");

    program.succeed(&["apply", "-f", &file]);
    let shell = |script: &str| machines.get(0).shell(script);
    expect_ready(&shell, 2);
    expect_hello(&shell, machines.get(1).address);
    let names =
        shell("openssl x509 -in /etc/kubernetes/pki/apiserver.crt -noout -ext subjectAltName 2>/dev/null || true");
    assert!(names.is_empty() || names.contains("aliyun-inc.com"), "{names}");

    let again = program.call(&["apply", "-f", &file]);
    again.expect_code(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    program.succeed(&["delete", "-a"]);
    assert!(!program.state("blog").exists());
}
