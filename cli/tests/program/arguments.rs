//! Answers to wrong arguments, to none, and to requests for help.

use crate::support::{Program, finish};

const COMMANDS: [&str; 29] = [
    "build",
    "images",
    "inspect",
    "history",
    "diff",
    "tag",
    "rmi",
    "save",
    "load",
    "manifest",
    "merge",
    "mount",
    "umount",
    "verify",
    "prune",
    "push",
    "pull",
    "search",
    "login",
    "logout",
    "run",
    "apply",
    "scale-up",
    "delete",
    "schema",
    "registry",
    "lvscare",
    "completion",
    "version",
];

#[test]
fn without_arguments_there_is_help() {
    let program = Program::new();
    let outcome = program.call(&[]);
    outcome.fails(2, &["Usage: sealer COMMAND", "Images:\n  build ", "Clusters:\n  run ", "sealer COMMAND --help"]);
    assert!(!outcome.stderr.starts_with("error"), "{}", outcome.stderr);
    // Also where no variable sets an option.
    assert_eq!(finish(program.command(&[]).env_remove("SEALER_ROOT")).stderr, outcome.stderr);
    let asked = program.call(&["--help"]);
    assert!(asked.code(0).stdout.contains("Images:\n  build ") && asked.stderr.is_empty());
    assert!(!asked.stdout.contains("\n  host "), "what runs on hosts is not for people");
}

#[test]
fn every_command_has_help_with_examples() {
    let program = Program::new();
    for command in COMMANDS {
        let arguments = match command {
            "registry" => vec![command, "serve", "-h"],
            "lvscare" => vec![command, "care", "-h"],
            "manifest" => vec![command, "add", "-h"],
            _ => vec![command, "-h"],
        };
        let outcome = program.call(&arguments);
        outcome.code(0);
        assert!(
            outcome.stdout.contains("Usage: sealer ") && outcome.stdout.contains("Examples:\n  sealer "),
            "{command}"
        );
        assert!(!outcome.stdout.contains(&program.text("")), "help does not depend on the environment: {command}");
    }
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let program = Program::new();
    let images = |arguments: &[&str]| {
        let mut command = program.command(&[&["images", "-q"], arguments].concat());
        for name in ["SEALER_ROOT", "SEALER_STATE", "XDG_DATA_HOME", "DOCKER_CONFIG", "DOCKER_HOST", "SSH_AUTH_SOCK"] {
            command.env(name, "");
        }
        finish(command.env("SEALER_NODE_IMAGE", "").env("SOURCE_DATE_EPOCH", "").env("SEALER_PASSWORD", ""))
    };
    let root = program.text("other");
    assert_eq!(images(&["--root", &root]).code(0).stdout, "");
    assert!(program.path("other").exists());
    // Not the place that is nowhere; where root keeps its images is not for tests.
    if !rustix::process::geteuid().is_root() {
        images(&[]).code(0);
        assert!(program.path("home/.local/share/sealer").exists());
    }
}

#[test]
fn misspelt_commands_and_flags_are_corrected() {
    let program = Program::new();
    program.call(&["biuld"]).fails(2, &["unrecognized subcommand 'biuld'", "'build'"]);
    for (given, tip) in [
        ("system", "tip: `sealer prune` frees what no image needs"),
        ("scale", "tip: `sealer scale-up` adds hosts, `sealer delete --nodes ADDRESS` takes them out"),
        ("export", "tip: `sealer push` and `sealer pull` move cluster images to and from registries"),
    ] {
        let outcome = program.call(&[given]);
        outcome.fails(2, &[tip]);
        assert!(!outcome.stderr.contains("similar"), "{}", outcome.stderr);
    }
    for stranger in ["frobnicate", "xyz", "ra"] {
        let outcome = program.call(&[stranger]);
        outcome.fails(2, &["unrecognized subcommand"]);
        assert!(!outcome.stderr.contains("tip:"), "{}", outcome.stderr);
    }
    program.call(&["lvscare", "staus"]).fails(2, &["'status'"]);
    program.call(&["run", "kube:1", "-m", "127.0.0.1", "--port", "0"]).fails(2, &["'0' for '--port <PORT>'"]);
    program.call(&["build", "--tagg", "x"]).fails(2, &["unexpected argument '--tagg'", "'--tag'"]);
    program.call(&["apply", "--dryrun"]).fails(2, &["'--dry-run'"]);
    program.call(&["images", "extra"]).fails(2, &["unexpected argument 'extra'"]);
    program.call(&["images", "-o", "yaml"]).fails(2, &["invalid value 'yaml'", "text, json"]);
    program.call(&["inspect"]).fails(2, &["<IMAGE>"]);
    program.call(&["registry"]).fails(2, &["serve"]);
}

#[test]
fn the_version_is_told_in_every_form() {
    let program = Program::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(program.call(&["version", "--short"]).code(0).stdout, format!("{version}\n"));
    assert!(program.call(&["version"]).code(0).stdout.starts_with(&format!("sealer {version} linux/")));
    assert_eq!(program.json(&["version", "-o", "json"])["version"], version);
}

#[test]
fn completion_knows_every_command() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish"] {
        let outcome = program.call(&["completion", shell]);
        for command in COMMANDS {
            assert!(outcome.code(0).stdout.contains(command), "{shell} does not complete `{command}`");
        }
    }
    program.call(&["completion", "tcsh"]).fails(2, &["possible values", "bash"]);
}

#[test]
fn old_names_of_flags_work() {
    let program = Program::new();
    program.call(&["build", "--imageName", "a:1", "--kubefile", "Kubefile", "."]).code(0);
    program.call(&["apply", "--file", "nowhere"]).fails(2, &["cannot read nowhere"]);
    program.call(&["apply", "--Clusterfile", "nowhere"]).fails(2, &["cannot read nowhere"]);
}

#[test]
fn without_a_home_the_place_of_states_must_be_said() {
    let program = Program::new();
    finish(program.command(&["images"]).env_remove("HOME")).fails(2, &["HOME is not set", "--state"]);
    let state = program.text("states");
    finish(program.command(&["images", "--state", &state]).env_remove("HOME")).code(0);
    // Who is not root keeps images in the home directory.
    if !rustix::process::geteuid().is_root() {
        finish(program.command(&["images"]).env_remove("SEALER_ROOT")).code(0);
        assert!(program.path("home/.local/share/sealer/content").is_dir());
    }
}
