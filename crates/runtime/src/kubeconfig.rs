//! Makes and checks kubeconfigs of administrators.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::ExtendedKeyUsagePurpose;
use secret::Secret;
use time::Duration;

use crate::certificates::{self, Certified, Subject};
use crate::secrets::RENEW_BEFORE;
use crate::{Error, Kubeconfig, yaml};

/// How long an administrator's certificate lives; making another one costs nothing.
const ADMINISTRATOR_LIFETIME: Duration = Duration::days(365);

/// The kubeconfig that is kept when it still serves, else a new one with a new key and a certificate of a year.
///
/// `server` is a URL, for example `https://192.168.0.2:6443`; `authority` signs clients and servers alike.
///
/// # Errors
///
/// [`Error::Certificate`] when the certificate cannot be signed.
pub(crate) fn administrator(
    current: Option<&Secret>,
    cluster: &str,
    server: &str,
    authority: &Certified,
) -> Result<Kubeconfig, Error> {
    if current.is_some_and(|text| still_serves(text.expose(), cluster, server, authority)) {
        return Ok(Kubeconfig::Current);
    }
    let subject = Subject {
        common_name: "kubernetes-admin",
        organisation: Some("system:masters"),
        names: Vec::new(),
        addresses: Vec::new(),
        usage: ExtendedKeyUsagePurpose::ClientAuth,
        lifetime: ADMINISTRATOR_LIFETIME,
    };
    let client = certificates::signed(authority, &subject)?;
    let user = user(cluster);
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(&authority.certificate),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&client.certificate),
            "client-key-data": STANDARD.encode(client.key.expose()),
        }}],
        "contexts": [{"name": user, "context": {"cluster": cluster, "user": user}}],
        "current-context": user,
    });
    Ok(Kubeconfig::New(yaml::to_text(&config).into()))
}

/// Whether a kubeconfig is for this cluster and server, signed by its authority, and good for more than a month to come.
fn still_serves(kubeconfig: &str, cluster: &str, server: &str, authority: &Certified) -> bool {
    let value = |key: &str| {
        let line = kubeconfig.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(':'));
        line.map(|value| value.trim().trim_matches(['"', '\'']))
    };
    let certificate = value("client-certificate-data").and_then(|text| STANDARD.decode(text).ok());
    let certificate = certificate.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    value("server") == Some(server)
        && value("current-context") == Some(user(cluster).as_str())
        && value("certificate-authority-data") == Some(STANDARD.encode(&authority.certificate).as_str())
        && certificates::lasts(&certificate, &authority.certificate, RENEW_BEFORE)
}

fn user(cluster: &str) -> String {
    format!("kubernetes-admin@{cluster}")
}
