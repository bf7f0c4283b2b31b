//! Secrets of a cluster: what every cluster has, and what its runtime asks for; made once, kept in its state directory.

mod files;
mod random;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use clusterfile::Cluster;
use rcgen::ExtendedKeyUsagePurpose;
use secret::Secret;
use time::Duration;
use zeroize::Zeroizing;

use crate::Error;
use crate::certificates::{self, Certified, Subject};

/// How long the registry's certificate lives. It is renewed by every run that finds it within a month of its end,
/// but nothing forces such a run on a cluster that is left alone.
const REGISTRY_LIFETIME: Duration = Duration::days(10 * 365);
/// From when on a certificate is renewed.
pub(crate) const RENEW_BEFORE: Duration = Duration::days(30);
/// The cluster's own certificate authority: `pki/ca.crt` and `pki/ca.key`.
const AUTHORITY: &str = "ca";
/// The registry's certificate: `pki/registry.crt` and `pki/registry.key`.
const REGISTRY: &str = "registry";
/// The file of tokens, written last.
const TOKENS: &str = "secrets.json";

/// A secret that a runtime wants made before planning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretSpec {
    /// A certificate authority, kept as `pki/<name>.crt` and `pki/<name>.key`.
    Authority {
        /// Its name among the files.
        name: &'static str,
        /// The common name of its certificate.
        common_name: &'static str,
    },
    /// A key pair that signs tokens, kept as `pki/<name>.key` and `pki/<name>.pub`.
    SigningKey {
        /// Its name among the files.
        name: &'static str,
    },
    /// A random text of small letters and digits, kept in `secrets.json`.
    Token {
        /// Its key in the file.
        name: &'static str,
        /// The lengths of its parts, which are joined by dots, for example `[6, 16]`.
        parts: &'static [usize],
    },
    /// 32 random bytes as hexadecimal digits, kept in `secrets.json`.
    Key {
        /// Its key in the file.
        name: &'static str,
    },
}

/// Certificates, tokens and keys of a cluster, made before planning and kept in its state directory.
///
/// Every cluster has a certificate authority of its own and a certificate for its registry; the rest is what its
/// runtime asks for ([`crate::Requirements::secrets`]). [`Secrets::open`] makes them once; they stay the same for the
/// life of the cluster, so that a plan can be made again and is the same.
#[derive(Debug)]
pub struct Secrets {
    pub(crate) authority: Certified,
    pub(crate) registry: Certified,
    authorities: BTreeMap<&'static str, Certified>,
    signing_keys: BTreeMap<&'static str, SigningKey>,
    texts: BTreeMap<&'static str, Secret>,
}

/// A key pair that signs tokens, as PEM.
#[derive(Debug)]
#[non_exhaustive]
pub struct SigningKey {
    /// The private key.
    pub private: Secret,
    /// The public key.
    pub public: String,
}

impl Secrets {
    /// Makes all secrets of a cluster. The registry's certificate is for the cluster's masters as they are now.
    ///
    /// # Errors
    ///
    /// When keys cannot be generated or there are no random numbers.
    pub fn make(cluster: &Cluster, specs: &[SecretSpec]) -> Result<Self, Error> {
        let authority = certificates::authority("kubernetes")?;
        let registry = registry_certificate(&authority, cluster)?;
        let mut secrets = Self::of(authority, registry);
        for spec in specs {
            match *spec {
                SecretSpec::Authority { name, common_name } => {
                    secrets.authorities.insert(name, certificates::authority(common_name)?);
                }
                SecretSpec::SigningKey { name } => {
                    let (private, public) = certificates::signing_key()?;
                    secrets.signing_keys.insert(name, SigningKey { private, public });
                }
                SecretSpec::Token { name, parts } => {
                    let parts = parts.iter().map(|length| random::text(*length)).collect::<Result<Vec<_>, _>>()?;
                    secrets.texts.insert(name, parts.join(".").into());
                }
                SecretSpec::Key { name } => {
                    secrets.texts.insert(name, hex::encode(random::bytes::<32>()?).into());
                }
            }
        }
        Ok(secrets)
    }

