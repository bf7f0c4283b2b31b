//! Verifies signatures of scheme V3 (ACS3-HMAC-SHA256, everything in headers).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::Claim;
use super::encode::{canonical, encode};
use crate::failure::{Failure, Outcome};
use crate::log::Scheme;
use crate::parameters::Parameters;
use crate::received::Received;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// The parts of `Authorization`.
struct Authorization<'a> {
    credential: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

pub(super) fn claim(received: &Received) -> Outcome<Claim> {
    if !matches!(received.method.as_str(), "GET" | "POST") || received.path != "/" {
        return Err(Failure::new(404, "InvalidAction.NotFound", "there is only / here, for GET and POST"));
    }
    let authorization = authorization(received)?;
    let header = |name: &str| received.header(name).filter(|value| !value.is_empty()).map(str::to_string);
    let needed = |name: &str| header(name).ok_or_else(|| incomplete(&format!("the header {name} is missing")));
    Ok(Claim {
        scheme: Scheme::V3,
        action: header("x-acs-action").ok_or_else(|| Failure::missing("Action"))?,
        version: header("x-acs-version").ok_or_else(|| Failure::missing("Version"))?,
        key_id: authorization.credential.to_string(),
        token: header("x-acs-security-token"),
        timestamp: needed("x-acs-date")?,
        nonce: needed("x-acs-signature-nonce")?,
        signature: authorization.signature.to_string(),
        parameters: Parameters::new(received.query.iter().chain(&received.form).cloned())?,
        json: true,
    })
}

/// The signature as it should be, and what was signed.
pub(super) fn signature(received: &Received, secret: &str) -> Outcome<(String, String)> {
    let authorization = authorization(received)?;
    let content = hex::encode(Sha256::digest(&received.body));
    if received.header("x-acs-content-sha256") != Some(content.as_str()) {
        return Err(incomplete("x-acs-content-sha256 is not the digest of the body"));
    }
    for name in received.headers.keys().map(http::HeaderName::as_str) {
        let must = name == "host" || name == "content-type" || name.starts_with("x-acs-");
        if must && !authorization.signed_headers.contains(&name) {
            return Err(incomplete(&format!("the header {name} is not signed")));
        }
    }
    let request = canonical_request(received, &authorization.signed_headers, &content);
    let signed = format!("{ALGORITHM}\n{}", hex::encode(Sha256::digest(request.as_bytes())));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mac| mac.chain_update(&signed));
    let signature = mac.map(|mac| hex::encode(mac.finalize().into_bytes())).unwrap_or_default();
    Ok((signature, request))
}

fn canonical_request(received: &Received, names: &[&str], content: &str) -> String {
    let path: Vec<String> = received.path.split('/').map(encode).collect();
    let mut lines = vec![received.method.clone(), path.join("/"), canonical(received.query.iter())];
    for name in names {
        let values: Vec<&str> =
            received.headers.get_all(*name).iter().filter_map(|value| value.to_str().ok()).map(str::trim).collect();
        let value = if *name == "host" && values.is_empty() { received.host.clone() } else { values.join(",") };
        lines.push(format!("{name}:{value}"));
    }
    lines.extend([String::new(), names.join(";"), content.to_string()]);
    lines.join("\n")
}

fn authorization(received: &Received) -> Outcome<Authorization<'_>> {
    let text = received.header("authorization").unwrap_or_default();
    let fields = text.strip_prefix(ALGORITHM).ok_or_else(|| incomplete("the algorithm is unknown"))?;
    let field = |name: &str| {
        let found = fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        found.filter(|value| !value.is_empty()).ok_or_else(|| incomplete(&format!("Authorization has no {name}")))
    };
    let signed_headers: Vec<&str> = field("SignedHeaders")?.split(';').collect();
    if !signed_headers.is_sorted() {
        return Err(incomplete("SignedHeaders is not sorted"));
    }
    Ok(Authorization { credential: field("Credential")?, signature: field("Signature")?, signed_headers })
}

fn incomplete(message: &str) -> Failure {
    let message = format!("the request does not conform to the signing standard: {message}");
    Failure::new(400, "IncompleteSignature", message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn request(query: &str, key: &str, headers: &[(&str, &str)]) -> Received {
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let mut request = http::Request::post(format!("/?{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let value = format!("{ALGORITHM} Credential={key},SignedHeaders={},Signature=x", names.join(";"));
        Received::read(request.header("authorization", value).body(Bytes::new()).unwrap()).unwrap()
    }

    #[test]
    fn the_published_example_is_signed_as_published() {
        let query = "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai";
        let headers = [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", EMPTY),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
        ];
        let (signature, request) =
            signature(&request(query, "YourAccessKeyId", &headers), "YourAccessKeySecret").unwrap();
        let hash = hex::encode(Sha256::digest(request.as_bytes()));
        assert_eq!(hash, "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259");
        assert_eq!(signature, "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0");
    }

    #[test]
    fn a_captured_request_of_the_official_client_is_signed_as_it_signed() {
        // Unsorted and with `+` for a space, as that client writes them.
        let query = "VSwitchId=vsw-1&UniqueSuffix=True&Amount=3&ClientToken=tok-1&DataDisk.1.Category=cloud_essd\
                     &DataDisk.1.Size=100&HostName=m-%5B0%2C3%5D&ImageId=img~x%2By+z*&RegionId=cn-hangzhou\
                     &InstanceName=%E4%B8%AD%E6%96%87-%5B0%2C3%5D&InstanceType=ecs.g6.large&MinAmount=3\
                     &Password=Aa1~%3D%2B%25%5E*%2F%28%29&SecurityGroupId=sg-1&SystemDisk.Category=cloud_essd\
                     &SystemDisk.Size=100&Tag.1.Key=product&Tag.1.Value=my-cluster&Tag.2.Key=role&Tag.2.Value=master";
        let headers = [
            ("accept", "application/json"),
            ("host", "127.0.0.1:18080"),
            ("user-agent", "AlibabaCloud (Linux; x86_64) Python/3.11.7 Core/0.4.3 TeaDSL/2"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", EMPTY),
            ("x-acs-credentials-provider", "static_ak"),
            ("x-acs-date", "2026-11-23T16:03:25Z"),
            ("x-acs-signature-nonce", "f9c5e680d5f85b96cc2250b0c7d68a68"),
            ("x-acs-version", "2014-05-26"),
        ];
        let (signature, _) = signature(&request(query, "testid", &headers), "testsecret").unwrap();
        assert_eq!(signature, "f4c379b884337fc091fc3cecbcf0d95ea9359184488f79bdce6624d954abf168");
    }

    #[test]
    fn every_header_of_the_protocol_must_be_signed() {
        let received = request("a=b", "k", &[("host", "h"), ("x-acs-content-sha256", EMPTY)]);
        assert!(signature(&received, "s").is_ok());
        let mut unsigned = received;
        unsigned.headers.insert("x-acs-extra", "1".parse().unwrap());
        assert_eq!(signature(&unsigned, "s").unwrap_err().code, "IncompleteSignature");
    }
}
