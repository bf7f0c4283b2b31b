//! The fields of every JSON result are those that are documented. They may grow, but none goes away.

use serde_json::Value;

use crate::support::Program;

/// The names of all fields, with those of what they contain; of lists the first entry.
fn fields(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entry = |(name, value): (&String, &Value)| match fields(value).as_str() {
                "" => name.clone(),
                inner => format!("{name}{inner}"),
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
        Value::Array(entries) => match entries.first().map(fields) {
            Some(first) if !first.is_empty() => format!("[{first}]"),
            _ => "[]".to_owned(),
        },
        _ => String::new(),
    }
}

#[test]
fn the_fields_of_results_are_these() {
    let program = Program::with_kubernetes();
    let archive = program.text("shop.tar");
    let cases: [(&[&str], &str); 13] = [
        (
            &["build", "-t", "shop:1.4", "."],
            "{reference digest platform{os architecture} platforms[{os architecture}] size newBytes carriedImages}",
        ),
        (
            &["build", "--dry-run", "."],
            "{tag platform{os architecture} platforms[{os architecture}] compression \
             steps[{line keyword arguments effect}] warnings[]}",
        ),
        (&["images"], "[{name familiar otherNames[] digest platforms[{os architecture}] created size carriedImages}]"),
        (
            &["inspect", "shop:1.4"],
            "{name names[] digest manifest platform{os architecture} platforms[{os architecture}] \
             absentPlatforms[] created sealerVersion labels{io.sealer.version team} env[] layers[{digest size media_type diff_id created_by}] \
             images[] applications[] launch[] arguments{} sizes{total rootfs carried own shared sharedWith}}",
        ),
        (&["inspect", "-c", "shop:1.4"], "{clusterfile}"),
        (&["tag", "shop:1.4", "b:2"], "{source target}"),
        (&["save", "-o", &archive, "shop:1.4"], "{file images[] bytes}"),
        (&["load", "-i", &archive], "{file images[]}"),
        (
            &["manifest", "create", "c:3", "b:2"],
            "{name digest manifests[{digest mediaType size platform{os architecture}}]}",
        ),
        (&["manifest", "delete", "c:3"], "{names[] freedBlobs freedBytes}"),
        (&["rmi", "b:2"], "{names[] freedBlobs freedBytes}"),
        (
            &["run", "kube:1", "--provider", "CONTAINER", "-m", "1", "--dry-run"],
            "{provider[] plan{cluster summary hosts[] steps[]} findings[] given_back[] unreachable{}}",
        ),
        (&["version"], "{version os arch}"),
    ];
    for (arguments, expected) in cases {
        let value = program.json(&[&["--json"], arguments].concat());
        assert_eq!(fields(&value), expected, "fields of the result of `sealer {}`", arguments.join(" "));
    }
}

#[test]
fn the_fields_of_failures_are_these() {
    let program = Program::new();
    let outcome = program.call(&["--json", "inspect", "nobody:1"]);
    let error: Value = serde_json::from_str(&outcome.code(1).stderr).unwrap();
    assert_eq!(fields(&error), "{error{message code hint}}");
    assert_eq!(error["error"]["code"], 1);
    let outcome = program.call(&["--json", "images", "--root", "/dev/null/x"]);
    let error: Value = serde_json::from_str(&outcome.code(1).stderr).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("/dev/null/x"), "{error}");
}
