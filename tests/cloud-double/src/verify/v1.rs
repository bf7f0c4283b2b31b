//! Verifies signatures of scheme V1 (HMAC-SHA1, everything in parameters).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::Claim;
use super::encode::{canonical, encode};
use crate::failure::{Failure, Outcome};
use crate::log::Scheme;
use crate::parameters::Parameters;
use crate::received::Received;

/// Parameters that describe and sign a call.
const COMMON: &[&str] = &["SignatureMethod", "SignatureVersion", "SignatureType"];

pub(super) fn claim(received: &Received) -> Outcome<Claim> {
    if !matches!(received.method.as_str(), "GET" | "POST") || received.path != "/" {
        return Err(Failure::new(404, "InvalidAction.NotFound", "there is only / here, for GET and POST"));
    }
    let mut parameters = Parameters::new(received.query.iter().chain(&received.form).cloned())?;
    let incomplete = |name: &str| {
        let message = format!("the request does not conform to the signing standard: {name} is missing");
        Failure::new(400, "IncompleteSignature", message)
    };
    let mut take = |name: &str| parameters.take(name).filter(|value| !value.is_empty()).ok_or_else(|| incomplete(name));
    let claim = Claim {
        scheme: Scheme::V1,
        action: take("Action").map_err(|_| Failure::missing("Action"))?,
        version: take("Version").map_err(|_| Failure::missing("Version"))?,
        key_id: take("AccessKeyId").map_err(|_| Failure::missing("AccessKeyId"))?,
        timestamp: take("Timestamp")?,
        nonce: take("SignatureNonce")?,
        signature: take("Signature")?,
        token: take("SecurityToken").ok(),
        json: take("Format").is_ok_and(|format| format.eq_ignore_ascii_case("json")),
        parameters: Parameters::default(),
    };
    let rules = [("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0")];
    if let Some((name, _)) = rules.iter().find(|(name, value)| parameters.get(name) != Some(value)) {
        return Err(Failure::new(400, &format!("Invalid{name}"), format!("{name} is not supported")));
    }
    for name in COMMON {
        parameters.take(name);
    }
    Ok(Claim { parameters, ..claim })
}

/// The signature as it should be, and what was signed.
pub(super) fn signature(received: &Received, secret: &str) -> (String, String) {
    let pairs = received.query.iter().chain(&received.form).filter(|(name, _)| name != "Signature");
    let signed = format!("{}&%2F&{}", received.method, encode(&canonical(pairs)));
    let mac = Hmac::<Sha1>::new_from_slice(format!("{secret}&").as_bytes()).map(|mac| mac.chain_update(&signed));
    let signature = mac.map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default();
    (signature, signed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;

    fn signed(method: &str, secret: &str, query: &str) -> String {
        let request = http::Request::builder().method(method).uri(format!("http://h/?{query}"));
        signature(&Received::read(request.body(Bytes::new()).unwrap()).unwrap(), secret).0
    }

    #[test]
    fn the_published_example_is_signed_as_published() {
        let query = "Timestamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions\
                     &SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf\
                     &Version=2014-05-26&SignatureVersion=1.0&Signature=ignored";
        assert_eq!(signed("GET", "testsecret", query), "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
        assert_ne!(signed("POST", "testsecret", query), "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
    }

    #[test]
    fn a_captured_request_of_the_official_client_is_signed_as_it_signed() {
        // Spaces as `+`, as some clients write them: what is decoded is the same.
        let query = "AccessKeyId=testid&Action=RunInstances&Amount=3&ClientToken=tok-1&DataDisk.1.Category=cloud_essd\
                     &DataDisk.1.Size=100&Format=JSON&HostName=m-%5B0%2C3%5D&ImageId=img~x%2By+z*\
                     &InstanceName=%E4%B8%AD%E6%96%87-%5B0%2C3%5D&InstanceType=ecs.g6.large&MinAmount=3\
                     &Password=Aa1~%3D%2B%25%5E*%2F%28%29&RegionId=cn-hangzhou&SecurityGroupId=sg-1\
                     &SignatureMethod=HMAC-SHA1&SignatureNonce=83ec1e8d8e42becce8f2622157d3110b&SignatureType=\
                     &SignatureVersion=1.0&SystemDisk.Category=cloud_essd&SystemDisk.Size=100&Tag.1.Key=product\
                     &Tag.1.Value=my-cluster&Tag.2.Key=role&Tag.2.Value=master&Timestamp=2026-11-23T15%3A38%3A03Z\
                     &UniqueSuffix=True&VSwitchId=vsw-1&Version=2014-05-26";
        assert_eq!(signed("POST", "testsecret", query), "t6Q5ZgXAb2MNBP+haTbMudfeK1k=");
    }
}
