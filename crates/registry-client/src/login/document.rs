//! A login file as text: which login it has for a registry, and the same text with another one.
//!
//! What is not about the login stays as it was written, byte for byte: other programs keep their settings in the same file.

use super::Login;
use super::host::{best, is_key_of, key_of};
use crate::error::shorten;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The fields of an entry that are its login.
const LOGIN_FIELDS: [&str; 5] = ["auth", "username", "password", "identitytoken", "registrytoken"];

/// What a login file says about a registry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    Here(Login),
    /// A credential helper keeps it under this key.
    Helper {
        program: String,
        key: String,
    },
}

/// A login file.
pub(super) struct Document {
    text: Zeroizing<String>,
    keys: Keys,
}

/// The parts of the file that say where a login is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keys {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(deserialize_with = "secret")]
    auth: Option<Secret>,
    username: Option<String>,
    #[serde(deserialize_with = "secret")]
    password: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    identitytoken: Option<Secret>,
}

/// An empty text is no secret.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::from))
}

impl Document {
    /// The reasons of errors have no secret.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // What nobody has written yet, and what an editor begins with, say nothing.
        let text = text.trim_start_matches('\u{feff}').trim();
        let text = Zeroizing::new(if text.is_empty() { "{}" } else { text }.to_owned());
        // The parser's message may quote a secret, so only the place is told.
        let keys = serde_json::from_str(&text).map_err(|error| {
            format!("it is not a docker configuration (line {}, column {})", error.line(), error.column())
        })?;
        // A list has the same fields in the eyes of the parser.
        if !text.starts_with('{') {
            return Err("it is not a docker configuration (line 1, column 1)".to_owned());
        }
        Ok(Self { text, keys })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where the login for a registry is, or for a repository of it.
    pub(super) fn find(&self, host: &str, repository: Option<&str>) -> Result<Kept, String> {
        if let Some((key, program)) = self.own_helper(host, repository) {
            return Ok(Kept::Helper { program: program.to_owned(), key: key.to_owned() });
        }
        let auths = self.keys.auths.iter().flatten();
        let with_login = auths.filter(|(_, entry)| entry.as_ref().is_some_and(Entry::has_login)).map(|(key, _)| key);
        if let Some(key) = best(with_login, host, repository)
            && let Some(entry) = self.entry(key)
        {
            return entry.login().map(Kept::Here).map_err(|reason| format!("no login for {host}: {reason}"));
        }
        Ok(match self.helper(host) {
            Some((program, key)) => Kept::Helper { program: program.to_owned(), key },
            None => Kept::Nothing,
        })
    }

    /// The program that keeps the logins for a registry, and its key there.
    pub(super) fn helper(&self, host: &str) -> Option<(&str, String)> {
        if let Some((key, program)) = self.own_helper(host, None) {
            return Some((program, key.to_owned()));
        }
        let is_excepted = best(self.keys.cred_helpers.iter().flatten().map(|(key, _)| key), host, None).is_some();
        let store = self.keys.creds_store.as_deref().filter(|program| !program.is_empty() && !is_excepted)?;
        let entries = self.keys.auths.iter().flatten().map(|(key, _)| key);
        Some((store, best(entries, host, None).unwrap_or_else(|| key_of(host)).to_owned()))
    }

    /// The program that is named for this registry alone. An empty name means that none is to be used.
    fn own_helper(&self, host: &str, repository: Option<&str>) -> Option<(&str, &str)> {
        let helpers = self.keys.cred_helpers.as_ref()?;
        let key = best(helpers.keys(), host, repository)?;
        helpers.get(key).filter(|program| !program.is_empty()).map(|program| (key, program.as_str()))
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.keys.auths.as_ref()?.get(key)?.as_ref()
    }

    /// The text with a login for the registry; `None` leaves an entry that says that a helper has it.
    pub(super) fn with(&self, host: &str, login: Option<&Login>) -> String {
        let entries = self.keys.auths.iter().flatten().map(|(key, _)| key);
        let key = best(entries, host, None).unwrap_or_else(|| key_of(host));
        self.edit(|auths| {
            let fields = login.map(fields).unwrap_or_default();
            match auths.iter_mut().find(|member| member.name == key) {
                Some(member) => member.value = entry_text(&member.value, fields),
                None => auths.push(Member::new(key, entry_text("{}", fields))),
            }
        })
    }

    /// The text without any entry for the registry.
    pub(super) fn without(&self, host: &str) -> String {
        self.edit(|auths| auths.retain(|member| !is_key_of(&member.name, host)))
    }

