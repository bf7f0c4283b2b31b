//! `sealer build`: results, dry runs, and errors with their place in the file.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Program, finish, stable};

#[test]
fn what_docker_keeps_is_read_when_a_registry_asks_for_a_login() {
    use std::io::{Read, Write};
    let program = Program::new();
    program.write("home/.docker/config.json", "{ not JSON");
    program.build("shop:1.4");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    program.write("context/manifests/imageList", format!("{}/a:1\n", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let answer =
                "401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\nConnection: close";
            let _ = connection.read(&mut [0; 4096]);
            let _ = write!(connection, "HTTP/1.1 {answer}\r\n\r\n");
        }
    });
    let build = || program.call(&["build", "-q", "-t", "shop:1.5", "."]);
    build().fails(1, &[&program.text("home/.docker/config.json"), "line 1, column 3"]);
    for text in ["", "\u{feff}{}"] {
        program.write("home/.docker/config.json", text);
        let outcome = build();
        outcome.code(1);
        assert!(!outcome.stderr.contains("config.json"), "{}", outcome.stderr);
    }
}

#[test]
fn a_build_prints_one_line_per_instruction_and_one_result() {
    let program = Program::new();
    let outcome = program.call(&["build", "-t", "shop:1.4", "."]);
    outcome.code(0);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(lines[0], "[1/4] FROM  scratch");
    assert!(lines[1].starts_with("[2/4] COPY  manifests manifests ") && lines[1].contains(" 1 file, "), "{}", lines[1]);
    assert!(lines[2].starts_with("[3/4] LABEL team=shop ") && lines[2].ends_with(" recorded"), "{}", lines[2]);
    assert!(lines[1].ends_with('s') && lines.iter().all(|line| line.chars().count() <= 100));
    let words: Vec<&str> = outcome.stdout.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("shop:1.4", "linux/amd64"));
    assert!(words[1].starts_with("sha256:") && words[1].len() == 71 && outcome.stdout.ends_with(" new)\n"));

    let again = program.call(&["build", "-t", "shop:1.4", "."]);
    assert!(again.code(0).stderr.lines().nth(1).unwrap().ends_with(" cached"), "{}", again.stderr);
}

#[test]
fn quiet_prints_the_digest_and_nothing_else() {
    let program = Program::new();
    let outcome = program.call(&["build", "--quiet", "--tag", "shop:1.4", "."]);
    outcome.code(0);
    assert_eq!(outcome.stderr, "");
    assert!(outcome.stdout.starts_with("sha256:") && outcome.stdout.len() == 72, "{}", outcome.stdout);
}

#[test]
fn a_dry_run_touches_no_store() {
    let program = Program::new();
    let outcome = program.call(&["build", "--dry-run", "."]);
    outcome.code(0).says(&["nothing was built"]);
    assert_eq!(
        outcome.stdout,
        "(no name)  linux/amd64  zstd\n  \
         [1/4] line 1    FROM   -         scratch\n  \
         [2/4] line 2    COPY   layer     manifests -> manifests\n  \
         [3/4] line 3    LABEL  recorded  team=shop\n  \
         [4/4] line 4    CMD    recorded  kubectl apply -f manifests\n"
    );
    let plan = program.json(&["build", "--dry-run", "-t", "a:1", "-o", "json", "."]);
    assert_eq!((&plan["tag"], &plan["compression"]), (&json!("a:1"), &json!("zstd")));
    let step = json!({ "line": 2, "keyword": "COPY", "arguments": "manifests -> manifests", "effect": "layer" });
    assert_eq!(plan["steps"][1], step);
    assert!(!program.path("root").exists());
}

