//! A list of container images with logins: used for its images alone, and nowhere in the image.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use sealer_core::content_store::Digest;
use serde_json::json;

use crate::support::Program;

/// What opens the registry: `me:hunter2secret`.
const AUTHORIZATION: &str = "basic bwu6ahvudgvymnnly3jlda==";
const PASSWORD: &str = "hunter2secret";

/// Answers like a registry with one image, `team/app:1`, to whoever has the login.
fn serve(mut connection: TcpStream, manifest: &str, config: &str) -> std::io::Result<()> {
    let mut input = BufReader::new(connection.try_clone()?);
    loop {
        let (mut request, mut authorization, mut line) = (String::new(), String::new(), String::new());
        if input.read_line(&mut request)? == 0 {
            return Ok(());
        }
        while input.read_line(&mut line)? > 2 {
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("authorization:") {
                value.trim().clone_into(&mut authorization);
            }
            line.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (status, kind, body) = match path {
            _ if authorization != AUTHORIZATION => ("401 Unauthorized", "text/plain", ""),
            "/v2/" => ("200 OK", "text/plain", ""),
            _ if path.starts_with("/v2/team/app/manifests/") => {
                ("200 OK", "application/vnd.oci.image.manifest.v1+json", manifest)
            }
            _ if path.starts_with("/v2/team/app/blobs/") => ("200 OK", "application/octet-stream", config),
            _ => ("404 Not Found", "text/plain", ""),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        let body = if request.starts_with("HEAD") { "" } else { body };
        connection.write_all(format!("{head}{body}").as_bytes())?;
    }
}

/// Starts it and gives its host.
fn registry() -> String {
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] } }).to_string();
    let descriptor = json!({
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": Digest::of(config.as_bytes()).to_string(),
        "size": config.len(),
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": descriptor, "layers": [],
    });
    let manifest = manifest.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (manifest, config) = (manifest.clone(), config.clone());
            std::thread::spawn(move || serve(connection, &manifest, &config));
        }
    });
    host
}

/// Whether any file below holds the password.
fn leaks(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            return leaks(&path);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let encoded = "bWU6aHVudGVyMnNlY3JldA";
        [PASSWORD, encoded].iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    })
}

#[test]
fn images_of_a_list_are_fetched_with_its_logins_which_stay_outside() {
    let program = Program::new();
    let host = registry();
    let list = format!("- registry: {host}\n  username: me\n  password: {PASSWORD}\n  images:\n  - team/app:1\n");
    let list = program.write("context/logins.yaml", list);
    program.write("context/Kubefile", "FROM scratch\nCOPY . all/\n");
    let build = ["build", "-t", "shop:1.4", "--compression", "none", "--image-list-with-auth", &list, "."];
    let built = program.call(&build);
    built.code(0);
    let inspection = program.json(&["inspect", "shop:1.4", "-o", "json"]);
    assert_eq!(inspection["images"][0]["reference"], format!("{host}/team/app:1"));
    assert!(!leaks(&program.path("root")) && leaks(&program.path("context")), "the list is not part of the image");
    assert!(!format!("{}{}", built.stdout, built.stderr).contains(PASSWORD));

    // The login is for the images of the list alone.
    program.write("context/manifests/imageList", format!("{host}/team/other:1\n"));
    program.call(&build).fails(1, &["team/other:1", "401"]);
    program
        .write("context/logins.yaml", format!("- registry: {host}\n  password: {PASSWORD}\n  images: [team/app:1]\n"));
    let refused = program.call(&build);
    refused.fails(2, &["logins.yaml", "team/app:1 has no username or no password"]);
    assert!(!refused.stderr.contains(PASSWORD), "{}", refused.stderr);
}

#[test]
fn images_to_leave_out_are_named_in_a_list() {
    let program = Program::new();
    let gone = program.write("gone", "# not on this side\n127.0.0.1:1/team/app:1\n");
    program.write("context/manifests/imageList", "127.0.0.1:1/team/app:1\n");
    let build = |options: &[&str]| program.call(&[&["build", "-t", "shop:1.4"], options, &["."]].concat());
    build(&[]).fails(1, &["team/app:1"]);
    build(&["--ignored-image-list", &gone]).code(0);
    build(&["--build-mode", "lite"]).code(0).says(&["1 container images are named and not carried"]);
    build(&["--ignored-image-list", "nowhere"]).fails(1, &["nowhere"]);
}
