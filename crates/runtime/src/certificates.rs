//! Makes and checks certificate authorities and the certificates that they sign.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use secret::Secret;
use time::{Duration, OffsetDateTime};
use x509_parser::pem::Pem;

use crate::Error;

/// How long a certificate authority lives. Replacing one means touching every host, so it outlives the cluster.
const AUTHORITY_LIFETIME: Duration = Duration::days(100 * 365);
/// Certificates are valid from a little earlier, because clocks differ.
const HEAD_START: Duration = Duration::hours(1);

/// A certificate and its private key, both as PEM.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Certified {
    /// The certificate; anyone may see it.
    pub certificate: String,
    /// The private key (PKCS#8).
    pub key: Secret,
}

/// What a signed certificate is for.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) organisation: Option<&'a str>,
    pub(crate) names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) usage: ExtendedKeyUsagePurpose,
    pub(crate) lifetime: Duration,
}

/// Makes a certificate authority. RSA, because every Kubernetes and every client of one reads it.
pub(crate) fn authority(common_name: &str) -> Result<Certified, Error> {
    let object = || format!("the certificate authority `{common_name}`");
    let made = |source| Error::Certificate { act: "make", object: object(), source };
    let key = rsa_key().map_err(made)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(common_name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = validity(AUTHORITY_LIFETIME);
    let certificate = params.self_signed(&key).map_err(made)?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem().into() })
}

/// Makes a key and a certificate for it, signed by `authority`.
pub(crate) fn signed(authority: &Certified, subject: &Subject<'_>) -> Result<Certified, Error> {
    let object = || format!("the certificate `{}`", subject.common_name);
    let made = |source| Error::Certificate { act: "sign", object: object(), source };
    let authority_key = KeyPair::from_pem(authority.key.expose()).map_err(made)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, authority_key).map_err(made)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(subject.common_name, subject.organisation);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![subject.usage.clone()];
    for name in &subject.names {
        let name = name.clone().try_into().map_err(made)?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    let addresses = subject.addresses.iter().map(|address| SanType::IpAddress(*address));
    params.subject_alt_names.extend(addresses);
    (params.not_before, params.not_after) = validity(subject.lifetime);
    let certificate = params.signed_by(&key, &issuer).map_err(made)?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem().into() })
}

/// A private key and the public key that belongs to it, for signing service account tokens.
pub(crate) fn signing_key() -> Result<(Secret, String), Error> {
    let made = |source| Error::Certificate { act: "make", object: "the key of service accounts".into(), source };
    let key = rsa_key().map_err(made)?;
    Ok((key.serialize_pem().into(), key.public_key_pem()))
}

/// The public key that belongs to a private one.
pub(crate) fn public_key(private: &Secret) -> Result<String, rcgen::Error> {
    Ok(KeyPair::from_pem(private.expose())?.public_key_pem())
}

/// Whether `key` is the private key of `certificate`.
pub(crate) fn belong_together(certified: &Certified) -> bool {
    let Ok(key) = KeyPair::from_pem(certified.key.expose()) else {
        return false;
    };
    let public = rcgen::PublicKeyData::subject_public_key_info(&key);
    read(&certified.certificate, |certificate| certificate.public_key().raw == public) == Some(true)
}

/// Whether a certificate was signed by `authority`, is for all these names and addresses, and will be for `at_least` from now on.
pub(crate) fn serves(
    certificate: &str,
    authority: &str,
    names: &[String],
    addresses: &[IpAddr],
    at_least: Duration,
) -> bool {
    use x509_parser::extensions::GeneralName;
    let covers = |certificate: &x509_parser::certificate::X509Certificate<'_>| {
        let Ok(Some(listed)) = certificate.subject_alternative_name() else {
            return false;
        };
        let listed = &listed.value.general_names;
        let name = |name: &String| listed.iter().any(|san| matches!(san, GeneralName::DNSName(dns) if dns == name));
        let address = |address: &IpAddr| {
            let bytes = match address {
                IpAddr::V4(four) => four.octets().to_vec(),
                IpAddr::V6(six) => six.octets().to_vec(),
            };
            listed.iter().any(|san| matches!(san, GeneralName::IPAddress(ip) if *ip == bytes.as_slice()))
        };
        names.iter().all(name) && addresses.iter().all(address)
    };
    lasts(certificate, authority, at_least) && read(certificate, covers) == Some(true)
}

/// Whether a certificate was signed by `authority` and will be valid for `at_least` from now on.
pub(crate) fn lasts(certificate: &str, authority: &str, at_least: Duration) -> bool {
    let until = (OffsetDateTime::now_utc() + at_least).unix_timestamp();
    let good = |certificate: &x509_parser::certificate::X509Certificate<'_>| {
        let by_authority =
            read(authority, |authority| certificate.verify_signature(Some(authority.public_key())).is_ok());
        certificate.validity().not_after.timestamp() > until && by_authority == Some(true)
    };
    read(certificate, good) == Some(true)
}

/// Applies a function to the first certificate of a PEM text.
fn read<T>(pem: &str, with: impl FnOnce(&x509_parser::certificate::X509Certificate<'_>) -> T) -> Option<T> {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(with(&certificate))
}

fn rsa_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
}

fn distinguished_name(common_name: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn validity(lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - HEAD_START, now + lifetime)
}
