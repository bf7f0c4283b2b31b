//! `sealer history | diff | verify | prune | merge | mount | umount`, and what `images`, `inspect`, `tag` and `rmi` have of upstream.

use std::fs;

use serde_json::json;

use crate::support::{Program, finish, overwrite};

/// Two images that share a layer.
fn two() -> Program {
    let program = Program::new();
    program.build("shop:1");
    program.write("context/more/file", "x");
    program.write("context/Kubefile", "FROM shop:1\nCOPY more more\n");
    program.build("shop:2");
    program
}

#[test]
fn a_history_and_a_difference_are_tables_and_json() {
    let program = two();
    let history = program.call(&["history", "shop:2"]);
    let lines: Vec<&str> = history.code(0).stdout.lines().collect();
    assert!(lines[0].starts_with("LAYER") && lines[1].contains("COPY more more"), "{}", history.stdout);
    assert!(!history.stdout.contains(" ago"), "the time is that of reproducible images: {}", history.stdout);
    let steps = program.json(&["history", "shop:2", "-o", "json"]);
    assert_eq!(steps[0]["createdBy"], "COPY more more");
    assert!(steps[0]["size"].as_u64().unwrap() > 0);

    let difference = program.call(&["diff", "shop:1", "shop:2"]);
    let text = &difference.code(0).stdout;
    assert!(
        text.contains("file  + more/file\n") && text.contains("layer + ") && text.contains("1 layer shared"),
        "{text}"
    );
    let difference = program.json(&["diff", "shop:1", "shop:2", "-o", "json"]);
    assert_eq!(difference["files"], json!([{ "change": "added", "path": "more/file" }]));
    assert_eq!(program.json(&["diff", "shop:1", "shop:1", "--json"])["bytesToMove"], 0);
    program.call(&["diff", "shop:1", "nobody:1"]).fails(1, &["nobody:1 is not in the store"]);
}

