//! Which secrets does a cluster need, and how are they kept?

use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clusterfile::Cluster;
use rcgen::ExtendedKeyUsagePurpose;
use secret::Secret;
use serde::{Deserialize, Serialize};
use time::Duration;

use super::certificates::{self, Certified, Subject};
use super::secret_files::{self, read_secret, write_secret};
use crate::Error;

/// How long the registry's certificate lives. It is renewed by every run that finds it within a month of its end,
/// but nothing forces such a run on a cluster that is left alone.
const REGISTRY_LIFETIME: Duration = Duration::days(10 * 365);
/// How long an administrator's certificate lives; making another one costs nothing.
const ADMINISTRATOR_LIFETIME: Duration = Duration::days(365);
/// From when on a certificate is renewed.
const RENEW_BEFORE: Duration = Duration::days(30);

/// Certificates, tokens and keys of a cluster, made before planning and kept in its state directory.
///
/// [`Secrets::open`] makes them once; they stay the same for the life of the cluster, so that a plan can be made
/// again and is the same.
#[derive(Debug)]
pub struct Secrets {
    pub(crate) kubernetes: Certified,
    pub(crate) front_proxy: Certified,
    pub(crate) etcd: Certified,
    pub(crate) service_account_key: Secret,
    pub(crate) service_account_public: String,
    pub(crate) registry: Certified,
    pub(crate) bootstrap_token: Secret,
    pub(crate) certificate_key: Secret,
}

/// The file that holds what is no certificate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    /// `<6 characters>.<16 characters>`: lets hosts join.
    bootstrap_token: String,
    /// 32 bytes as hexadecimal: decrypts the certificates that masters fetch from the cluster.
    certificate_key: String,
}

impl Secrets {
    /// Makes all secrets of a cluster. The registry's certificate is for the cluster's masters as they are now.
    ///
    /// # Errors
    ///
    /// When keys cannot be generated or there are no random numbers.
    pub fn make(cluster: &Cluster) -> Result<Self, Error> {
        let kubernetes = certificates::authority("kubernetes")?;
        let (service_account_key, service_account_public) = certificates::signing_key()?;
        let registry = registry_certificate(&kubernetes, cluster)?;
        let token = random_text(22)?;
        Ok(Self {
            front_proxy: certificates::authority("front-proxy-ca")?,
            etcd: certificates::authority("etcd-ca")?,
            service_account_key,
            service_account_public,
            registry,
            bootstrap_token: format!("{}.{}", &token[..6], &token[6..]).into(),
            certificate_key: hex(&random::<32>()?).into(),
            kubernetes,
        })
    }

    /// Reads the secrets that `directory` holds; `None` when it holds none.
    ///
    /// # Errors
    ///
    /// [`Error::SecretFile`] when a file cannot be read, [`Error::SecretDamaged`] when one is missing or wrong.
    pub fn load(directory: &Path) -> Result<Option<Self>, Error> {
        // Written last: without it nothing was finished, and nothing can have been used.
        let path = directory.join("secrets.json");
        let Some(tokens) = read_secret(&path)? else {
            return Ok(None);
        };
        let tokens: Tokens = serde_json::from_str(tokens.expose())
            .map_err(|error| Error::SecretDamaged { path: path.clone(), reason: format!("cannot be read: {error}") })?;
        let pki = directory.join("pki");
        let key_path = pki.join("sa.key");
        let service_account_key = secret_files::required(&key_path)?;
        let service_account_public = certificates::public_key(&service_account_key)
            .map_err(|error| Error::SecretDamaged { path: key_path, reason: format!("is no private key: {error}") })?;
        Ok(Some(Self {
            kubernetes: secret_files::certified(&pki, "ca")?,
            front_proxy: secret_files::certified(&pki, "front-proxy-ca")?,
            etcd: secret_files::certified(&pki, "etcd-ca")?,
            registry: secret_files::certified(&pki, "registry")?,
            service_account_key,
            service_account_public,
            bootstrap_token: tokens.bootstrap_token.into(),
            certificate_key: tokens.certificate_key.into(),
        }))
    }

    /// Writes the secrets below `directory`: `pki/*.crt`, `pki/*.key` and `secrets.json`, mode 0600, each atomically.
    ///
    /// # Errors
    ///
    /// [`Error::SecretFile`] when a file cannot be written.
    pub fn store(&self, directory: &Path) -> Result<(), Error> {
        let pki = directory.join("pki");
        secret_files::make_directory(&pki)?;
        let certified = [
            ("ca", &self.kubernetes),
            ("front-proxy-ca", &self.front_proxy),
            ("etcd-ca", &self.etcd),
            ("registry", &self.registry),
        ];
        for (name, certified) in certified {
            write_secret(&pki.join(format!("{name}.crt")), certified.certificate.as_bytes())?;
            write_secret(&pki.join(format!("{name}.key")), certified.key.expose().as_bytes())?;
        }
        write_secret(&pki.join("sa.key"), self.service_account_key.expose().as_bytes())?;
        write_secret(&pki.join("sa.pub"), self.service_account_public.as_bytes())?;
        let tokens = zeroize::Zeroizing::new(
            serde_json::json!({
                "bootstrap_token": self.bootstrap_token.expose(),
                "certificate_key": self.certificate_key.expose(),
            })
            .to_string(),
        );
        write_secret(&directory.join("secrets.json"), tokens.as_bytes())
    }

