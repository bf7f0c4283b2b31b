//! Signs requests (scheme V3).

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// Name of the signature algorithm of version 3, as it stands in `authorization`.
pub const V3_ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// A signature of version 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V3Signature {
    /// SHA-256 of the canonical request, hexadecimal; the cloud names it when a signature does not match.
    pub canonical_hash: String,
    /// Names of the signed headers, sorted, joined by `;`.
    pub signed_headers: String,
    /// The signature, hexadecimal.
    pub signature: String,
}

impl V3Signature {
    /// Value of the header `authorization` for the access key `id`.
    #[must_use]
    pub fn authorization(&self, id: &str) -> String {
        format!("{V3_ALGORITHM} Credential={id},SignedHeaders={},Signature={}", self.signed_headers, self.signature)
    }
}

/// Signs a POST to `/` with ACS3-HMAC-SHA256: the secret is the key as it is. `query` is as [`canonical_query`] makes it,
/// `headers` are those to sign: lower-case names, each once, in any order; `body_sha256` is the [`sha256_hex`] of the body.
#[must_use]
pub fn v3(query: &str, headers: &[(&str, &str)], body_sha256: &str, secret: &str) -> V3Signature {
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.trim())).collect();
    headers.sort_unstable();
    let signed_headers = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("POST\n/\n{query}\n{lines}\n{signed_headers}\n{body_sha256}");
    let canonical_hash = sha256_hex(canonical.as_bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{V3_ALGORITHM}\n{canonical_hash}").as_bytes());
    V3Signature { canonical_hash, signed_headers, signature: hex::encode(mac.finalize().into_bytes()) }
}

/// The parameters sorted by name and percent-encoded, `name=value` joined by `&`.
#[must_use]
pub fn canonical_query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut sorted: Vec<(&str, &str)> = parameters.into_iter().collect();
    sorted.sort_unstable();
    let pairs: Vec<String> =
        sorted.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Percent-encodes as RFC 3986 says: letters, digits and `-_.~` stay, everything else is `%XX` in capitals.
#[must_use]
pub fn encode(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use sha1::Sha1;

    /// What an official client was seen to send.
    const RUN_INSTANCES: [(&str, &str); 20] = [
        ("Amount", "3"),
        ("ClientToken", "tok-1"),
        ("DataDisk.1.Category", "cloud_essd"),
        ("DataDisk.1.Size", "100"),
        ("HostName", "m-[0,3]"),
        ("ImageId", "img~x+y z*"),
        ("InstanceName", "中文-[0,3]"),
        ("InstanceType", "ecs.g6.large"),
        ("MinAmount", "3"),
        ("Password", "Aa1~=+%^*/()"),
        ("RegionId", "cn-hangzhou"),
        ("SecurityGroupId", "sg-1"),
        ("SystemDisk.Category", "cloud_essd"),
        ("SystemDisk.Size", "100"),
        ("Tag.1.Key", "product"),
        ("Tag.1.Value", "my-cluster"),
        ("Tag.2.Key", "role"),
        ("Tag.2.Value", "master"),
        ("UniqueSuffix", "True"),
        ("VSwitchId", "vsw-1"),
    ];

    /// Signs with version 1 (RPC, HMAC-SHA1), whose published examples also say whether encoding and order are right: `parameters` are all of query and form except `Signature`.
    fn v1<'a>(method: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>, secret: &str) -> String {
        let text = format!("{method}&%2F&{}", encode(&canonical_query(parameters)));
        let key = format!("{secret}&");
        let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    #[test]
    fn version_1_gives_the_published_signature() {
        let parameters = [
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Format", "XML"),
            ("AccessKeyId", "testid"),
            ("Action", "DescribeRegions"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("Version", "2014-05-26"),
            ("SignatureVersion", "1.0"),
        ];
        assert_eq!(v1("GET", parameters, "testsecret"), "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
    }

    #[test]
    fn version_1_gives_the_captured_signature() {
        let common = [
            ("AccessKeyId", "testid"),
            ("Action", "RunInstances"),
            ("Format", "JSON"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "83ec1e8d8e42becce8f2622157d3110b"),
            ("SignatureType", ""),
            ("SignatureVersion", "1.0"),
            ("Timestamp", "2026-11-23T15:38:03Z"),
            ("Version", "2014-05-26"),
        ];
        let parameters = RUN_INSTANCES.into_iter().chain(common);
        assert_eq!(v1("POST", parameters, "testsecret"), "t6Q5ZgXAb2MNBP+haTbMudfeK1k=");
    }

    #[test]
    fn version_3_gives_the_published_signature() {
        let body_sha256 = sha256_hex(b"");
        let query = canonical_query([
            ("RegionId", "cn-shanghai"),
            ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
        ]);
        let headers = [
            ("x-acs-version", "2014-05-26"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-content-sha256", body_sha256.as_str()),
            ("x-acs-action", "RunInstances"),
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
        ];
        let signed = v3(&query, &headers, &body_sha256, "YourAccessKeySecret");
        assert_eq!(signed.canonical_hash, "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259");
        assert_eq!(
            signed.authorization("YourAccessKeyId"),
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,\
             SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,\
             Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    #[test]
    fn version_3_gives_the_captured_signature() {
        let body_sha256 = sha256_hex(b"");
        let headers = [
            ("accept", "application/json"),
            ("host", "127.0.0.1:18080"),
            ("user-agent", "AlibabaCloud (Linux; x86_64) Python/3.11.7 Core/0.4.3 TeaDSL/2"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", body_sha256.as_str()),
            ("x-acs-credentials-provider", "static_ak"),
            ("x-acs-date", "2026-11-23T16:03:25Z"),
            ("x-acs-signature-nonce", "f9c5e680d5f85b96cc2250b0c7d68a68"),
            ("x-acs-version", "2014-05-26"),
        ];
        let query = canonical_query(RUN_INSTANCES);
        assert_eq!(
            v3(&query, &headers, &body_sha256, "testsecret").signature,
            "f4c379b884337fc091fc3cecbcf0d95ea9359184488f79bdce6624d954abf168"
        );
    }

    proptest! {
        #[test]
        fn the_canonical_query_depends_on_what_is_said_and_on_nothing_else(
            pairs in proptest::collection::btree_map(".{0,8}", ".{0,12}", 0..8),
            seed in any::<u64>(),
        ) {
            let mut pairs: Vec<(String, String)> = pairs.into_iter().collect();
            let said = pairs.clone();
            let refs = |pairs: &[(String, String)]| {
                canonical_query(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            };
            let straight = refs(&pairs);
            let turns = usize::try_from(seed % 8).unwrap_or(0).min(pairs.len());
            pairs.rotate_left(turns);
            pairs.reverse();
            prop_assert_eq!(&straight, &refs(&pairs));

            prop_assert!(straight.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%=&".contains(&byte)));
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let heard: Vec<(String, String)> = straight
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect();
            prop_assert_eq!(heard, said);
        }
    }
}