    /// Whether there is an entry for the registry, be it empty.
    pub(super) fn mentions(&self, host: &str) -> bool {
        self.keys.auths.iter().flatten().any(|(key, _)| is_key_of(key, host))
    }

    fn edit(&self, change: impl FnOnce(&mut Vec<Member>)) -> String {
        let mut whole = members(&self.text).unwrap_or_default();
        let place = whole.iter().position(|member| member.name == "auths");
        let mut auths = place.and_then(|place| members(&whole[place].value)).unwrap_or_default();
        change(&mut auths);
        let auths = object_text(&auths, 2);
        match place {
            Some(place) => whole[place].value = auths,
            None => whole.insert(0, Member::new("auths", auths)),
        }
        object_text(&whole, 1)
    }
}

impl Entry {
    fn has_login(&self) -> bool {
        let user = self.username.as_ref().is_some_and(|user| !user.is_empty());
        self.auth.is_some() || self.identitytoken.is_some() || user
    }

    /// As docker reads it: `auth` counts more than the fields beside it, a token more than a password.
    fn login(&self) -> Result<Login, String> {
        let user = || self.username.clone().unwrap_or_default();
        let decoded = self.auth.as_ref().map(decode).transpose();
        if let Some(token) = &self.identitytoken {
            let user = decoded.ok().flatten().map_or_else(user, |(user, _)| user);
            return Ok(Login::identity_token(user, token.clone()));
        }
        Ok(match decoded? {
            Some((user, password)) => Login::Password { user, password },
            None => Login::password(user(), self.password.clone().unwrap_or_default()),
        })
    }
}

fn decode(auth: &Secret) -> Result<(String, Secret), String> {
    let wrong = || "its `auth` is not base64 of user:password".to_owned();
    let bytes = STANDARD.decode(auth.expose().trim()).map(Zeroizing::new).map_err(|_| wrong())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok((user.to_owned(), Secret::from(password.trim_matches('\0'))))
}

/// The fields of an entry that keep a login, as docker and podman write them.
fn fields(login: &Login) -> Vec<Member> {
    let auth = |user: &str, password: &str| {
        let text = Zeroizing::new(format!("{user}:{password}"));
        Member::new("auth", json(&STANDARD.encode(text.as_bytes())))
    };
    match login {
        Login::Password { user, password } => vec![auth(user, password.expose())],
        Login::IdentityToken { user, token } => {
            vec![auth(user, ""), Member::new("identitytoken", json(token.expose()))]
        }
    }
}

/// An entry with other login fields; what else it has stays.
fn entry_text(old: &str, mut fields: Vec<Member>) -> String {
    let rest = members(old).unwrap_or_default();
    fields.extend(rest.into_iter().filter(|member| !LOGIN_FIELDS.contains(&member.name.as_str())));
    object_text(&fields, 3)
}

/// A member of an object: its name, and key and value as they are written.
struct Member {
    name: String,
    key: String,
    value: String,
}

