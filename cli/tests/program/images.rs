//! `sealer images | inspect | tag | rmi`, as text and as JSON.

use std::fs;

use serde_json::json;

use crate::support::{Outcome, Program, finish, overwrite};

#[test]
fn a_list_is_a_table() {
    let program = Program::new();
    let empty = program.call(&["images"]);
    assert_eq!(empty.code(0).stdout, "NAME   DIGEST   PLATFORM   CREATED   IMAGES   SIZE\n");
    let digest = program.build("shop:1.4");
    let outcome = program.call(&["images"]);
    let rows: Vec<Vec<&str>> = outcome
        .stdout
        .lines()
        .map(|line| line.split("   ").map(str::trim).filter(|word| !word.is_empty()).collect())
        .collect();
    assert_eq!(rows[1][..3], ["shop:1.4", &digest[7..19], "linux/amd64"], "{}", outcome.stdout);
    assert!(rows[1][3].ends_with("ago") && rows[1].len() == 6, "{}", outcome.stdout);
    assert_eq!(outcome.stderr, "");
    assert_eq!(program.call(&["images", "-q"]).stdout, format!("{digest}\n"));
    let list = program.json(&["images", "-o", "json"]);
    assert_eq!(list[0]["name"], "docker.io/library/shop:1.4");
    assert_eq!(list, program.json(&["images", "--json"]));
}

#[test]
fn inspect_shows_what_is_inside() {
    let program = Program::new();
    let digest = program.build("shop:1.4");
    let outcome = program.call(&["inspect", "shop:1.4"]);
    let text = &outcome.code(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(&format!("shop:1.4  {digest}  linux/amd64  built ")), "{text}");
    assert!(lines[1].starts_with("size      ") && lines[1].ends_with("shared with no other cluster image"), "{text}");
    assert!(lines[2].starts_with("layers    ") && lines[2].ends_with("  COPY manifests manifests"), "{text}");
    assert!(text.contains("\nlaunch    kubectl apply -f manifests\n") && text.contains("team=shop\n"), "{text}");

    program.call(&["tag", "shop:1.4", "shop:latest"]).code(0);
    let by_digest = program.call(&["inspect", &digest[7..20]]);
    assert!(by_digest.code(0).stdout.contains("names     shop:1.4\n          shop:latest\n"), "{}", by_digest.stdout);
    let inspection = program.json(&["inspect", "shop:latest", "-o", "json"]);
    assert_eq!(inspection["launch"], json!(["kubectl apply -f manifests"]));
    assert_eq!(inspection["layers"].as_array().unwrap().len(), 1);
}

#[test]
fn inspect_c_prints_a_clusterfile() {
    let program = Program::new();
    program.build("shop:1.4");
    let outcome = program.call(&["inspect", "-c", "shop:1.4"]);
    let start = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata:\n  name: my-cluster\nspec:\n  image: shop:1.4\n";
    assert!(outcome.code(0).stdout.starts_with(start), "{}", outcome.stdout);
    let value = program.json(&["inspect", "--Clusterfile", "-o", "json", "shop:1.4"]);
    assert_eq!(value, json!({ "clusterfile": outcome.stdout }));

    // An image may bring its own.
    program
        .write("context/etc/Clusterfile", "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: own}\nspec: {}\n");
    program.write("context/Kubefile", "FROM scratch\nCOPY etc etc\n");
    program.build("own:1");
    assert!(program.call(&["inspect", "-c", "own:1"]).code(0).stdout.contains("name: own\n"));
    program
        .write("context/etc/Clusterfile", "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {nam: own}\nspec: {}\n");
    program.build("broken:1");
    let broken = program.call(&["inspect", "-c", "broken:1"]);
    broken
        .fails(1, &["the Clusterfile inside broken:1 has errors", "did you mean `name`?", "hint: fix etc/Clusterfile"]);
}

