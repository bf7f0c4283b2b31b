//! `sealer save | load`: archives that load unchanged, and archives that are refused.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Program, finish, overwrite};

#[test]
fn what_is_saved_can_be_loaded() {
    let program = Program::new();
    let digest = program.build("shop:1.4");
    program.call(&["tag", "shop:1.4", "shop:latest"]).code(0);
    let archive = program.text("shop.tar");
    let saved = program.call(&["save", "-o", &archive, "shop:1.4", "shop:latest"]);
    assert_eq!((saved.code(0).stdout.as_str(), saved.stderr.as_str()), (format!("{archive}\n").as_str(), ""));
    let saved = program.json(&["save", "--json", "-o", &archive, "shop:1.4"]);
    assert_eq!((&saved["file"], &saved["images"]), (&json!(archive), &json!(["shop:1.4"])));
    assert_eq!(saved["bytes"], fs::metadata(&archive).unwrap().len());

    let other = Program::new();
    let loaded = other.call(&["load", "-i", &archive]);
    assert_eq!(loaded.code(0).stdout, "shop:1.4\n");
    assert_eq!(other.call(&["images", "-q"]).stdout, format!("{digest}\n"));
    let loaded = other.json(&["load", "-i", &archive, "-o", "json"]);
    assert_eq!(loaded, json!({ "file": archive, "images": ["docker.io/library/shop:1.4"] }));
}

#[test]
fn archives_go_through_pipes_and_links_and_never_into_devices() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let program = Program::new();
    program.build("shop:1.4");
    let other = Program::new();
    let archive = program.text("shop.tar");
    program.call(&["save", "-o", &archive, "shop:1.4"]).code(0);

    let link = program.text("link.tar");
    for target in ["shop.tar", "new.tar"] {
        symlink(target, &link).unwrap();
        program.call(&["save", "-o", &link, "shop:1.4"]).code(0);
        assert!(program.path("link.tar").is_symlink() && program.path(target).is_file());
        fs::remove_file(&link).unwrap();
    }
    let bytes = fs::read(program.path("new.tar")).unwrap();

    let output = program.command(&["save", "-o", "-", "shop:1.4"]).output().unwrap();
    assert!(output.status.success() && output.stdout == bytes, "{}", String::from_utf8_lossy(&output.stderr));
    let mut load = other.command(&["load", "-i", "-"]);
    let loaded = finish(load.stdin(fs::File::open(program.path("new.tar")).unwrap()));
    assert_eq!(loaded.code(0).stdout, "shop:1.4\n");

    let node = |name: &str, kind: &str, numbers: &[&str]| {
        let path = program.text(name);
        let made = std::process::Command::new("mknod").arg(&path).arg(kind).args(numbers).status().unwrap();
        made.success().then_some(path)
    };
    let pipe = node("pipe", "p", &[]).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    program.call(&["save", "-o", &pipe, "shop:1.4"]).code(0);
    assert!(reader.join().unwrap() == bytes && fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, bytes).unwrap()
    });
    other.call(&["load", "-i", &pipe]).code(0);
    writer.join().unwrap();

    // Only root makes devices. This one takes everything and keeps nothing.
    if let Some(device) = node("device", "c", &["1", "3"]) {
        program.call(&["save", "-o", &device, "shop:1.4"]).fails(1, &[&device, "it is a device, expected a file"]);
        assert!(fs::metadata(&device).unwrap().file_type().is_char_device());
    }
}

#[test]
fn an_image_that_is_saved_by_its_digest_can_be_loaded() {
    let program = Program::new();
    let digest = program.build("shop:1.4");
    program.call(&["tag", "shop:1.4", "shop:latest"]).code(0);
    let archive = program.text("x.tar");
    program.call(&["save", "-o", &archive, &digest]).code(0);
    let other = Program::new();
    assert_eq!(other.call(&["load", "-i", &archive]).code(0).stdout, "shop:1.4\nshop:latest\n");

    // A name moves on; without one, an image is loaded under its digest, as docker does.
    let build = |label: &str| {
        let built = program.call(&["build", "-q", "-t", "moved:1", "--label", label, "."]);
        built.code(0).stdout.trim().to_owned()
    };
    let nameless = build("a=1");
    build("a=2");
    program.call(&["save", "-o", &archive, &nameless]).code(0);
    assert_eq!(other.call(&["load", "-i", &archive]).code(0).stdout, format!("{nameless}\n"));
    other.call(&["tag", &nameless, "named:1"]).code(0);
}

#[test]
fn archives_obey_the_umask_and_keep_the_mode_of_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let program = Program::new();
    program.build("shop:1.4");
    let mode = |name: &str| fs::metadata(program.path(name)).unwrap().permissions().mode() & 0o777;
    for (umask, expected) in [("022", 0o644), ("077", 0o600), ("007", 0o660)] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" save -o \"$1\" shop:1.4")]);
        command.args([env!("CARGO_BIN_EXE_sealer"), &program.text(umask)]);
        finish(command.env("SEALER_ROOT", program.path("root")).env("HOME", program.path("home"))).code(0);
        assert_eq!(mode(umask), expected, "umask {umask}");
    }
    let private = program.write("private.tar", "");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
    program.call(&["save", "-o", &private, "shop:1.4"]).code(0);
    assert_eq!(mode("private.tar"), 0o600);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let program = Program::new();
    program.build("shop:1.4");
    let nowhere = program.text("no/such/directory/shop.tar");
    program.call(&["save", "-o", &nowhere, "shop:1.4"]).fails(1, &[&format!("cannot write {nowhere}"), "hint:"]);
    let directory = program.text("context");
    program.call(&["save", "-o", &directory, "shop:1.4"]).fails(1, &[&directory, "it is a directory"]);
    program.call(&["save", "shop:1.4"]).fails(2, &["--output <FILE>"]);
    program.call(&["save", "-o", &program.text("x.tar"), "nobody:1"]).fails(1, &["nobody:1"]);
    assert!(!program.path("x.tar").exists());
}

