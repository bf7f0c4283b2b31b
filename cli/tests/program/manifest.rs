//! `sealer manifest` and builds for several platforms.

use serde_json::json;

use crate::support::Program;

/// A program with `shop:1-amd64` and `shop:1-arm64`, which were built apart.
fn apart() -> Program {
    let program = Program::new();
    program.write("context/Kubefile", "FROM scratch\nCOPY <<x etc/\n$TARGETPLATFORM on $BUILDPLATFORM\nx\n");
    for arch in ["amd64", "arm64"] {
        let (tag, platform) = (format!("shop:1-{arch}"), format!("linux/{arch}"));
        program.call(&["build", "-q", "-t", &tag, "--platform", &platform, "."]).code(0);
    }
    program
}

#[test]
fn what_was_built_apart_is_what_one_build_makes() {
    let program = apart();
    let built = program.call(&["build", "-t", "both:1", "--platform", "linux/amd64,linux/arm64", "."]);
    built.code(0).says(&["linux/amd64\n[1/2] FROM", "linux/arm64\n[1/2] FROM"]);
    let words: Vec<&str> = built.stdout.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("both:1", "linux/amd64,linux/arm64"));

    program.call(&["manifest", "create", "shop:1"]).code(0);
    program.call(&["manifest", "add", "shop:1", "shop:1-arm64"]).code(0);
    let added = program.call(&["manifest", "add", "--all", "shop:1-amd64", "-t", "shop:1", "-q"]);
    assert_eq!(added.code(0).stdout.trim(), words[1]);
    let list = program.json(&["manifest", "inspect", "shop:1", "-o", "json"]);
    assert_eq!(list["manifests"][1]["platform"], json!({ "os": "linux", "architecture": "arm64" }));
    let shown = program.call(&["manifest", "inspect", "shop:1"]);
    let lines: Vec<&str> = shown.code(0).stdout.lines().collect();
    assert!(lines[0].starts_with("shop:1  sha256:") && lines[1].starts_with("MANIFEST "), "{lines:?}");
    assert!(lines[2].contains(" linux/amd64 ") && lines[3].contains(" linux/arm64 "), "{lines:?}");
    let platforms = program.json(&["images", "-o", "json"]);
    let joined = platforms.as_array().unwrap().iter().find(|image| image["familiar"] == "shop:1").unwrap();
    assert_eq!(joined["platforms"].as_array().unwrap().len(), 2);

    let left = program.call(&["manifest", "remove", "shop:1", "linux/arm64"]);
    left.code(0).says(&["is no longer in it"]);
    assert!(!left.stdout.contains("arm64"), "{}", left.stdout);
    assert_eq!(program.call(&["manifest", "delete", "shop:1"]).code(0).stdout.lines().next(), Some("shop:1"));
    program.call(&["manifest", "inspect", "shop:1"]).fails(1, &["shop:1 is not in the store"]);
}

#[test]
fn what_cannot_be_joined_is_told_with_the_next_step() {
    let program = apart();
    program
        .call(&["manifest", "create", "shop:1-amd64"])
        .fails(1, &["there is an image shop:1-amd64 already", "manifest add"]);
    program.call(&["manifest", "add", "shop:1"]).fails(2, &["at least one"]);
    program.call(&["manifest", "add", "shop:1", "nothing:1"]).fails(1, &["nothing:1 is not in the store"]);
    program.call(&["manifest", "inspect", "shop:1"]).fails(1, &["shop:1 is not in the store"]);
    let own = "io.sealer.manifest.rootfs=x";
    program
        .call(&["manifest", "add", "shop:1", "shop:1-amd64", "--annotation", own])
        .fails(2, &["io.sealer.manifest.rootfs"]);
    let both = ["manifest", "add", "shop:1", "shop:1-amd64", "--all", "--arch", "arm64"];
    program.call(&both).fails(2, &["--all adds every platform"]);
    program.call(&["manifest", "remove", "shop:1-amd64", "linux/s390x"]).fails(1, &["has no manifest linux/s390x"]);
    program.call(&["manifest", "push", "shop:1-amd64", "127.0.0.1:1/shop:1"]).fails(1, &["127.0.0.1:1"]);
    let push =
        |more: &[&str]| program.call(&[&["manifest", "push", "shop:1-amd64", "127.0.0.1:1/shop:1"], more].concat());
    push(&["--format", "v2s2"]).fails(2, &["possible values: oci"]);
    push(&["--cert-dir", "/none"]).fails(2, &["cannot read /none"]);
    program.write("certs/ca.crt", "nonsense");
    push(&["--format", "oci", "--cert-dir", &program.text("certs")]).fails(1, &["ca.crt", "no certificate"]);
}

#[test]
fn a_dry_run_shows_where_platforms_differ() {
    let program = apart();
    program.write("context/Kubefile", "FROM scratch\nCOPY bin/$ARCH bin\nCOPY manifests manifests\n");
    let plan = program.call(&["build", "--dry-run", "-t", "a:1", "--platform", "linux/arm64,linux/amd64", "."]);
    assert_eq!(
        plan.code(0).stdout,
        "a:1  linux/amd64, linux/arm64  zstd\n  \
         [1/3] line 1    FROM  -         scratch\n  \
         [2/3] line 2    COPY  layer     as follows\n               \
         linux/amd64  bin/amd64 -> bin\n               \
         linux/arm64  bin/arm64 -> bin\n  \
         [3/3] line 3    COPY  layer     manifests -> manifests\n"
    );
}
