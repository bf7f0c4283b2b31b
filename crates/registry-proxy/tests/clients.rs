//! Debian's clients push to the registry and pull from it, with a login and without.
#![allow(clippy::unwrap_used)]

mod support;

use content_store::{Digest, Store};
use registry_proxy::{Config, Content, Event, serve};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Of the password `U*U`, from the test vectors of crypt_blowfish.
const USER: &str = "pusher:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";

/// Serves with anonymous pulls and pushes by a user; returns the address.
async fn registry(directory: &Path) -> String {
    std::fs::write(directory.join("users"), USER).unwrap();
    let mut config = Config::parse("listen: 127.0.0.1:0\npush: true\ndelete: true\nanonymousPull: true\n").unwrap();
    config.htpasswd = Some(directory.join("users"));
    let (sender, mut events) = mpsc::unbounded_channel();
    let content = Content::new(Store::open(&directory.join("content")).unwrap());
    let tell = Arc::new(move |event| sender.send(event).unwrap_or_default());
    tokio::spawn(serve(config, content, tell, std::future::pending()));
    let Some(Event::Serving { address }) = events.recv().await else { panic!("it does not serve") };
    address.to_string()
}

async fn run(program: &'static str, arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output().unwrap()).await.unwrap()
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An OCI layout with one image under the name `app`.
fn layout(directory: &Path) -> Digest {
    let store = Store::open(directory).unwrap();
    let mut tar = vec![0_u8; 1024];
    tar.extend([0; 512]);
    let layer = store.put(&tar).unwrap();
    let config =
        json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [layer.digest] } });
    let config = store.put(config.to_string().as_bytes()).unwrap();
    let blob =
        |kind: &str, blob: content_store::Blob| json!({ "mediaType": kind, "digest": blob.digest, "size": blob.size });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    let manifest = store.put(manifest.to_string().as_bytes()).unwrap();
    let mut entry = blob("application/vnd.oci.image.manifest.v1+json", manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "app" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
    manifest.digest
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pushes_with_a_login_and_pulls_without() {
    let directory = tempfile::tempdir().unwrap();
    let address = registry(directory.path()).await;
    let source = directory.path().join("source");
    let digest = layout(&source);
    let source = format!("oci:{}:app", source.display());
    let target = format!("docker://{address}/team/app:1");
    let copy = ["copy", "-q", "--preserve-digests", "--dest-tls-verify=false"];
    let refused = run("skopeo", &[&copy[..], &["--dest-no-creds", &source, &target]].concat()).await;
    assert!(!refused.status.success(), "a push wants a login");
    succeeds(&run("skopeo", &[&copy[..], &["--dest-creds=pusher:U*U", &source, &target]].concat()).await);
    let pulled = format!("oci:{}:app", directory.path().join("pulled").display());
    let arguments = ["copy", "-q", "--preserve-digests", "--src-tls-verify=false", "--src-no-creds", &target, &pulled];
    succeeds(&run("skopeo", &arguments).await);
    Store::open(&directory.path().join("pulled")).unwrap().verify(&digest).unwrap();
    succeeds(&run("skopeo", &["delete", "--tls-verify=false", "--creds=pusher:U*U", &target]).await);
    let gone = run("skopeo", &["inspect", "--tls-verify=false", "--no-creds", &target]).await;
    assert!(!gone.status.success(), "it was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_pushes_with_a_login_and_pulls_without() {
    let directory = tempfile::tempdir().unwrap();
    let address = registry(directory.path()).await;
    let config = directory.path().join("docker").display().to_string();
    let image = format!("{address}/sealer-test/app:1");
    // An image of an empty archive.
    let archive = directory.path().join("empty.tar");
    std::fs::write(&archive, [0_u8; 1024]).unwrap();
    succeeds(&run("docker", &["import", &archive.display().to_string(), &image]).await);
    let refused = run("docker", &["--config", &config, "push", &image]).await;
    let login = run("docker", &["--config", &config, "login", "-u", "pusher", "-p", "U*U", &address]).await;
    let pushed = run("docker", &["--config", &config, "push", &image]).await;
    succeeds(&run("docker", &["rmi", &image]).await);
    let pulled = run("docker", &["--config", "/nonexistent", "pull", &image]).await;
    let _ = run("docker", &["rmi", &image]).await;
    assert!(!refused.status.success(), "a push wants a login");
    [login, pushed, pulled].iter().for_each(succeeds);
}
