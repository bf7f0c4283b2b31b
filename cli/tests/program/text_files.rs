//! Files that people wrote with an editor that puts a byte order mark in front.

use super::support::Program;

const MARK: &str = "\u{feff}";

#[test]
fn every_file_that_people_write_may_begin_with_a_byte_order_mark() {
    let program = Program::new();
    let mark = |path: &str, text: &str| program.write(path, format!("{MARK}{text}"));
    mark("kube/Kubefile", "FROM scratch\nCOPY . .\nCMD echo up\n");
    mark("kube/manifests/imageList", "# nothing yet\n");
    mark(
        "kube/etc/Clusterfile",
        "{apiVersion: sealer.io/v2, kind: Cluster, metadata: {name: c}, spec: {image: k:1, env: [A=b]}}\n",
    );
    program.call(&["build", "-q", "-t", "kube:1", &program.text("kube")]).code(0);
    let outcome = program.call(&["inspect", "-c", "kube:1"]);
    assert!(outcome.code(0).stdout.contains("A=b"), "{outcome:?}");

    let cluster = "{apiVersion: sealer.io/v2, kind: Cluster, metadata: {name: c}, spec: {image: kube:1, bogus: 1, \
                   hosts: [{ips: [127.0.0.1], roles: [master]}]}}\n";
    let file = mark("Clusterfile", cluster);
    program
        .call(&["apply", "-f", &file, "--dry-run"])
        .fails(2, &["unknown field `bogus`", "1 error; nothing was changed"]);
}
