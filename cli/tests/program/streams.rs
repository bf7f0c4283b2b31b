//! What each stream carries, and what happens when one is closed or full.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::support::{Program, finish};

#[test]
fn results_and_progress_are_apart() {
    let program = Program::new();
    let built = program.call(&["build", "-t", "shop:1.4", "."]);
    assert_eq!(built.stdout.lines().count(), 1);
    assert!(!built.stderr.contains("sha256:"), "{}", built.stderr);
    for arguments in [&["images"][..], &["inspect", "shop:1.4"], &["version"], &["completion", "bash"]] {
        let outcome = program.call(arguments);
        assert!(outcome.code(0).stderr.is_empty() && !outcome.stdout.is_empty(), "{outcome:?}");
    }
}

#[test]
fn who_closes_standard_output_is_not_told_off() {
    let program = Program::new();
    program.build("shop:1.4");
    for arguments in
        [&["images"][..], &["inspect", "shop:1.4"], &["completion", "bash"], &["--help"], &["build", "-t", "a:1", "."]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let outcome = finish(program.command(arguments).stdout(writer).stderr(Stdio::piped()));
        outcome.code(0);
        assert!(!outcome.stderr.contains("error"), "{}", outcome.stderr);
    }
}

#[test]
fn a_full_standard_output_is_a_failure() {
    let program = Program::new();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let outcome = finish(program.command(&["images"]).stdout(full));
    outcome.fails(1, &["cannot write standard output", "hint: free some space"]);
}

#[test]
fn a_closed_standard_error_stops_nothing() {
    let program = Program::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let outcome = finish(program.command(&["build", "-t", "shop:1.4", "."]).stderr(writer));
    assert!(outcome.code(0).stdout.starts_with("shop:1.4  sha256:"));
}

#[test]
fn colour_is_only_for_those_who_want_it() {
    let program = Program::new();
    program.write("context/Kubefile", "FRM scratch\n");
    let call = |variables: &[(&str, &str)]| {
        finish(program.command(&["build", "--dry-run", "."]).envs(variables.iter().copied())).stderr
    };
    let plain = call(&[]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    assert!(call(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert_eq!(call(&[("NO_COLOR", "1"), ("TERM", "xterm-256color")]), plain);
    assert!(plain.contains("^^^ did you mean `FROM`?"), "meaning is never in colour alone: {plain}");
}

#[test]
fn verbose_shows_no_more_results() {
    let program = Program::new();
    let quiet = program.build("shop:1.4");
    let verbose = program.call(&["build", "-v", "-t", "shop:1.4", "."]);
    assert!(verbose.code(0).stdout.contains(&quiet));
}
