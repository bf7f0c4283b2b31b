//! The generated reference pages are those that the code generates now.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// Compares a page with what the code generates; `UPDATE=1` rewrites it.
fn check(page: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(page);
    #[expect(clippy::disallowed_methods, reason = "a test may be told to rewrite what it compares with")]
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, generated).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == generated, "docs/reference/{page} is stale: run `cargo xtask reference`");
}

#[test]
fn the_command_line_reference_is_fresh() {
    check("cli.md", &sealer::reference::commands());
}

#[test]
fn the_exit_code_reference_is_fresh() {
    check("exit-codes.md", &sealer::reference::exit_codes());
}
