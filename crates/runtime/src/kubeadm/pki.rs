//! The keys and tokens of a kubeadm cluster, beside the cluster's own authority, which is also that of Kubernetes.

use secret::Secret;

use crate::certificates::Certified;
use crate::secrets::SigningKey;
use crate::{Error, SecretSpec, Secrets};

const FRONT_PROXY: &str = "front-proxy-ca";
const ETCD: &str = "etcd-ca";
const SERVICE_ACCOUNTS: &str = "sa";
const BOOTSTRAP_TOKEN: &str = "bootstrap_token";
/// Decrypts the certificates that masters fetch from the cluster.
const CERTIFICATE_KEY: &str = "certificate_key";

/// What is made before planning.
pub(super) const SPECS: &[SecretSpec] = &[
    SecretSpec::Authority { name: FRONT_PROXY, common_name: "front-proxy-ca" },
    SecretSpec::Authority { name: ETCD, common_name: "etcd-ca" },
    SecretSpec::SigningKey { name: SERVICE_ACCOUNTS },
    SecretSpec::Token { name: BOOTSTRAP_TOKEN, parts: &[6, 16] },
    SecretSpec::Key { name: CERTIFICATE_KEY },
];

/// The secrets of a cluster, as kubeadm calls them.
#[derive(Debug)]
pub(super) struct Pki<'a> {
    pub(super) kubernetes: &'a Certified,
    pub(super) front_proxy: &'a Certified,
    pub(super) etcd: &'a Certified,
    pub(super) service_accounts: &'a SigningKey,
}

impl<'a> Pki<'a> {
    pub(super) fn of(secrets: &'a Secrets) -> Result<Self, Error> {
        Ok(Self {
            kubernetes: &secrets.authority,
            front_proxy: secrets.own_authority(FRONT_PROXY)?,
            etcd: secrets.own_authority(ETCD)?,
            service_accounts: secrets.signing_key(SERVICE_ACCOUNTS)?,
        })
    }
}

/// The token by which hosts join.
pub(super) fn bootstrap_token(secrets: &Secrets) -> Result<&Secret, Error> {
    secrets.text(BOOTSTRAP_TOKEN)
}