#[test]
fn all_errors_of_a_kubefile_are_shown_in_their_lines() {
    let program = Program::new();
    program
        .write("context/Kubefile", "FROM scratch\n# a comment\n\nCOPPY manifests manifests\nRUN ls\n\nCOPY charts\n");
    let expected = "error: unknown instruction `COPPY`
 --> ./Kubefile:4:1
  |
4 | COPPY manifests manifests
  | ^^^^^ did you mean `COPY`?
error: COPY needs a source and a destination
 --> ./Kubefile:7:12
  |
7 | COPY charts
  |            ^ expected a destination here
2 errors; nothing was built
";
    for arguments in [&["build", "--dry-run", "."][..], &["build", "-t", "shop:1.4", "."]] {
        let outcome = program.call(arguments);
        outcome.fails(2, &[]);
        assert_eq!(outcome.stderr, expected);
    }
    assert!(!program.path("root").exists());

    let outcome = program.call(&["build", "--dry-run", "-o", "json", "."]);
    outcome.code(2);
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    let first = json!({
        "file": "./Kubefile", "line": 4, "column": 1, "message": "unknown instruction `COPPY`", "suggestion": "COPY"
    });
    assert_eq!((&error["error"]["errors"][0], &error["error"]["code"]), (&first, &json!(2)));
}

#[test]
fn errors_that_show_with_values_have_places_too() {
    let program = Program::new();
    program.write("context/Kubefile", "FROM scratch\nARG SOURCE\nCOPY ${SOURCE:?name a directory} /x\n");
    for arguments in [&["build", "--dry-run", "."][..], &["build", "-t", "shop:1.4", "."]] {
        program.call(arguments).fails(2, &["./Kubefile:3:6", "--build-arg SOURCE=VALUE", "1 error; nothing was built"]);
    }
    let built = program.call(&["build", "-t", "shop:1.4", "--build-arg", "SOURCE=manifests", "."]);
    built.code(0);
}

