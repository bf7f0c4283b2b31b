//! The registry of a cluster, on its masters or outside, as container engines and fetching hosts see it.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clusterfile::{Cluster, RegistrySettings};
use secret::Secret;

use super::{ControlPlane, paths};
use crate::{Error, Secrets};

/// What a comparison with a password costs the registry: some tens of milliseconds, once for each login.
const COST: u32 = 10;
/// bcrypt compares no more of a password, in bytes.
const PASSWORD_LIMIT: usize = 72;

/// How container engines reach the registry of their cluster.
#[derive(Debug, Clone)]
pub(super) struct RegistryAccess {
    /// `host[:port]`, as images of the registry itself are called.
    pub(super) name: String,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// `host[:port]` of all who have the same images, in the order in which they are asked.
    pub(super) mirrors: Vec<String>,
    /// Where hosts have the authority that signed its certificate, when their systems do not know it.
    pub(super) authority: Option<String>,
    /// The value of the header `Authorization`.
    pub(super) authorization: Option<Secret>,
}

impl RegistryAccess {
    /// The registry of a cluster. `authorization` is what stands in the header when it asks for a login.
    pub(super) fn of(cluster: &Cluster, control_plane: &ControlPlane<'_>, authorization: Option<Secret>) -> Self {
        let (registry, certs) = (&cluster.registry, paths::certs(&cluster.name));
        let (mirrors, authority) = match &registry.external {
            Some(external) => {
                (vec![registry.used_host()], external.ca.as_ref().map(|_| format!("{certs}/{EXTERNAL_AUTHORITY}")))
            }
            None => {
                let masters: Vec<SocketAddr> = control_plane.registries().collect();
                // containerd before 2.0 takes no address of IPv6 where hosts.toml names a server (its issue 10055): all of
                // them have one name then, and whoever connects tries one address after the other.
                let is_ipv6 = masters.iter().any(SocketAddr::is_ipv6);
                let all = || masters.iter().map(ToString::to_string).collect();
                let mirrors = if is_ipv6 { vec![registry.used_host()] } else { all() };
                (mirrors, Some(format!("{certs}/ca.crt")))
            }
        };
        let (scheme, authority) = if registry.is_plain_http() { ("http", None) } else { ("https", authority) };
        Self { name: registry.used_host(), scheme, mirrors, authority, authorization }
    }
}

/// The authority of a registry outside the cluster, among the certificates on a host.
pub(super) const EXTERNAL_AUTHORITY: &str = "external-registry-ca.crt";
/// The users of the registry of a master, among its certificates.
pub(super) const HTPASSWD: &str = "htpasswd";

/// The value of `Authorization` that opens the registry.
pub(crate) fn authorization(registry: &RegistrySettings) -> Option<Secret> {
    let (user, password) = registry.login()?;
    Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))).into())
}

/// What tells one login from another; only who has the secrets of the cluster can guess a password by it.
pub(super) fn login_digest(registry: &RegistrySettings, secrets: &Secrets) -> Option<Secret> {
    let (user, password) = registry.login()?;
    Some(hex::encode(&secrets.keyed_digest(&["registry-login", user, password.expose()])[..8]).into())
}

/// The file of users by which a registry on a master knows who may ask. The salt comes from the cluster's secrets, so
/// that the same plan is made again.
pub(super) fn htpasswd(registry: &RegistrySettings, secrets: &Secrets) -> Option<String> {
    let (user, password) = registry.login()?;
    let digest = secrets.keyed_digest(&["registry-salt", user, password.expose()]);
    let mut salt = [0; 16];
    salt.copy_from_slice(&digest[..16]);
    let hash = bcrypt::hash_with_salt(password.expose(), COST, salt).expect("the cost is one that bcrypt knows");
    Some(format!("{user}:{}\n", hash.format_for_version(bcrypt::Version::TwoY)))
}

/// Refuses a password of which a registry on the masters would compare the beginning only.
pub(crate) fn check(cluster: &Cluster) -> Result<(), Error> {
    let registry = &cluster.registry;
    let local = registry.login().filter(|_| registry.external.is_none());
    if local.is_some_and(|(_, password)| password.expose().len() > PASSWORD_LIMIT) {
        let reason = format!(
            "the password of its registry has more than {PASSWORD_LIMIT} bytes, of which bcrypt compares no more; take a shorter one"
        );
        return Err(Error::InvalidCluster { cluster: cluster.name.clone(), reason });
    }
    Ok(())
}
