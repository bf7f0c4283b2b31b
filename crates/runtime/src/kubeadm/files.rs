//! The files that kubeadm reads on a host.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::pki::Pki;
use crate::host::{API_PORT, API_SERVER, paths};
use crate::{Error, File, Secrets, yaml};

/// The directory of what kubeadm is given: configuration and certificate authorities.
fn directory(cluster: &str) -> String {
    format!("{}/kubeadm", paths::data(cluster))
}

/// By what a joining host knows the API server: a kubeconfig without credentials.
pub(super) fn discovery(cluster: &str) -> String {
    format!("{}/discovery.conf", directory(cluster))
}

/// What `kubeadm init` takes: certificate authorities and configuration.
pub(super) fn control_plane(cluster: &str, secrets: &Secrets, init: &str) -> Result<Vec<File>, Error> {
    let kubeadm = directory(cluster);
    let keys = Pki::of(secrets)?;
    let pki = format!("{kubeadm}/pki");
    let certified = [("ca", keys.kubernetes), ("front-proxy-ca", keys.front_proxy), ("etcd/ca", keys.etcd)];
    let mut files = Vec::new();
    for (name, certified) in certified {
        files.push(File::public(format!("{pki}/{name}.crt"), certified.certificate.as_str()));
        files.push(File::secret(format!("{pki}/{name}.key"), certified.key.expose()));
    }
    files.push(File::secret(format!("{pki}/sa.key"), keys.service_accounts.private.expose()));
    files.push(File::public(format!("{pki}/sa.pub"), keys.service_accounts.public.as_str()));
    files.push(File::secret(format!("{kubeadm}/init.yaml"), init));
    Ok(files)
}

/// What `kubeadm join` takes.
pub(super) fn join(cluster: &str, secrets: &Secrets, join: &str) -> Vec<File> {
    let document = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": {
            "server": format!("https://{API_SERVER}:{API_PORT}"),
            "certificate-authority-data": STANDARD.encode(secrets.authority()),
        }}],
    });
    vec![
        File::public(discovery(cluster), yaml::to_text(&document)),
        File::secret(format!("{}/join.yaml", directory(cluster)), join),
    ]
}