#[test]
fn a_kubefile_may_come_from_elsewhere() {
    let program = Program::new();
    let file = program.write("elsewhere/Other", "FROM scratch\nCOPY manifests /\n");
    program.call(&["build", "-t", "a:1", "-f", &file, "."]).code(0);
    program.call(&["build", "-t", "a:1", "--kubefile", &file, "."]).code(0);
    let mut command = program.command(&["build", "-q", "-t", "a:2", "-f", "-", "."]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"FROM scratch\nCOPY manifests /\n").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn what_is_missing_is_named_with_the_next_step() {
    let program = Program::new();
    program.call(&["build", "-t", "a:1", "nowhere"]).fails(2, &["build context nowhere is not a directory", "hint:"]);
    program.call(&["build", "-t", "a:1", "-f", "Nothing", "."]).fails(2, &["cannot read Nothing"]);
    program.call(&["build", "-t", "a:1", "manifests"]).fails(2, &["manifests/Kubefile", "hint: `-f` names"]);
    program.call(&["build", "."]).fails(2, &["--tag <NAME>"]);

    program.write("context/Kubefile", "FROM scratch\nCOPY manifest /\n");
    let missing = program.call(&["build", "-t", "a:1", "."]);
    missing.fails(1, &["line 2: there is no manifest in the build context", "did you mean manifests?"]);
    assert!(!missing.stderr.contains("hint:"), "{}", missing.stderr);

    program.write("context/Kubefile", "FROM 127.0.0.1:1/nobody:1\nCOPY manifests /\n");
    let unknown = program.call(&["build", "-t", "a:1", "."]);
    unknown.fails(1, &["cluster image 127.0.0.1:1/nobody:1 is not in the store", "cannot reach 127.0.0.1:1", "hint:"]);
    let never = program.call(&["build", "-t", "a:1", "--pull=never", "."]);
    never.fails(1, &["cluster image 127.0.0.1:1/nobody:1 is not in the store", "sealer build -t 127.0.0.1:1/nobody:1"]);
    assert!(!never.stderr.contains("hint:"), "{}", never.stderr);

    let images = program.json(&["images", "-o", "json"]);
    assert_eq!(images, json!([]), "nothing half built is named");
}

#[test]
fn build_arguments_and_labels_reach_the_image() {
    let program = Program::new();
    program.write("context/Kubefile", "ARG TAG=1\nFROM scratch\nARG WHO=world\nLABEL who=${WHO}\nCMD echo ${WHO}\n");
    let arguments =
        ["build", "-t", "a:1", "--build-arg", "WHO=me", "--build-arg", "WHOO=x", "--label", "team=x=y", "."];
    let built = program.call(&arguments);
    built.code(0).says(&["warning: ", "WHOO"]);
    let inspection = program.json(&["inspect", "a:1", "-o", "json"]);
    assert_eq!(inspection["labels"]["who"], "me");
    assert_eq!(inspection["labels"]["team"], "x=y");
    program.call(&["build", "-t", "a:1", "--build-arg", "WHO", "."]).fails(2, &["--build-arg WHO: expected KEY=VALUE"]);
    program.call(&["build", "-t", "a:1", "--label", "=x", "."]).fails(2, &["--label =x: expected KEY=VALUE"]);
    program.call(&["build", "-t", "A:1", "."]).fails(2, &["`A:1` is not an image name", "hint: a name looks like"]);
}

#[test]
fn layers_are_compressed_as_asked() {
    let program = Program::new();
    let mut types = Vec::new();
    for compression in ["zstd", "gzip", "none"] {
        program.call(&["build", "-q", "-t", compression, "--compression", compression, "."]).code(0);
        let inspection = program.json(&["inspect", compression, "-o", "json"]);
        types.push(inspection["layers"][0]["media_type"].as_str().unwrap().to_owned());
    }
    let tar = "application/vnd.oci.image.layer.v1.tar";
    assert_eq!(types, [format!("{tar}+zstd"), format!("{tar}+gzip"), tar.to_owned()]);
    program.call(&["build", "-t", "a:1", "--compression", "xz", "."]).fails(2, &["possible values: zstd, gzip, none"]);
    program.call(&["build", "-t", "a:1", "--platform", "amiga", "."]).fails(2, &["--platform"]);
}

#[test]
fn the_same_inputs_give_the_same_digest() {
    let [first, second] = [Program::new(), Program::new()];
    assert_eq!(first.build("shop:1.4"), second.build("shop:1.4"));
    let at = |program: &Program, epoch: &str| {
        let mut command = program.command(&["build", "-q", "-t", "shop:1.4", "."]);
        finish(command.env("SOURCE_DATE_EPOCH", epoch))
    };
    let dated = at(&first, "1700000000");
    assert_eq!(dated.code(0).stdout, at(&second, "1700000000").stdout);
    assert_ne!(dated.stdout, at(&second, "1700000001").stdout);
    at(&first, "yesterday").fails(2, &["SOURCE_DATE_EPOCH is `yesterday`"]);
}

#[test]
fn carried_images_that_cannot_be_had_fail_the_build() {
    let program = Program::new();
    // Nobody listens on port 1 of this machine.
    let list = program.write("list", "127.0.0.1:1/team/app:1\n127.0.0.1:1/team/db:2\n");
    let outcome = program.call(&["build", "-t", "a:1", "--image-list", &list, "."]);
    outcome.fails(1, &["2 of the container images", "team/app:1", "team/db:2", "--registry-mirror"]);
    let bad = program.write("bad", "fine:1\nNot A Name\n");
    let outcome = program.call(&["build", "-t", "a:1", "--image-list", &bad, "."]);
    outcome.fails(1, &[":2: `Not A Name` is not an image name"]);
    program.call(&["build", "-t", "a:1", "--registry-mirror", "x", "."]).fails(2, &["expected HOST=URL"]);
}

#[test]
fn proxies_come_from_the_environment() {
    let program = Program::new();
    let list = program.write("list", "registry.invalid/app:1\n");
    let mut command = program.command(&["build", "-t", "a:1", "--image-list", &list, "."]);
    // Without the proxy the name would have to be resolved.
    let outcome = finish(command.env("HTTPS_PROXY", "127.0.0.1:1"));
    outcome.fails(1, &["registry.invalid"]);
    assert!(outcome.stderr.contains("proxy") || outcome.stderr.contains("refused"), "{}", outcome.stderr);
    let mut command = program.command(&["build", "-t", "a:1", "--image-list", &list, "."]);
    finish(command.env("https_proxy", "::")).fails(1, &["https_proxy"]);
}

#[test]
fn events_are_json_lines_on_standard_error() {
    let program = Program::new();
    let outcome = program.call(&["build", "-t", "shop:1.4", "-o", "json", "."]);
    outcome.code(0);
    let events: Vec<Value> = outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["kind"], "build");
    assert_eq!(events[0]["build"]["event"], "step");
    let built: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(built["reference"], "docker.io/library/shop:1.4");
}

