//! Certificates and tokens of a cluster are what Kubernetes, OpenSSL and a later run expect.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use clusterfile::{Cluster, Clusterfile, Role};
use runtime::{Error, Facts, ImageContents, Kubeadm, Kubeconfig, Payload, Request, Runtime, SecretSpec, Secrets};
use secret::Secret;

const SPECS: &[SecretSpec] = Kubeadm::REQUIREMENTS.secrets;

fn cluster(masters: &[&str]) -> Cluster {
    let mut cluster = Cluster::new("my-cluster", "shop:1.4");
    cluster.add_hosts(&Role::Master, masters.iter().map(|address| address.parse().unwrap()));
    cluster
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}

#[test]
fn openssl_accepts_what_was_made() {
    let folder = tempfile::tempdir().unwrap();
    Secrets::open(folder.path(), &cluster(&["192.168.0.2", "fd00::2"]), SPECS).unwrap();
    let pki = folder.path().join("pki");
    for (name, subject) in
        [("ca", "CN = kubernetes"), ("front-proxy-ca", "CN = front-proxy-ca"), ("etcd-ca", "CN = etcd-ca")]
    {
        let certificate = format!("{name}.crt");
        let text = openssl(&pki, &["x509", "-in", &certificate, "-noout", "-text"]);
        for part in ["CA:TRUE", "Certificate Sign", "Public-Key: (2048 bit)", subject, "sha256WithRSAEncryption"] {
            assert!(text.contains(part), "{name} lacks {part}:\n{text}");
        }
        // Still good in 99 years, but not for ever.
        openssl(&pki, &["x509", "-in", &certificate, "-noout", "-checkend", &(99_u64 * 365 * 86400).to_string()]);
        openssl(&pki, &["verify", "-CAfile", &certificate, &certificate]);
        let of_key = openssl(&pki, &["pkey", "-in", &format!("{name}.key"), "-pubout"]);
        assert_eq!(of_key, openssl(&pki, &["x509", "-in", &certificate, "-noout", "-pubkey"]));
    }
    for host in [["-verify_hostname", "sea.hub"], ["-verify_ip", "192.168.0.2"], ["-verify_ip", "fd00::2"]] {
        openssl(&pki, &["verify", "-CAfile", "ca.crt", "-purpose", "sslserver", host[0], host[1], "registry.crt"]);
    }
    assert_eq!(
        openssl(&pki, &["pkey", "-in", "sa.key", "-pubout"]),
        std::fs::read_to_string(pki.join("sa.pub")).unwrap()
    );
    // A clock that is half an hour behind ours accepts it already.
    let half_an_hour_ago = time::OffsetDateTime::now_utc() - time::Duration::minutes(30);
    let at = half_an_hour_ago.unix_timestamp().to_string();
    openssl(&pki, &["verify", "-attime", &at, "-CAfile", "ca.crt", "registry.crt"]);
}

/// The administrator's kubeconfig of a cluster with one master, when `current` is the one that is kept.
fn kubeconfig(secrets: &Secrets, name: &str, master: &str, current: Option<&Secret>) -> Kubeconfig {
    let mut cluster = cluster(&[master]);
    cluster.name = name.to_owned();
    let wanted = Clusterfile::from(cluster);
    let (facts, image) = (Facts::default(), ImageContents::default());
    let payload = Payload::new(&image, secrets);
    let mut request = Request::new(&wanted, &facts, &payload);
    request.kubeconfig = current;
    Kubeadm.access(&request).unwrap().kubeconfig
}

#[test]
fn an_administrator_gets_in() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::open(folder.path(), &cluster(&["192.168.0.2"]), SPECS).unwrap();
    let Kubeconfig::New(kubeconfig) = kubeconfig(&secrets, "my-cluster", "192.168.0.2", None) else {
        panic!("there was none before");
    };
    let value = |key: &str| {
        let line = kubeconfig.expose().lines().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
        line.unwrap().trim_start_matches(':').trim().trim_matches('"').to_owned()
    };
    assert_eq!(value("server"), "https://192.168.0.2:6443");
    let serves = |secrets: &Secrets, cluster: &str, server: &str, current: &Secret| {
        matches!(self::kubeconfig(secrets, cluster, server, Some(current)), Kubeconfig::Current)
    };
    assert!(serves(&secrets, "my-cluster", "192.168.0.2", &kubeconfig), "it need not be made again");
    assert!(!serves(&secrets, "other", "192.168.0.2", &kubeconfig));
    assert!(!serves(&secrets, "my-cluster", "192.168.0.3", &kubeconfig));
    let others = Secrets::make(&cluster(&["192.168.0.2"]), SPECS).unwrap();
    assert!(!serves(&others, "my-cluster", "192.168.0.2", &kubeconfig), "another authority");
    assert!(!serves(&secrets, "my-cluster", "192.168.0.2", &Secret::default()));
    for (key, file) in [
        ("client-certificate-data", "client.crt"),
        ("client-key-data", "client.key"),
        ("certificate-authority-data", "ca.crt"),
    ] {
        std::fs::write(folder.path().join(format!("{file}.b64")), value(key) + "\n").unwrap();
        openssl(folder.path(), &["base64", "-d", "-A", "-in", &format!("{file}.b64"), "-out", file]);
    }
    openssl(folder.path(), &["verify", "-CAfile", "ca.crt", "-purpose", "sslclient", "client.crt"]);
    let subject = openssl(folder.path(), &["x509", "-in", "client.crt", "-noout", "-subject"]);
    assert_eq!(subject.trim(), "subject=O = system:masters, CN = kubernetes-admin");
    let of_key = openssl(folder.path(), &["pkey", "-in", "client.key", "-pubout"]);
    assert_eq!(of_key, openssl(folder.path(), &["x509", "-in", "client.crt", "-noout", "-pubkey"]));
}

