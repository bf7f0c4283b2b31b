//! Ctrl-C ends a build at once and leaves no partial image.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Program;

#[test]
fn a_download_that_hangs_can_be_interrupted() {
    // A server that takes requests and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    for signal in [Signal::INT, Signal::TERM] {
        let program = Program::new();
        program.write("context/Kubefile", format!("FROM scratch\nCOPY manifests /\nCOPY {url} /\n"));
        let mut command = program.command(&["build", "-t", "a:1", "."]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Once it has asked the server, it is in the midst of the third instruction.
        let (_connection, _) = listener.accept().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let said: Vec<String> = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
        assert!(said.iter().any(|line| line == "error: interrupted; nothing was built"), "{said:#?}");
        assert_eq!(program.call(&["images", "-q"]).code(0).stdout, "");
        // What was finished is not done again.
        program.write("context/Kubefile", "FROM scratch\nCOPY manifests /\n");
        program.call(&["build", "-t", "a:1", "."]).code(0).says(&[" cached"]);
    }
}
