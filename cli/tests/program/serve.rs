//! `sealer registry serve` answers, shuts down cleanly, and says why it cannot start.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Program;

#[test]
fn a_registry_serves_until_it_is_told_to_end() {
    let program = Program::new();
    let digest = program.build("shop:1.4");
    let mut command = program.command(&["registry", "serve", "--listen", "127.0.0.1:0"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("serving on ").unwrap().to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("HEAD /v2/library/shop/manifests/{digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&digest), "{answer}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_keeps_it_from_serving_is_named() {
    let program = Program::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let serve = |arguments: &[&str]| program.call(&[&["registry", "serve"], arguments].concat());
    serve(&["--listen", &address]).fails(1, &[&format!("cannot listen on {address}"), "hint: choose another port"]);
    serve(&["--listen", "here"]).fails(2, &["invalid value 'here'", "ADDRESS:PORT"]);
    serve(&["--cert", "x"]).fails(2, &["--key <FILE>"]);
    let none = program.text("none.pem");
    serve(&["--listen", "127.0.0.1:0", "--cert", &none, "--key", &none]).fails(1, &[&none]);
    let bad = program.write("bad.pem", "no certificate");
    serve(&["--listen", "127.0.0.1:0", "--cert", &bad, "--key", &bad]).code(1).says(&["hint: see `--cert`"]);
}
