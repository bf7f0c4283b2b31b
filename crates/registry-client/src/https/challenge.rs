//! What a registry wants before it answers: the header `WWW-Authenticate`.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;

/// Longer headers are not looked at, in bytes.
const HEADER_LIMIT: usize = 8 << 10;
/// More headers than these are not looked at.
const COUNT_LIMIT: usize = 8;

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// It says nothing, or nothing that is understood.
    None,
    /// With user and password.
    Basic,
    /// With a token from `realm`, a URL that nobody has checked yet.
    Bearer { realm: String, service: Option<String> },
}

/// What the answer asks for. A token is preferred: then the password goes to the token server alone.
pub(super) fn challenge(headers: &HeaderMap) -> Challenge {
    let mut found = Challenge::None;
    for value in headers.get_all(WWW_AUTHENTICATE).iter().take(COUNT_LIMIT) {
        let Some(text) = value.to_str().ok().filter(|text| text.len() <= HEADER_LIMIT) else { continue };
        for challenge in ChallengeParser::new(text).map_while(Result::ok) {
            match bearer(&challenge) {
                Some(bearer) => return bearer,
                None if challenge.scheme.eq_ignore_ascii_case("basic") => found = Challenge::Basic,
                None => {}
            }
        }
    }
    found
}

fn bearer(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    if !challenge.scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameter = |wanted: &str| {
        let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
    };
    Some(Challenge::Bearer { realm: parameter("realm")?, service: parameter("service") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[&str]) -> Challenge {
        challenge(&values.iter().map(|value| (WWW_AUTHENTICATE, value.parse().unwrap())).collect())
    }

    fn token(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#;
        let expected = token("https://auth.docker.io/token", Some("registry.docker.io"));
        assert_eq!(of(&[hub]), expected);
        assert_eq!(of(&[&format!(r#"{hub},scope="repository:a:pull",error="invalid_token""#)]), expected);
        assert_eq!(of(&["Basic realm=\"x\"", hub]), expected, "a token is preferred");
        assert_eq!(of(&[&format!("Basic realm=\"x\", {hub}")]), expected);
        assert_eq!(of(&["bearer REALM=\"http://a/t\""]), token("http://a/t", None));
        assert_eq!(of(&["BASIC realm=\"Registry Realm\""]), Challenge::Basic);
    }

    #[test]
    fn what_is_malformed_or_huge_asks_for_nothing() {
        let long = format!(r#"Bearer realm="https://a/{}""#, "x".repeat(HEADER_LIMIT));
        let many = vec!["Negotiate"; COUNT_LIMIT];
        for values in [
            &[][..],
            &["Negotiate"],
            &["Bearer"],
            &["Bearer realm=\"\""],
            &["Bearer service=\"x\""],
            &["Bearer realm=\"unterminated"],
            &["\u{1}"[..0].as_ref()],
            &[long.as_str()],
            &[many.as_slice(), &["Basic realm=\"x\""]].concat(),
        ] {
            assert_eq!(of(values), Challenge::None, "{values:?}");
        }
    }
    proptest! {
        #[test]
        fn no_header_is_too_odd(text in "(Bearer|Basic|bearer)?( |,|realm=|service=|\"|\\\\|=|https://a/t|[ -~\u{80}-\u{ff}]{0,4}){0,20}") {
            let value = http::HeaderValue::from_bytes(&text.chars().map(|letter| letter as u8).collect::<Vec<_>>());
            let Ok(value) = value else { return Ok(()) };
            if let Challenge::Bearer { realm, service } = challenge(&[(WWW_AUTHENTICATE, value)].into_iter().collect()) {
                prop_assert!(!realm.is_empty() && service != Some(String::new()));
            }
        }
    }
}