#[test]
fn a_corrupt_blob_is_not_saved() {
    let program = Program::new();
    program.build("shop:1.4");
    let layer = program.json(&["inspect", "shop:1.4", "-o", "json"])["layers"][0]["digest"].clone();
    let layer = layer.as_str().unwrap();
    let mut content = fs::read(program.blob(layer)).unwrap();
    content[20] ^= 1;
    overwrite(&program.blob(layer), &content);
    let archive = program.text("x.tar");
    program.call(&["save", "-o", &archive, "shop:1.4"]).fails(1, &[&format!("blob {layer} is corrupt")]);
    assert!(!program.path("x.tar").exists(), "no half archive");
}

#[test]
fn what_is_no_archive_is_refused() {
    let program = Program::new();
    program.call(&["load", "-i", "nowhere.tar"]).fails(1, &["nowhere.tar"]);
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("empty.tar", Vec::new(), "no OCI archive"),
        ("text.tar", b"this is no archive\n".repeat(100), "is refused"),
        ("end.tar", vec![0; 1024], "no index.json"),
        ("cut.tar", tar(&[("index.json", br#"{"manifests":[]}"#)])[..700].to_vec(), "cut.tar"),
        ("nothing.tar", tar(&[("index.json", br#"{"schemaVersion":2,"manifests":[]}"#)]), "there is no image in it"),
        ("broken.tar", tar(&[("index.json", b"{")]), "index.json"),
    ];
    for (name, content, reason) in cases {
        let path = program.write(name, content);
        program.call(&["load", "-i", &path]).fails(1, &[name, reason]);
    }
    assert_eq!(program.json(&["images", "-o", "json"]), json!([]));
}

#[test]
fn a_hostile_archive_writes_nothing_outside() {
    let program = Program::new();
    let outside = program.path("root/escaped");
    for name in ["../../escaped", "/tmp/../escaped", "blobs/sha256/../../../escaped"] {
        let index = br#"{"schemaVersion":2,"manifests":[]}"#;
        let path = program.write("hostile.tar", tar(&[(name, b"evil"), ("index.json", index)]));
        program.call(&["load", "-i", &path]).fails(1, &["hostile.tar"]);
        assert!(!outside.exists() && !program.path("escaped").exists(), "{name}");
    }
    // A blob under a digest that is not its own.
    let digest = "a".repeat(64);
    let path = program.write("wrong.tar", tar(&[(&format!("blobs/sha256/{digest}"), b"evil")]));
    program.call(&["load", "-i", &path]).fails(1, &[&digest]);
    assert!(!program.blob(&format!("sha256:{digest}")).exists());
}

#[test]
fn a_saved_archive_that_was_corrupt_is_refused() {
    let program = Program::new();
    program.build("shop:1.4");
    let archive = program.text("shop.tar");
    program.call(&["save", "-o", &archive, "shop:1.4"]).code(0);
    let layer = program.json(&["inspect", "shop:1.4", "-o", "json"])["layers"][0]["digest"].clone();
    let content = fs::read(program.blob(layer.as_str().unwrap())).unwrap();
    let mut bytes = fs::read(&archive).unwrap();
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at + content.len() / 2] ^= 1;
    fs::write(&archive, bytes).unwrap();

    let other = Program::new();
    other.call(&["load", "-i", &archive]).fails(1, &["wrong content", layer.as_str().unwrap()]);
    assert_eq!(other.json(&["images", "-o", "json"]), Value::Array(Vec::new()));
}

/// A tar archive of plain files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..124].copy_from_slice(b"0000000\x000000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

#[test]
fn a_name_that_moves_is_told_and_one_that_a_cluster_runs_stays() {
    let program = Program::new();
    let first = program.build("shop:1.4");
    let archive = program.text("shop.tar");
    program.call(&["save", "-q", "-o", &archive, "shop:1.4"]).code(0);
    program.write("context/manifests/shop.yaml", "kind: StatefulSet\n");
    let second = program.build("shop:1.4");
    assert_ne!(first, second);

    let cluster = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: mine}\nspec:\n  image: shop:1.4\n  hosts: [{ips: [127.0.0.9], roles: [master]}]\n";
    program.write("home/.sealer/mine/Clusterfile", cluster);
    let refused = program.call(&["load", "-i", &archive]);
    refused.fails(1, &["cluster mine runs the one that is here", "hint: `--replace` moves the name"]);
    assert_eq!(program.build("shop:1.4"), second, "the name stayed");

    let moved = program.call(&["load", "-i", &archive, "--replace"]);
    moved.code(0).says(&["warning: docker.io/library/shop:1.4 was ", &second, &first]);
    program.call(&["load", "-i", &archive]).code(0);
}
