//! Files made to exhaust memory, stack or time end in an error.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

use std::fmt::Write as _;

use clusterfile::{ErrorKind, MAX_BYTES, parse};

fn kinds(text: &str) -> Vec<ErrorKind> {
    parse(text).unwrap_err().iter().map(|error| error.kind.clone()).collect()
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_not_even_looked_at() {
    assert_eq!(kinds(&"#".repeat(MAX_BYTES + 1)), [ErrorKind::TooLarge { limit: MAX_BYTES }]);
    assert_eq!(kinds(&"#".repeat(MAX_BYTES)), [ErrorKind::NoCluster]);
}

#[test]
fn no_more_than_a_hundred_errors_are_listed() {
    let found = kinds(&"a: 1\n".repeat(20_000));
    assert_eq!((found.len(), found.last()), (101, Some(&ErrorKind::TooManyErrors { limit: 100 })));
}

#[test]
fn nesting_is_bounded() {
    for piece in ["[", "{a: ", "- ", "? ", "a:\n"] {
        let mut text = String::new();
        for depth in 0..1000 {
            if piece.ends_with('\n') {
                text.push_str(&" ".repeat(depth));
            }
            text.push_str(piece);
        }
        assert!(matches!(kinds(&text)[..], [ErrorKind::Syntax(_), ..]), "{piece}");
    }
    assert!(!kinds(&"[".repeat(MAX_BYTES)).is_empty());
    assert!(!kinds(&"- ".repeat(MAX_BYTES / 2)).is_empty());
}

#[test]
fn aliases_cannot_multiply() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert!(kinds(&bomb).iter().any(|kind| matches!(kind, ErrorKind::TooComplex(_))));

    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(MAX_BYTES / 2), "*a, ".repeat(100_000));
    assert!(kinds(&long).iter().any(|kind| matches!(kind, ErrorKind::TooComplex(_))));
    assert!(kinds("a: &a [*a]\n").contains(&ErrorKind::AliasInsideItself));
}

#[test]
fn many_values_are_bounded_but_the_largest_cluster_fits() {
    assert!(
        kinds(&"[],".repeat(200_000).replacen("[]", "[[]", 1))
            .iter()
            .any(|kind| matches!(kind, ErrorKind::TooComplex(_)))
    );
    let mut keys = String::new();
    for index in 0..60_000 {
        writeln!(keys, "k{index}: ").unwrap();
    }
    assert!(!kinds(&keys).is_empty());

    let mut large = String::from(
        "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: c}\nspec:\n  image: k\n  hosts:\n  - {ips: [10.0.0.1], roles: [master]}\n",
    );
    for index in 0..4999 {
        let (c, d) = (index / 250, index % 250);
        writeln!(large, "  - {{ips: [10.1.{c}.{d}], roles: [node], labels: {{a: b}}, ssh: {{port: 23}}}}").unwrap();
    }
    let file = parse(&large).unwrap();
    assert_eq!(file.cluster.nodes().count(), 4999);
    assert_eq!(parse(&file.to_yaml()), Ok(file));
    large.push_str("  - {ips: [10.2.0.1], roles: [node]}\n");
    assert_eq!(kinds(&large), [ErrorKind::TooManyHosts]);
}
