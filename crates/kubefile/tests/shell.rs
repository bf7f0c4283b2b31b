//! A shell understands commands whose here-documents were written out.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail by panic, and this one asks a shell"
)]

use std::collections::BTreeMap;
use std::process::Command;

use kubefile::{ResolvedKind, ShellOrExec};

#[test]
fn here_documents_reach_the_shell() {
    assert_eq!(output("RUN <<EOF\necho one\necho \"$((1 + 1))\"\nEOF\n"), "one\n2\n");
    assert_eq!(
        output("RUN cat <<A && cat <<-'B' \\\n  && echo end\nx $((3 + 4))\nA\n\t\ty $z\n\tB\n"),
        "x 7\ny $z\nend\n"
    );
    assert_eq!(output("RUN cat 3<<\"C\" <&3\r\nraw $HOME\r\nC\r\n"), "raw $HOME\n");
    assert_eq!(output("RUN <<S\n#!/bin/sh -e\necho interpreted\nfalse\necho never\nS\n"), "interpreted\n");
    assert_eq!(output("RUN echo a \\\n# between\n  b\n"), "a b\n");
}

fn output(run: &str) -> String {
    let kubefile = kubefile::parse(&format!("FROM scratch\n{run}")).unwrap();
    let resolved = kubefile.expand(&BTreeMap::new(), &BTreeMap::new()).unwrap();
    let ResolvedKind::Run { command: ShellOrExec::Shell(text), .. } = &resolved.instructions[1].kind else {
        panic!("not a shell command: {run}")
    };
    String::from_utf8(Command::new("sh").arg("-c").arg(text).output().unwrap().stdout).unwrap()
}