impl Member {
    fn new(name: &str, value: String) -> Self {
        Self { name: name.to_owned(), key: json(name), value }
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The members of an object in a text that is JSON; `None` when the text is no object.
fn members(object: &str) -> Option<Vec<Member>> {
    let mut rest = object.trim_matches(SPACE).strip_prefix('{')?.trim_start_matches(SPACE);
    let mut members = Vec::new();
    while !rest.starts_with('}') {
        let (key, after) = next_value(rest)?;
        let (value, after) = next_value(after.trim_start_matches(SPACE).strip_prefix(':')?)?;
        members.push(Member { name: serde_json::from_str(key).ok()?, key: key.to_owned(), value: value.to_owned() });
        rest = after.trim_start_matches(SPACE);
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start_matches(SPACE);
    }
    Some(members)
}

/// The value that a text begins with, and what follows it.
fn next_value(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(SPACE);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(text.split_at(values.byte_offset()))
}

/// An object as docker writes it, indented with tabs.
fn object_text(members: &[Member], depth: usize) -> String {
    if members.is_empty() {
        return "{}".to_owned();
    }
    let indent = "\t".repeat(depth);
    let lines: Vec<String> = members.iter().map(|member| format!("{indent}{}: {}", member.key, member.value)).collect();
    format!("{{\n{}\n{}}}", lines.join(",\n"), "\t".repeat(depth - 1))
}

/// The program that a helper's name stands for.
pub(super) fn program_of(name: &str) -> String {
    format!("docker-credential-{}", shorten(name, 60))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn document(text: &str) -> Document {
        Document::parse(text).unwrap()
    }

    fn auth(user: &str, password: &str) -> String {
        STANDARD.encode(format!("{user}:{password}"))
    }

    fn helper(program: &str, key: &str) -> Kept {
        Kept::Helper { program: program.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn logins_are_found_by_host_however_the_key_is_written() {
        let document = document(&format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{}"}},"reg:5000":{{"auth":"{}"}},"http://old/v1/":{{"username":"u","password":"p"}},"none":null}},"other":1}}"#,
            auth("hub", "a:b"),
            auth("me", "secret"),
        ));
        for (host, user, password) in [
            ("docker.io", "hub", "a:b"),
            ("registry-1.docker.io", "hub", "a:b"),
            ("reg:5000", "me", "secret"),
            ("old", "u", "p"),
        ] {
            assert_eq!(document.find(host, Some("a/b")), Ok(Kept::Here(Login::password(user, password))), "{host}");
        }
        assert_eq!(document.find("reg", Some("a")), Ok(Kept::Nothing));
        assert_eq!(document.find("none", None), Ok(Kept::Nothing));
        assert_eq!(Document::parse("{}").unwrap().find("reg", None), Ok(Kept::Nothing));
    }

    #[test]
    fn a_namespace_of_podman_has_its_own_login() {
        let text = format!(
            r#"{{"auths":{{"quay.io":{{"auth":"{}"}},"quay.io/team":{{"auth":"{}"}}}}}}"#,
            auth("all", "1"),
            auth("team", "2")
        );
        let document = document(&text);
        let of = |repository| document.find("quay.io", repository).unwrap();
        assert_eq!(of(Some("team/shop")), Kept::Here(Login::password("team", "2")));
        assert_eq!(of(Some("other/shop")), Kept::Here(Login::password("all", "1")));
        assert_eq!(of(None), Kept::Here(Login::password("all", "1")));
        let without = document.without("quay.io");
        assert!(without.contains("quay.io/team") && !without.contains(&auth("all", "1")), "{without}");
    }

    #[test]
    fn helpers_are_named_with_their_key() {
        let document = document(
            r#"{"auths":{"https://reg/v1/":{},"other":{"auth":"dTpw"},"plain":{}},"credsStore":"desktop","credHelpers":{"cloud":"gcr","plain":""}}"#,
        );
        assert_eq!(document.find("reg", None).unwrap(), helper("desktop", "https://reg/v1/"));
        assert_eq!(document.find("unknown", None).unwrap(), helper("desktop", "unknown"));
        assert_eq!(document.find("docker.io", None).unwrap(), helper("desktop", "https://index.docker.io/v1/"));
        assert_eq!(document.find("cloud", Some("a")).unwrap(), helper("gcr", "cloud"));
        assert_eq!(document.find("other", None).unwrap(), Kept::Here(Login::password("u", "p")));
        assert_eq!(document.find("plain", None).unwrap(), Kept::Nothing, "no helper is to be used");
        assert_eq!(document.helper("plain"), None);
    }

    #[test]
    fn identity_tokens_count_more_than_passwords() {
        let document =
            document(r#"{"auths":{"reg":{"auth":"dTpw","identitytoken":"t0ken"},"b":{"identitytoken":"x"}}}"#);
        assert_eq!(document.find("reg", None).unwrap(), Kept::Here(Login::identity_token("u", "t0ken")));
        assert_eq!(document.find("b", None).unwrap(), Kept::Here(Login::identity_token("", "x")));
    }

    #[test]
    fn wrong_configurations_are_refused_without_their_secrets() {
        for text in ["[1]", "[]", "7", r#"{"auths":{"reg":{"auth":7}}}"#, r#"{"auths":{"reg":"hunter2"}}"#, "{"] {
            let error = Document::parse(text).err().unwrap();
            assert!(error.contains("is not a docker configuration") && !error.contains("hunter2"), "{error}");
        }
        let error = document(r#"{"auths":{"reg":{"auth":"hunter2!"}}}"#).find("reg", None).unwrap_err();
        assert!(error.contains("reg") && !error.contains("hunter2"), "{error}");
        let found =
            document(&format!(r#"{{"auths":{{"reg":{{"auth":"{}"}}}}}}"#, auth("me", "hunter2"))).find("reg", None);
        let shown = format!("{found:?}");
        assert!(!shown.contains("hunter2") && !shown.contains(&auth("me", "hunter2")), "{shown}");
    }

    #[test]
    fn a_new_login_is_written_as_docker_writes_it() {
        let login = Login::password("me", "pass");
        let written = document("").with("reg:5000", Some(&login));
        assert_eq!(
            written,
            format!(
                "{{\n\t\"auths\": {{\n\t\t\"reg:5000\": {{\n\t\t\t\"auth\": \"{}\"\n\t\t}}\n\t}}\n}}",
                auth("me", "pass")
            )
        );
        let token = Login::identity_token("me", "t\"k");
        let renewed = document(&written).with("reg:5000", Some(&token));
        assert!(renewed.contains(r#""identitytoken": "t\"k""#) && !renewed.contains(&auth("me", "pass")), "{renewed}");
        assert_eq!(document(&renewed).find("reg:5000", None).unwrap(), Kept::Here(token));
        let empty = document(&renewed).with("reg:5000", None);
        assert_eq!(empty, "{\n\t\"auths\": {\n\t\t\"reg:5000\": {}\n\t}\n}");
        assert_eq!(document(&empty).without("reg:5000"), "{\n\t\"auths\": {}\n}");
        assert!(document("{}").with("docker.io", Some(&login)).contains("\"https://index.docker.io/v1/\": {"));
        let odd = document(r#"{"auths":{"http://reg/v1/":{"email":"a@b","auth":"x","more":{"b":1,"a":[ 2 ]}}}}"#);
        let changed = odd.with("reg", Some(&login));
        assert!(changed.contains(r#""more": {"b":1,"a":[ 2 ]}"#) && changed.contains("a@b"), "{changed}");
        assert!(!changed.contains("\"reg\""), "the key stays as it was: {changed}");
    }

    /// Values as other programs may write them, also those that no number type holds.
    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("1e400".to_owned()),
            Just("123456789012345678901234567890".to_owned()),
            Just("-0.10".to_owned()),
            Just("\"\\u00e9 \\\" } ] , :\"".to_owned()),
            Just("null".to_owned()),
            Just("true".to_owned()),
            "[a-z {}\\[\\],:\u{e9}]{0,8}".prop_map(|text| json(&text)),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let list =
                prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[ {}]", items.join(" ,\n")));
            let object = prop::collection::vec(("[a-z]{1,4}", inner), 0..3).prop_map(|items| {
                let items: Vec<_> =
                    items.into_iter().map(|(key, value)| format!("\t{} :{value}", json(&key))).collect();
                format!("{{{}\r\n}}", items.join(","))
            });
            prop_oneof![list, object]
        })
    }

    /// What is in an object: keys and values as they are written, in their order.
    fn raw(object: &str) -> Vec<(String, String)> {
        members(object).unwrap().into_iter().map(|member| (member.key, member.value)).collect()
    }

    proptest! {
        #[test]
        fn what_is_not_about_the_login_stays_as_it_was(
            names in prop::collection::btree_set("[a-zA-Z$ \\\\\"]{1,6}", 0..5),
            values in prop::collection::vec(value(), 5),
            hosts in prop::collection::btree_set("[a-z]{1,5}\\.example(:[1-9][0-9]{0,3})?", 0..4),
            place in 0usize..5,
            user in "[^:\0]{0,9}",
            password in "[^\0]{0,20}",
        ) {
            let mut lines: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("{} : {value}", json(&format!("x{name}")))).collect();
            let entries: Vec<String> = hosts.iter().zip(&values).map(|(host, value)| format!("{}:{{\"auth\":\"dTpw\", \"more\":{value}}}", json(host))).collect();
            lines.insert(place.min(lines.len()), format!("\"auths\": {{{}}}", entries.join(" , ")));
            let text = format!("{{ {} }}", lines.join(",\n "));
            let login = Login::password(user, password);
            let with = document(&text).with("new:5000", Some(&login));
            prop_assert_eq!(document(&with).find("new:5000", Some("a")), Ok(Kept::Here(login)));
            let (before, after) = (raw(&text), raw(&with));
            prop_assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(&after) {
                prop_assert_eq!(&before.0, &after.0);
                if before.0 == "\"auths\"" {
                    let (before, after) = (raw(&before.1), raw(&after.1));
                    prop_assert_eq!(&after[..before.len()], &before[..]);
                    prop_assert_eq!(after.len(), before.len() + 1);
                } else {
                    prop_assert_eq!(&before.1, &after.1);
                }
            }
            // Back again: only white space differs.
            let without = document(&with).without("new:5000");
            prop_assert_eq!(raw(&without).iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), before.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
            let auths = |text: &str| raw(&raw(text).into_iter().find(|(key, _)| key == "\"auths\"").unwrap().1);
            prop_assert_eq!(auths(&without), auths(&text));
            prop_assert_eq!(document(&without).find("new:5000", None), Ok(Kept::Nothing));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            if let Ok(document) = Document::parse(&text) {
                let _ = document.find("reg", None);
                prop_assert!(Document::parse(&document.with("reg", Some(&Login::password("a", "b")))).is_ok());
            }
        }
    }
}
