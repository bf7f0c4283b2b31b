//! `apply --check` over the files and lines of `tests/suite/check`: each works, or is refused for the reason beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::support::Program;

/// A cluster that is right, for documents beside it.
const CLUSTER: &str = "kind: Cluster\napiVersion: sealer.io/v2\nmetadata: {name: c}\nspec: {image: k:1, hosts: [{ips: [10.0.0.1], roles: [master]}]}\n";

fn suite(ending: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/suite/check");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    paths.map(|path| (path.file_stem().unwrap().display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

/// Why a file is not as it is said to be; `reason` is empty for one that works.
fn problem(program: &Program, text: &str, reason: &str) -> Option<String> {
    let file = program.write("Clusterfile", text);
    let outcome = program.call(&["apply", "-f", &file, "--check"]);
    let as_said = match reason {
        "" => outcome.code == Some(0) && outcome.stdout.contains("nothing is wrong"),
        reason => outcome.code != Some(0) && outcome.stdout.is_empty() && outcome.stderr.contains(reason),
    };
    (!as_said).then(|| format!("expected `{reason}`, got {:?}\n{}\n{text}", outcome.code, outcome.stderr))
}

/// The shapes of upstream's own Clusterfiles, of both generations. The first line of each says how it ends.
#[test]
fn clusterfiles_of_upstream_work_or_are_refused_with_the_reason() {
    let program = Program::new();
    let files = suite("yaml");
    let problems = files.iter().filter_map(|(name, text)| {
        let (said, _) = text.split_once('\n').unwrap();
        let reason = if said == "# works" { "" } else { said.split_once(": ").unwrap().1 };
        Some(format!("{name}: {}", problem(&program, text, reason)?))
    });
    let problems: Vec<String> = problems.collect();
    assert!(problems.is_empty() && files.len() >= 45, "{}", problems.join("\n"));
    assert!(!program.path("root").exists() && !program.path("home/.sealer").exists(), "nothing is made");
}

/// Specs of each kind, a line each: alone it works, before `# refused: ` it is refused for that reason.
#[test]
fn documents_of_every_kind_work_or_are_refused_with_the_reason() {
    let program = Program::new();
    let mut problems = Vec::new();
    for (kind, lines) in suite("lines") {
        let mut counts = [0, 0];
        for line in lines.lines() {
            let (spec, reason) = line.split_once(" # refused: ").unwrap_or((line, ""));
            counts[usize::from(!reason.is_empty())] += 1;
            let version = if kind == "Cluster" { "v2" } else { "v1" };
            let document =
                format!("kind: {kind}\napiVersion: sealer.io/{version}\nmetadata: {{name: c}}\nspec: {spec}\n");
            let text = match kind.as_str() {
                "Cluster" => document,
                "kubeadm" => format!("{CLUSTER}---\n{spec}\n"),
                _ => format!("{CLUSTER}---\n{document}"),
            };
            problems.extend(problem(&program, &text, reason));
        }
        assert!(counts.iter().sum::<usize>() >= 20 && counts.iter().all(|count| *count >= 8), "{kind}: {counts:?}");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_thousand_documents_are_checked_at_once() {
    let program = Program::new();
    let config = |number| {
        format!(
            "---\nkind: Config\napiVersion: sealer.io/v1\nmetadata: {{name: c{number}}}\nspec: {{path: etc/{number}, data: x}}\n"
        )
    };
    let file = program.write("many", format!("{CLUSTER}{}", (1..1000).map(config).collect::<String>()));
    let start = Instant::now();
    let checked = program.call(&["apply", "-f", &file, "--check"]);
    println!("1000 documents were checked in {:?}", start.elapsed());
    assert!(checked.code(0).stdout.ends_with("cluster c, 1000 documents, nothing is wrong\n"), "{}", checked.stdout);
    assert_eq!(program.json(&["apply", "-f", &file, "--check", "-o", "json"])["documents"], 1000);
}