#[test]
fn an_unreadable_store_is_named() {
    let program = Program::new();
    program.write("root", "not a directory");
    let outcome = program.call(&["build", "-t", "a:1", "."]);
    outcome.code(1);
    assert!(stable(&outcome.stderr, &program).contains("DIR/root"), "{}", outcome.stderr);
}

#[test]
fn several_pairs_in_one_argument_are_told_apart_by_their_names() {
    let program = Program::new();
    program
        .write("context/Kubefile", "FROM scratch\nARG MY_ARG PASSWORD HOSTS\nLABEL got=\"$MY_ARG $PASSWORD $HOSTS\"\n");
    let both = ["build", "-t", "a:1", "--build-arg", "MY_ARG=abc,PASSWORD=x", "--build-arg", "HOSTS=a,b", "."];
    program.call(&both).code(0);
    let inspection = program.json(&["inspect", "a:1", "-o", "json"]);
    assert_eq!(inspection["labels"]["got"], "abc x a,b");
    let labels = ["build", "-t", "a:1", "--label", "team=shop,tier=1,2", "--annotation", "a.b/c=d,e=f", "."];
    program.call(&labels).code(0);
    let inspection = program.json(&["inspect", "a:1", "-o", "json"]);
    assert_eq!((&inspection["labels"]["team"], &inspection["labels"]["tier"]), (&json!("shop"), &json!("1,2")));
    let manifest = std::fs::read_to_string(program.blob(inspection["manifest"].as_str().unwrap())).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!((&manifest["annotations"]["a.b/c"], &manifest["annotations"]["e"]), (&json!("d"), &json!("f")));
}

#[test]
fn flags_of_old_versions_are_taken_or_refused_with_what_to_use() {
    let program = Program::new();
    for fine in [&["--mode", "lite"][..], &["-m", "lite"], &["--base"], &["--base=true"], &["--buildType", "lite"]] {
        program.call(&[&["build", "-q", "-t", "a:1"], fine, &["."]].concat()).code(0);
    }
    let mut elsewhere = program.command(&["build", "-q", "-t", "a:2", "--context", &program.text("context")]);
    finish(elsewhere.current_dir(program.path("home"))).code(0);
    let wrong = |flags: &[&str], says: &[&str]| {
        program.call(&[&["build", "-t", "a:3"], flags, &["."]].concat()).fails(2, says);
    };
    wrong(&["--mode", "cloud"], &["--mode cloud: images are built on this machine", "manifests/imageList"]);
    wrong(&["-b", "local"], &["--buildType local: images are built on this machine"]);
    wrong(&["--mode", "fast"], &["--mode fast: expected lite"]);
    wrong(&["--base=false"], &["FROM scratch"]);
    wrong(&["-c", "elsewhere"], &["cannot be used with"]);
    wrong(&["--type", "kube-installer"], &["the image is no kube-installer", "bin/kubeadm"]);
    wrong(&["--type", "iso"], &["kube-installer, app-installer"]);
    wrong(&["--build-mode", "half"], &["all, lite"]);
    program.call(&["build", "-q", "-t", "a:3", "--type", "app-installer", "--build-mode", "lite", "."]).code(0);
}