#[test]
fn an_image_cannot_steer_the_terminal() {
    let program = Program::new();
    program.write(
        "context/Kubefile",
        "FROM scratch\nCOPY manifests manifests\nCMD rm -rf /data\u{1b}[2K\u{1b}[8m\u{202e}\n",
    );
    program.build("shop:1.4");
    let shown = program.call(&["inspect", "shop:1.4"]);
    assert!(shown.code(0).stdout.contains(r"rm -rf /data\u001b[2K\u001b[8m\u202e"), "{}", shown.stdout);
    for arguments in [&["inspect", "shop:1.4"][..], &["inspect", "-o", "json", "shop:1.4"], &["images"]] {
        let outcome = program.call(arguments);
        let steers = |text: &str| text.contains(['\u{1b}', '\u{202e}', '\u{9b}']);
        assert!(!steers(&outcome.code(0).stdout) && !steers(&outcome.stderr), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn names_are_given_and_taken() {
    let program = Program::new();
    program.build("shop:1.4");
    let tagged = program.json(&["tag", "shop:1.4", "registry.example.com/team/shop:1.4", "-o", "json"]);
    assert_eq!(tagged, json!({ "source": "shop:1.4", "target": "registry.example.com/team/shop:1.4" }));
    assert_eq!(program.call(&["tag", "shop:1.4", "b:2"]).code(0).stdout, "b:2\n");

    let removed = program.call(&["rmi", "b:2"]);
    assert_eq!(removed.code(0).stdout, "b:2\n0 B freed\n", "the blobs have another name");
    let removed = program.json(&["rmi", "-o", "json", "shop:1.4", "registry.example.com/team/shop:1.4"]);
    assert_eq!(removed["names"], json!(["docker.io/library/shop:1.4", "registry.example.com/team/shop:1.4"]));
    assert!(removed["freedBytes"].as_u64().unwrap() > 0, "{removed}");
    assert_eq!(fs::read_dir(program.path("root/content/blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn a_missing_image_is_an_error_unless_forced() {
    let program = Program::new();
    program.build("shop:1.4");
    program.call(&["rmi", "shop:1.4", "nobody:1"]).fails(1, &["nobody:1 is not in the store"]);
    program.call(&["inspect", "shop:1.4"]).code(0);
    let forced = program.call(&["rmi", "-f", "shop:1.4", "nobody:1"]);
    assert!(forced.code(0).stdout.starts_with("shop:1.4\n"), "{}", forced.stdout);
    assert_eq!(program.call(&["rmi", "-q", "-f", "nobody:1"]).code(0).stdout, "");
    for arguments in [&["inspect", "nobody"][..], &["tag", "nobody", "a:1"], &["inspect", "-c", "nobody"]] {
        program.call(arguments).fails(1, &["cluster image nobody is not in the store", "sealer images"]);
    }
}

#[test]
fn wrong_names_are_wrong_input() {
    let program = Program::new();
    program.build("shop:1.4");
    for name in ["A", "a b", "-x:1", "a:", "../a", "a@sha256:12"] {
        for arguments in [&["inspect", "--", name][..], &["rmi", "--", name], &["tag", "shop:1.4", "--", name]] {
            program.call(arguments).fails(2, &[&format!("`{}` is not a", name.rsplit('@').next().unwrap())]);
        }
    }
    let digest = format!("a@sha256:{}", "0".repeat(64));
    program.call(&["tag", "shop:1.4", &digest]).fails(2, &["expected a name with a tag, not with a digest"]);
}

#[test]
fn corruption_is_named_and_hides_no_other_image() {
    let program = Program::new();
    program.build("good:1");
    program.write("context/manifests/more.yaml", "x: y\n");
    let digest = program.build("bad:1");
    overwrite(&program.blob(&digest), b"{}");
    let list = program.call(&["images"]);
    list.code(0).says(&["warning: bad:1: ", &format!("blob {digest} is corrupt")]);
    assert!(list.stdout.contains("good:1 "), "{}", list.stdout);
    let inspected = program.call(&["inspect", "bad:1"]);
    inspected.fails(1, &[&format!("blob {digest} is corrupt"), "fetch or build its image again"]);
    fs::remove_file(program.blob(&digest)).unwrap();
    program
        .call(&["inspect", "bad:1"])
        .fails(1, &[&format!("blob {digest} is not in the store"), "hint: build, pull or load"]);
}

#[test]
fn a_name_without_a_registry_is_looked_for_here_and_then_under_the_default_registry() {
    let program = Program::new();
    let there = program.build("reg.example:5000/clusters/kube:1");
    let call =
        |default: &str, arguments: &[&str]| finish(program.command(arguments).env("SEALER_DEFAULT_REGISTRY", default));
    let digest = |outcome: &Outcome| {
        let value: serde_json::Value = serde_json::from_str(&outcome.code(0).stdout).unwrap();
        value["digest"].as_str().unwrap().to_owned()
    };
    let inspect = ["inspect", "kube:1", "-o", "json"];
    program.call(&inspect).fails(1, &["kube:1 is not in the store"]);
    assert_eq!(digest(&call("reg.example:5000/clusters", &inspect)), there);
    call("reg.example:5000", &inspect).fails(1, &["kube:1 is not in the store"]);
    // FROM finds it as well, and so does an option in the place of the variable.
    program.write("app/Kubefile", "FROM kube:1\nLABEL app=1\n");
    let build = ["build", "-q", "-t", "app:1", &program.text("app")];
    program.call(&build).fails(1, &["kube:1"]);
    call("reg.example:5000/clusters", &build).code(0);
    program.call(&[&build[..], &["--default-registry", "reg.example:5000/clusters"]].concat()).code(0);
    // What is here under docker's name comes first.
    program.write("context/manifests/more.yaml", "kind: Service\n");
    let here = program.build("kube:1");
    assert_ne!(here, there);
    assert_eq!(digest(&call("reg.example:5000/clusters", &inspect)), here);
    call("https://reg", &inspect).fails(2, &["SEALER_DEFAULT_REGISTRY: `https://reg` is not a registry"]);
    program
        .call(&["build", "--default-registry", "A b", "-t", "x", "."])
        .fails(2, &["--default-registry: `A b` is not"]);
}

#[test]
fn options_about_registries_are_checked_before_anything_is_asked() {
    let program = Program::new();
    let search = |more: &[&str]| program.call(&[&["search", "reg.example/team/shop"], more].concat());
    search(&["--registry-mirror", "docker.io"]).fails(2, &["--registry-mirror docker.io: expected HOST=URL"]);
    search(&["--registry-ca", "reg.example"]).fails(2, &["--registry-ca reg.example: expected HOST=FILE"]);
    search(&["--registry-ca", "reg.example=none.crt"]).fails(2, &["cannot read none.crt"]);
    let bad = program.write("bad.crt", "nothing");
    search(&["--registry-ca", &format!("reg.example={bad}")]).fails(1, &["host_ca", "the text holds no certificate"]);
    search(&["--insecure-registry", "http://x"]).fails(1, &["`http://x` is not a host"]);
    search(&["--limit", "0"]).fails(2, &["'0' for '--limit <COUNT>'"]);
    program.call(&["search"]).fails(2, &["<NAME>..."]);
    program.call(&["search", "A b"]).fails(2, &["`A b` is not an image name"]);
}