    /// The secrets of a cluster: those that `directory` holds, else new ones that it holds from now on.
    /// The registry's certificate is made anew when it is not for all masters or ends soon.
    ///
    /// # Errors
    ///
    /// Those of [`Secrets::make`], [`Secrets::load`] and [`Secrets::store`].
    pub fn open(directory: &Path, cluster: &Cluster) -> Result<Self, Error> {
        let Some(mut secrets) = Self::load(directory)? else {
            let secrets = Self::make(cluster)?;
            secrets.store(directory)?;
            return Ok(secrets);
        };
        let (names, addresses) = registry_names(cluster);
        let registry = &secrets.registry.certificate;
        if !certificates::serves(registry, &secrets.kubernetes.certificate, &names, &addresses, RENEW_BEFORE) {
            secrets.registry = registry_certificate(&secrets.kubernetes, cluster)?;
            secrets.store(directory)?;
        }
        Ok(secrets)
    }

    /// The certificate authority of the cluster, as PEM: what verifies its API server and its registry.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.kubernetes.certificate
    }

    /// What tells this cluster from every other one, also of the same name; no secret.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        hex(&sha2::Sha256::digest(self.kubernetes.certificate.trim())[..16])
    }

    /// A kubeconfig for an administrator, with a new key and a certificate of a year. It is a secret.
    ///
    /// `server` is a URL, for example `https://192.168.0.2:6443`.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] when the certificate cannot be signed.
    pub fn admin_kubeconfig(&self, cluster: &str, server: &str) -> Result<Secret, Error> {
        let subject = Subject {
            common_name: "kubernetes-admin",
            organisation: Some("system:masters"),
            names: Vec::new(),
            addresses: Vec::new(),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            lifetime: ADMINISTRATOR_LIFETIME,
        };
        let client = certificates::signed(&self.kubernetes, &subject)?;
        let user = format!("kubernetes-admin@{cluster}");
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": {
                "server": server,
                "certificate-authority-data": STANDARD.encode(&self.kubernetes.certificate),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": STANDARD.encode(&client.certificate),
                "client-key-data": STANDARD.encode(client.key.expose()),
            }}],
            "contexts": [{"name": user, "context": {"cluster": cluster, "user": user}}],
            "current-context": user,
        });
        Ok(super::yaml::to_text(&config).into())
    }
}

impl Secrets {
    /// Whether a kubeconfig of [`Secrets::admin_kubeconfig`] still serves: for this cluster and server, signed by its
    /// authority, and for more than a month to come.
    #[must_use]
    pub fn serves_administrator(&self, kubeconfig: &str, cluster: &str, server: &str) -> bool {
        let value = |key: &str| {
            let line = kubeconfig.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(':'));
            line.map(|value| value.trim().trim_matches(['"', '\'']))
        };
        let certificate = value("client-certificate-data").and_then(|text| STANDARD.decode(text).ok());
        let certificate = certificate.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        value("server") == Some(server)
            && value("current-context") == Some(format!("kubernetes-admin@{cluster}").as_str())
            && value("certificate-authority-data") == Some(STANDARD.encode(&self.kubernetes.certificate).as_str())
            && certificates::lasts(&certificate, &self.kubernetes.certificate, RENEW_BEFORE)
    }
}

fn registry_certificate(authority: &Certified, cluster: &Cluster) -> Result<Certified, Error> {
    let (names, addresses) = registry_names(cluster);
    let subject = Subject {
        common_name: &cluster.registry.domain,
        organisation: None,
        names,
        addresses,
        usage: ExtendedKeyUsagePurpose::ServerAuth,
        lifetime: REGISTRY_LIFETIME,
    };
    certificates::signed(authority, &subject)
}

/// What the registry is called: its domain, what the Clusterfile adds, and the addresses of the masters.
fn registry_names(cluster: &Cluster) -> (Vec<String>, Vec<IpAddr>) {
    let mut names = vec![cluster.registry.domain.clone(), "localhost".to_owned()];
    names.extend(cluster.registry.certificate_names.iter().cloned());
    let mut addresses: Vec<IpAddr> = cluster.masters().map(|host| host.address).collect();
    addresses.extend([IpAddr::from([127, 0, 0, 1])]);
    addresses.extend(&cluster.registry.certificate_addresses);
    (names, addresses)
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| Error::Random { source })?;
    Ok(bytes)
}

/// Small letters and digits, each equally likely.
fn random_text(length: usize) -> Result<String, Error> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // 252 is the largest multiple of 36 in a byte.
        let fair = random::<64>()?.into_iter().filter(|byte| *byte < 252);
        text.extend(fair.map(|byte| char::from(ALPHABET[usize::from(byte % 36)])));
    }
    text.truncate(length);
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