#[test]
fn secrets_are_made_once_and_only_their_owner_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let cluster = cluster(&["192.168.0.2"]);
    Secrets::open(&state, &cluster, SPECS).unwrap();
    let read = || {
        let mut files: Vec<(String, String)> = Vec::new();
        for directory in [state.clone(), state.join("pki")] {
            for entry in
                std::fs::read_dir(directory).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
            {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
                files.push((entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()));
            }
        }
        files.sort();
        files
    };
    let first = read();
    assert_eq!(first.len(), 11, "{:?}", first.iter().map(|(name, _)| name).collect::<Vec<_>>());
    Secrets::open(&state, &cluster, SPECS).unwrap();
    assert_eq!(first, read());
    assert_eq!(std::fs::metadata(state.join("pki")).unwrap().permissions().mode() & 0o777, 0o700);

    let tokens: serde_json::Value =
        serde_json::from_str(&first.iter().find(|(name, _)| name == "secrets.json").unwrap().1).unwrap();
    let (id, secret) = tokens["bootstrap_token"].as_str().unwrap().split_once('.').unwrap();
    let small = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    assert!(id.len() == 6 && secret.len() == 16 && small(id) && small(secret));
    let key = tokens["certificate_key"].as_str().unwrap();
    assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn the_registry_gets_a_new_certificate_for_a_new_master_and_everything_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    Secrets::open(folder.path(), &cluster(&["192.168.0.2"]), SPECS).unwrap();
    let pki = folder.path().join("pki");
    let read = |name: &str| std::fs::read_to_string(pki.join(name)).unwrap();
    let (authority, registry) = (read("ca.crt"), read("registry.crt"));
    Secrets::open(folder.path(), &cluster(&["192.168.0.2", "192.168.0.9"]), SPECS).unwrap();
    assert_eq!(authority, read("ca.crt"));
    assert_ne!(registry, read("registry.crt"));
    openssl(&pki, &["verify", "-CAfile", "ca.crt", "-verify_ip", "192.168.0.9", "registry.crt"]);
}

#[test]
fn damage_is_named_and_nothing_is_made_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(&["192.168.0.2"]);
    Secrets::open(folder.path(), &cluster, SPECS).unwrap();
    let pki = folder.path().join("pki");
    std::fs::copy(pki.join("etcd-ca.key"), pki.join("ca.key")).unwrap();
    let error = Secrets::open(folder.path(), &cluster, SPECS).unwrap_err();
    assert!(matches!(&error, Error::SecretCorrupt { path, .. } if path.ends_with("ca.crt")), "{error}");
    assert!(error.to_string().contains("does not belong to ca.key"), "{error}");

    std::fs::remove_file(pki.join("ca.key")).unwrap();
    let error = Secrets::open(folder.path(), &cluster, SPECS).unwrap_err();
    assert!(error.to_string().contains("ca.key is missing"), "{error}");

    std::fs::write(folder.path().join("secrets.json"), "{").unwrap();
    let error = Secrets::open(folder.path(), &cluster, SPECS).unwrap_err();
    assert!(error.to_string().contains("secrets.json cannot be read"), "{error}");
}

#[test]
fn a_run_that_was_killed_before_the_end_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(&["192.168.0.2"]);
    Secrets::open(folder.path(), &cluster, SPECS).unwrap();
    std::fs::remove_file(folder.path().join("secrets.json")).unwrap();
    assert!(Secrets::load(folder.path(), SPECS).unwrap().is_none());
    Secrets::open(folder.path(), &cluster, SPECS).unwrap();
    assert!(Secrets::load(folder.path(), SPECS).unwrap().is_some());
}
