//! `sealer registry serve` answers, shuts down cleanly, survives `kill -9`, and says why it cannot start.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sealer_core::content_store::Digest;

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

/// One request on a connection of its own: status and what follows it. An error means that the server is gone.
fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(std::io::ErrorKind::UnexpectedEof)?, answer))
}

/// Starts a registry; returns it and its address.
fn start(program: &Program, arguments: &[&str]) -> (Child, String) {
    let mut command = program.command(&[&["registry", "serve", "--listen", "127.0.0.1:0"], arguments].concat());
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    // What it says later must not stop it.
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    (child, line.trim().strip_prefix("serving on ").unwrap().to_owned())
}

/// Pushes images in pieces, moves tags and deletes what was pushed, until the server is gone.
fn push_and_delete(address: &str, seed: u32) -> std::io::Result<()> {
    for number in 0_u32.. {
        let layer: Vec<u8> = (0..50_000_u32).flat_map(|word| (word ^ seed ^ (number << 16)).to_le_bytes()).collect();
        let blobs = [layer, b"{}".to_vec()].map(|bytes| (Digest::of(&bytes), bytes));
        for (digest, bytes) in &blobs {
            let (_, started) = ask(address, "POST", "/v2/a/blobs/uploads/", b"")?;
            let location = started.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
            let (first, last) = bytes.split_at(bytes.len() / 2);
            ask(address, "PATCH", location, first)?;
            ask(address, "PUT", &format!("{location}?digest={digest}"), last)?;
        }
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": blobs[1].0, "size": 2 },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blobs[0].0, "size": 200_000 }],
        });
        let manifest = manifest.to_string();
        let reference = if number % 2 == 0 { format!("t{seed}") } else { Digest::of(manifest.as_bytes()).to_string() };
        ask(address, "PUT", &format!("/v2/a/manifests/{reference}"), manifest.as_bytes())?;
        if number % 3 == 2 {
            ask(address, "DELETE", &format!("/v2/a/manifests/{}", Digest::of(manifest.as_bytes())), b"")?;
        }
    }
    Ok(())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test without a runtime lets another process work for a while")]
fn a_registry_that_is_killed_leaves_nothing_dangling() {
    let program = Program::new();
    let config = program.write("registry.yaml", "push: true\ndelete: true\ncollectSeconds: 1\ncollectUntagged: true\n");
    let mut pushed = 0;
    for round in 0..8 {
        let (mut server, address) = start(&program, &["--config", &config]);
        let pushers: Vec<_> = (0..3)
            .map(|seed| {
                let address = address.clone();
                std::thread::spawn(move || push_and_delete(&address, seed))
            })
            .collect();
        let mut collector = program.command(&["registry", "gc", "--untagged"]).stderr(Stdio::null()).spawn().unwrap();
        // Any time is as good as another.
        let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        std::thread::sleep(std::time::Duration::from_millis(u64::from(100 + nanos / 1000 % 700)));
        kill_process(Pid::from_child(&server), Signal::KILL).unwrap();
        let _ = kill_process(Pid::from_child(&collector), Signal::KILL);
        server.wait().unwrap();
        collector.wait().unwrap();
        for pusher in pushers {
            assert!(pusher.join().unwrap().is_err(), "the server is gone");
        }
        let found = program.call(&["registry", "verify"]);
        assert_eq!(found.code, Some(0), "round {round}: {found:?}");
        assert!(found.stdout.contains("0 problems"), "{found:?}");
        pushed += found.stdout.split(' ').next().unwrap().parse::<u32>().unwrap();
    }
    assert!(pushed > 8, "nothing was pushed in any round");
    assert!(program.call(&["registry", "gc", "--untagged"]).code(0).stdout.contains("freed"));
    assert!(program.call(&["registry", "verify"]).code(0).stdout.contains("0 problems"));
}

#[test]
fn a_damaged_store_is_named() {
    let program = Program::new();
    let digest = program.build("shop:1.4");
    let path = program.path("root/content/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
    program.call(&["registry", "verify"]).code(0);
    std::fs::write(&path, "other").unwrap();
    program.call(&["registry", "verify"]).code(1).says(&["1 blob is damaged"]);
}

#[test]
fn a_service_manager_hears_and_the_access_log_is_json() {
    let program = Program::new();
    let socket = program.path("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let heard = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = program.command(&["registry", "serve", "--listen", "127.0.0.1:0", "--access-log"]);
    command.env("NOTIFY_SOCKET", &socket).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    assert_eq!(heard(), "READY=1");
    let mut line = String::new();
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("serving on ").unwrap();
    assert_eq!(ask(address, "GET", "/v2/a/tags/list?n=1", b"").unwrap().0, 404);
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let access: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&access["status"], &access["path"]), (&404.into(), &"/v2/a/tags/list?n=1".into()));
    assert_eq!(access["peer"], "127.0.0.1");
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn settings_are_checked_without_serving() {
    let program = Program::new();
    let good = program.write("good.yaml", "listen: 127.0.0.1:5000\nquota: 50000000000\n");
    let bad = program.write("bad.yaml", "listen: 127.0.0.1:5000\nqota: 1\n");
    let check = |arguments: &[&str]| program.call(&[&["registry", "serve", "--check"], arguments].concat());
    assert_eq!(check(&["--config", &good]).code(0).stdout, "the settings can be used\n");
    check(&["--config", &bad]).fails(2, &["the configuration is wrong", "qota"]);
    check(&["--config", &program.text("none.yaml")]).fails(1, &["none.yaml"]);
    check(&["--anonymous-pull"]).fails(2, &["htpasswd"]);
}
