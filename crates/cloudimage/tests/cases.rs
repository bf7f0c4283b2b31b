//! Every case of `tests/suite/build` gives what is recorded.
//!
//! A case is a text file of sections `=== name`; `=== expect` is the last one, and `UPDATE=1` rewrites it.
//! `context` makes files, one a line: `PATH [MODE]: CONTENT` (`\n` is a line end) or `PATH -> TARGET`. `base` is a Kubefile
//! that is built as `base:1` first; `arguments` are build arguments, `NAME=VALUE` a line; `kubefile` is what is built.
//! Expected is the plan of a dry run, then the error, or the image: its rootfs, what it records, and what it launches.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use bench::Bench;
use cloudimage::{Compression, Image, plan_build, unpack};

#[tokio::test]
async fn builds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/suite/build");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10);
    let mut wrong = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once("=== expect\n").unwrap_or((&text, ""));
        let found = show(&sections(input)).await;
        if found != expected && is_updating() {
            fs::write(&path, format!("{}\n\n=== expect\n{found}", input.trim_end())).unwrap();
        } else if found != expected {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment to rewrite what they expect")]
fn is_updating() -> bool {
    std::env::var("UPDATE").is_ok_and(|value| value == "1")
}

fn sections(text: &str) -> BTreeMap<String, String> {
    let sections = text.split("=== ").filter_map(|section| section.split_once('\n'));
    sections.map(|(name, body)| (name.trim().to_owned(), body.trim_end().to_owned() + "\n")).collect()
}

async fn show(case: &BTreeMap<String, String>) -> String {
    let bench = Bench::new();
    fill(&bench, case.get("context").map_or("", String::as_str));
    let arguments = case.get("arguments").map_or("", String::as_str).lines().filter_map(|line| line.split_once('='));
    let build_args = arguments.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let options = bench.options_with(|options| {
        options.build_args = build_args;
        options.compression = Compression::None;
    });
    if let Some(base) = case.get("base") {
        let mut options = options.clone();
        options.tag = Some("base:1".to_owned());
        bench.build_with(base, &options).await.unwrap();
    }
    let mut shown = String::new();
    let kubefile = match kubefile::parse(&case["kubefile"]) {
        Ok(kubefile) => kubefile,
        Err(errors) => return errors.iter().fold(shown, |shown, error| format!("{shown}error: {error}\n")),
    };
    match plan_build(&kubefile, &options) {
        Ok(plan) => write!(shown, "{plan}").unwrap(),
        Err(error) => writeln!(shown, "plan: {error}").unwrap(),
    }
    match bench.build_with(&case["kubefile"], &options).await {
        Ok(_) => shown += &image(&bench, &bench.images().get("shop:1.4").unwrap()),
        Err(error) => {
            let message =
                error.to_string().replace(&bench.context().canonicalize().unwrap().display().to_string(), "CONTEXT");
            write!(shown, "\nerror: {message}\n").unwrap();
        }
    }
    shown.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn fill(bench: &Bench, context: &str) {
    for line in context.lines().filter(|line| !line.is_empty()) {
        if let Some((path, target)) = line.split_once(" -> ") {
            let path = bench.context().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
            continue;
        }
        let (path, content) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let (path, mode) = path.split_once(' ').unwrap_or((path, "0644"));
        bench.write(path, &content.replace("\\n", "\n"));
        let permissions = fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
        fs::set_permissions(bench.context().join(path), permissions).unwrap();
    }
}

fn image(bench: &Bench, image: &Image) -> String {
    let rootfs = bench.path("rootfs");
    unpack(bench.images().content(), image.layers(), &rootfs, &mut |_| {}).unwrap();
    let mut shown = "\nrootfs\n".to_owned();
    list(&mut shown, &rootfs, &rootfs);
    let mut section = |name: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            write!(shown, "\n{name}\n{}\n", lines.join("\n")).unwrap();
        }
    };
    section("layers", image.layers().iter().map(|layer| layer.created_by.clone()).collect());
    let config = image.config().unwrap();
    section("env", config.config.env.clone().unwrap_or_default());
    let labels = image.labels().iter().filter(|(key, _)| *key != "io.sealer.version");
    section("labels", labels.map(|(key, value)| format!("{key}={value}")).collect());
    section("author", config.author.iter().cloned().collect());
    section("launch", image.launch_commands(&BTreeMap::new()));
    section(
        "carried",
        image.catalogue().images.iter().map(|image| format!("{} from {}", image.reference, image.source)).collect(),
    );
    shown
}

/// Owners are kept only where tests run as root: they are shown from the layers' point of view elsewhere.
fn list(shown: &mut String, root: &Path, directory: &Path) {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().display();
        let mode = metadata.mode() & 0o7777;
        if metadata.is_dir() {
            writeln!(shown, "{mode:04o} {name}/").unwrap();
            list(shown, root, &path);
        } else if metadata.is_symlink() {
            writeln!(shown, "link {name} -> {}", fs::read_link(&path).unwrap().display()).unwrap();
        } else {
            let text = fs::read_to_string(&path).unwrap().replace('\n', "\\n");
            writeln!(shown, "{mode:04o} {name}: {text}").unwrap();
        }
    }
}