    /// Reads the secrets that `directory` holds; `None` when it holds none.
    ///
    /// # Errors
    ///
    /// [`Error::SecretFile`] when a file cannot be read, [`Error::SecretCorrupt`] when one is missing or wrong.
    pub fn load(directory: &Path, specs: &[SecretSpec]) -> Result<Option<Self>, Error> {
        // Written last: without it nothing was finished, and nothing can have been used.
        let path = directory.join(TOKENS);
        let Some(text) = files::read(&path)? else {
            return Ok(None);
        };
        let corrupt = |reason| Error::SecretCorrupt { path: path.clone(), reason };
        let mut kept: BTreeMap<String, String> =
            serde_json::from_str(text.expose()).map_err(|error| corrupt(format!("cannot be read: {error}")))?;
        let pki = directory.join("pki");
        let mut secrets = Self::of(files::certified(&pki, AUTHORITY)?, files::certified(&pki, REGISTRY)?);
        for spec in specs {
            match *spec {
                SecretSpec::Authority { name, .. } => {
                    secrets.authorities.insert(name, files::certified(&pki, name)?);
                }
                SecretSpec::SigningKey { name } => {
                    let path = pki.join(format!("{name}.key"));
                    let private = files::required(&path)?;
                    let public = certificates::public_key(&private).map_err(|error| Error::SecretCorrupt {
                        path,
                        reason: format!("is no private key: {error}"),
                    })?;
                    secrets.signing_keys.insert(name, SigningKey { private, public });
                }
                SecretSpec::Token { name, .. } | SecretSpec::Key { name } => {
                    let text = kept.remove(name).ok_or_else(|| corrupt(format!("has no `{name}`")))?;
                    secrets.texts.insert(name, text.into());
                }
            }
        }
        Ok(Some(secrets))
    }

    /// Writes the secrets below `directory`: `pki/*.crt`, `pki/*.key` and `secrets.json`, mode 0600, each atomically.
    ///
    /// # Errors
    ///
    /// [`Error::SecretFile`] when a file cannot be written.
    pub fn store(&self, directory: &Path) -> Result<(), Error> {
        let pki = directory.join("pki");
        files::make_directory(&pki)?;
        files::write_certified(&pki, AUTHORITY, &self.authority)?;
        files::write_certified(&pki, REGISTRY, &self.registry)?;
        for (name, authority) in &self.authorities {
            files::write_certified(&pki, name, authority)?;
        }
        for (name, key) in &self.signing_keys {
            files::write(&pki.join(format!("{name}.key")), key.private.expose().as_bytes())?;
            files::write(&pki.join(format!("{name}.pub")), key.public.as_bytes())?;
        }
        let texts: BTreeMap<_, _> = self.texts.iter().map(|(name, text)| (name, text.expose())).collect();
        let tokens = Zeroizing::new(serde_json::to_string(&texts).expect("a map of texts is plain data"));
        files::write(&directory.join(TOKENS), tokens.as_bytes())
    }

    /// The secrets of a cluster: those that `directory` holds, else new ones that it holds from now on.
    /// The registry's certificate is made anew when it is not for all masters or ends soon.
    ///
    /// # Errors
    ///
    /// Those of [`Secrets::make`], [`Secrets::load`] and [`Secrets::store`].
    pub fn open(directory: &Path, cluster: &Cluster, specs: &[SecretSpec]) -> Result<Self, Error> {
        let Some(mut secrets) = Self::load(directory, specs)? else {
            let secrets = Self::make(cluster, specs)?;
            secrets.store(directory)?;
            return Ok(secrets);
        };
        let (names, addresses) = registry_names(cluster);
        let registry = &secrets.registry.certificate;
        if !certificates::serves(registry, secrets.authority(), &names, &addresses, RENEW_BEFORE) {
            secrets.registry = registry_certificate(&secrets.authority, cluster)?;
            secrets.store(directory)?;
        }
        Ok(secrets)
    }

    /// The certificate authority of the cluster, as PEM: what verifies its API server and its registry.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority.certificate
    }

    /// What tells this cluster from every other one, also of the same name; no secret.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        hex::encode(&sha2::Sha256::digest(self.authority().trim())[..16])
    }

    /// A digest that nobody can compute, or check a guess by, who does not have the secrets.
    pub(crate) fn keyed_digest(&self, parts: &[&str]) -> [u8; 32] {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        for part in [self.authority.key.expose()].iter().chain(parts) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// An authority that the runtime asked for.
    ///
    /// # Errors
    ///
    /// [`Error::NoSecret`] when the runtime's requirements do not name it.
    pub fn own_authority(&self, name: &'static str) -> Result<&Certified, Error> {
        self.authorities.get(name).ok_or(Error::NoSecret { name })
    }

    /// A signing key that the runtime asked for.
    ///
    /// # Errors
    ///
    /// [`Error::NoSecret`] when the runtime's requirements do not name it.
    pub fn signing_key(&self, name: &'static str) -> Result<&SigningKey, Error> {
        self.signing_keys.get(name).ok_or(Error::NoSecret { name })
    }

    /// A token or key that the runtime asked for.
    ///
    /// # Errors
    ///
    /// [`Error::NoSecret`] when the runtime's requirements do not name it.
    pub fn text(&self, name: &'static str) -> Result<&Secret, Error> {
        self.texts.get(name).ok_or(Error::NoSecret { name })
    }

    fn of(authority: Certified, registry: Certified) -> Self {
        Self {
            authority,
            registry,
            authorities: BTreeMap::new(),
            signing_keys: BTreeMap::new(),
            texts: BTreeMap::new(),
        }
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