#[test]
fn damage_is_printed_and_is_a_failure() {
    let program = two();
    let whole = program.call(&["verify", "--all"]);
    assert!(whole.code(0).stdout.starts_with("2 images, ") && whole.stdout.contains(" read, 0 damaged\n"), "{whole:?}");
    let layer = program.json(&["inspect", "shop:1", "-o", "json"])["layers"][0]["digest"].clone();
    let layer = layer.as_str().unwrap();
    overwrite(&program.blob(layer), b"other");
    let damaged = program.call(&["verify", "shop:2"]);
    damaged.code(1).says(&["error: 1 blob is damaged", "hint: `sealer pull` of these images"]);
    assert!(damaged.stdout.contains(&format!("{layer}: it is corrupt")), "{damaged:?}");
    assert!(damaged.stdout.contains("  part of shop:2\n"), "{damaged:?}");
    let damaged = program.call(&["verify", "--all", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&damaged.code(1).stdout).unwrap();
    assert_eq!(value["damaged"][0]["digest"], layer);
    assert_eq!(value["damaged"][0]["images"], json!(["docker.io/library/shop:1", "docker.io/library/shop:2"]));
    assert!(damaged.stderr.contains(r#"{"kind":"verify","bytes":"#), "{damaged:?}");
    program.call(&["verify"]).fails(2, &["<IMAGE>"]);
}

#[test]
fn pruning_says_what_it_frees() {
    let program = two();
    let all = program.json(&["prune", "--all", "--dry-run", "-o", "json"]);
    assert_eq!((&all["dryRun"], &all["blobs"]["count"]), (&json!(true), &json!(0)));
    assert!(all["buildCache"]["count"].as_u64().unwrap() > 0, "{all}");
    let pruned = program.call(&["prune", "--all"]);
    assert!(pruned.code(0).stdout.contains(" build results\n") && pruned.stdout.ends_with(" freed\n"), "{pruned:?}");
    assert_eq!(program.call(&["prune", "-q"]).code(0).stdout, "0 B freed\n");
    assert_eq!(program.call(&["prune", "--dry-run"]).code(0).stdout, "0 B would be freed\n");
    let lock = fs::File::open(program.path("root/content/lock")).unwrap();
    lock.lock_shared().unwrap();
    program.call(&["prune"]).fails(1, &["is being written to", "try again when it has finished"]);
}

#[test]
fn images_are_merged_and_conflicts_are_warnings() {
    let program = two();
    program.write("context/Kubefile", "FROM scratch\nCOPY other more\n");
    program.write("context/other/file", "y");
    program.build("other:1");
    let merged = program.call(&["merge", "shop:2", "other:1", "-t", "all:1"]);
    merged.code(0).says(&["warning: file more/file: that of other:1 is taken"]);
    assert!(merged.stdout.starts_with("all:1  sha256:") && merged.stdout.contains("linux/amd64"), "{merged:?}");
    let value = program.json(&["merge", "-o", "json", "-t", "all:2", "shop:2", "other:1"]);
    assert_eq!(value["conflicts"], json!([{ "kind": "file", "name": "more/file", "winner": "other:1" }]));
    program.call(&["merge", "shop:1", "-t", "x:1"]).fails(2, &["IMAGE"]);
    program.call(&["merge", "shop:1", "nobody:1", "-t", "x:1"]).fails(1, &["nobody:1"]);
}

#[test]
fn upstream_options_of_the_image_commands() {
    let program = two();
    let digest = program.json(&["inspect", "shop:1", "-o", "json"])["digest"].as_str().unwrap().to_owned();
    let tagged = program.json(&["tag", "shop:1", "a:1", "b:1", "-o", "json"]);
    assert_eq!(tagged["targets"], json!(["a:1", "b:1"]));
    program.call(&["tag", "shop:1", "c:1", "A"]).fails(2, &["`A` is not a"]);
    let list = program.call(&["images", "-n", "--no-trunc", "--history", "--filter", "reference=a:1"]);
    let cells: Vec<&str> = list.code(0).stdout.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!((cells[0], cells[1], cells[6]), ("a:1", digest.as_str(), "b:1,shop:1"), "{}", list.stdout);
    assert_eq!(program.json(&["images", "-a", "--filter", "label=team=shop", "--json"]).as_array().unwrap().len(), 4);
    program.call(&["images", "--filter", "x"]).fails(2, &["expected reference=PATTERN"]);

    let raw = program.call(&["inspect", "--raw", "shop:1"]);
    assert_eq!(raw.code(0).stdout.as_bytes(), fs::read(program.blob(&digest)).unwrap());
    let format = "{{.Digest}} {{json .labels.team}}";
    let shown = program.call(&["inspect", "--format", format, "-t", "image", "--platform", "linux/amd64", "shop:1"]);
    assert_eq!(shown.code(0).stdout, format!("{digest} \"shop\"\n"));
    program.call(&["inspect", "-f", "{{.nothing}}", "shop:1"]).fails(2, &["there is no field `nothing`"]);
    program.call(&["inspect", "--platform", "linux/arm64", "shop:1"]).fails(1, &["is not built for linux/arm64"]);

    let cluster = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: mine}\nspec:\n  image: shop:1\n  hosts: [{ips: [127.0.0.9], roles: [master]}]\n";
    program.write("home/.sealer/mine/Clusterfile", cluster);
    let removed = program.call(&["rmi", "--all"]);
    removed.code(0).says(&["warning: shop:1 stays: cluster mine runs it"]);
    assert!(removed.stdout.starts_with("a:1\nb:1\nshop:2\n"), "{removed:?}");
    assert!(program.call(&["rmi", "--prune"]).code(0).stdout.ends_with(" freed\n"));
    let removed = program.json(&["rmi", "--platform", "linux/amd64", "shop:1", "-o", "json"]);
    assert_eq!(removed["names"], json!(["docker.io/library/shop:1"]), "its only platform");
    assert_eq!(program.json(&["images", "--json"]), json!([]));
    program.call(&["rmi"]).fails(2, &["IMAGE"]);
}

#[test]
fn mounts_are_listed_and_need_an_image() {
    let program = two();
    assert_eq!(program.call(&["mount"]).code(0).stdout, "IMAGE   PLATFORM   MOUNTED ON\n");
    assert_eq!(program.json(&["mount", "--json"]), json!([]));
    program.call(&["umount", "shop:1"]).fails(1, &["shop:1 is no mounted image", "`sealer mount` lists them"]);
    assert_eq!(program.json(&["umount", "--all", "--json"]), json!([]));
    program.call(&["mount", "nobody:1"]).fails(1, &["nobody:1"]);
}

#[test]
fn archives_in_parts_and_of_other_forms() {
    let program = two();
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8
    };
    program.write("context/big", (0..200_000).map(|_| noise()).collect::<Vec<_>>());
    program.write("context/Kubefile", "FROM shop:2\nCOPY big big\n");
    program.build("shop:3");
    let archive = program.text("shop.tar");
    let saved = program.json(&["save", "--json", "-o", &archive, "--split", "65536", "--compress", "shop:3"]);
    let parts: Vec<String> =
        saved["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap().to_owned()).collect();
    assert!(parts.len() > 1 && parts[0].ends_with("shop.tar.001"), "{saved}");
    let other = Program::new();
    let mut load = vec!["load", "-i"];
    load.extend(parts.iter().rev().map(String::as_str));
    assert_eq!(other.call(&load).code(0).stdout, "shop:3\n");
    fs::remove_file(&parts[1]).unwrap();
    other.call(&["load", "-i", &parts[0]]).fails(1, &["part 2 is missing; name all parts"]);

    let rootfs = program.text("rootfs.tar");
    let saved =
        program.call(&["save", "--format", "docker-archive", "--platform", "linux/amd64", "-o", &rootfs, "shop:1"]);
    saved.code(0).says(&["warning: shop:1: its launch commands are not in a docker-archive"]);
    assert_eq!(other.call(&["load", "--tmp-dir", "/nowhere", "-i", &rootfs]).code(0).stdout, "shop:1\n");
    let layout = program.text("layout");
    program.call(&["save", "--format=oci-dir", "--tmp-dir=/nowhere", "-o", &layout, "shop:2"]).code(0);
    assert_eq!(other.call(&["load", "-i", &layout]).code(0).stdout, "shop:2\n");
    program.call(&["save", "--format=oci-dir", "-o", &layout, "shop:2"]).fails(1, &["something is there"]);
    program
        .call(&["save", "--format=oci-dir", "-o", "-", "shop:2"])
        .fails(2, &["a directory cannot go to standard output"]);
    program.call(&["save", "--split=1MB", "-o", "-", "shop:2"]).fails(2, &["--split writes files"]);
    program.call(&["save", "--split=lots", "-o", "x", "shop:2"]).fails(2, &["is not a size"]);
    program.call(&["save", "--format=docker-dir", "-o", "x", "shop:2"]).fails(2, &["docker-archive"]);
    other.call(&["load", "-i", "-", &layout]).fails(2, &["standard input is read alone"]);

    let stream = finish(
        program
            .command(&["save", "-o", "-", "--compress=zstd", "shop:1"])
            .stdout(fs::File::create(program.path("stream")).unwrap()),
    );
    stream.code(0);
    let loaded =
        finish(Program::new().command(&["load", "-i", "-"]).stdin(fs::File::open(program.path("stream")).unwrap()));
    assert_eq!(loaded.code(0).stdout, "shop:1\n");
}
