//! Reads jump hosts.

use super::{
    fields::{Fields, Problems, text},
    login::{key_path, secret},
    rules,
};
use crate::{
    ErrorKind, Jump, MAX_JUMPS, SshHost,
    yaml::{Node, Value},
};

/// The forms of a jump host, for messages.
const ONE: &str = "a jump host: a text, or a mapping with `host`";

/// Reads one jump host, or a list of them; the empty text means none.
pub(crate) fn read(node: &Node, problems: &mut Problems) -> Vec<Jump> {
    let entries = match &node.value {
        Value::List(entries) => entries.as_slice(),
        _ if node.is_empty_text() => &[],
        _ => std::slice::from_ref(node),
    };
    if entries.len() > MAX_JUMPS {
        problems.add(node.span, ErrorKind::TooManyJumps);
    }
    entries.iter().filter_map(|entry| one(entry, problems)).collect()
}

fn one(node: &Node, problems: &mut Problems) -> Option<Jump> {
    match &node.value {
        Value::Map(_) => mapping(node, problems),
        Value::Scalar { text, .. } if !node.is_null() && !text.is_empty() => {
            problems.keep(node.span, written(text.trim()))
        }
        _ => {
            let found = if node.is_empty_text() { "nothing" } else { node.shape() };
            problems.add(node.span, ErrorKind::Expected { expected: ONE, found });
            None
        }
    }
}

fn mapping(node: &Node, problems: &mut Problems) -> Option<Jump> {
    let mut fields = Fields::open(node, "the jump host", problems)?;
    let host = match fields.require("host") {
        Some(host) if host.is_empty_text() => {
            fields.missing("host");
            None
        }
        Some(host) => text(host, problems).and_then(|text| problems.keep(host.span, text.trim().parse::<SshHost>())),
        None => None,
    };
    let user = fields.valid("user", rules::USER, problems);
    let port = fields.port("port", problems).unwrap_or(22);
    let password = fields.take("passwd").and_then(|node| secret(node, problems));
    let private_key = fields.take("pk").and_then(|node| key_path(node, problems));
    let private_key_password = fields.take("pkPasswd").and_then(|node| secret(node, problems));
    fields.finish(problems);
    Some(Jump { host: host?, port, user, password, private_key, private_key_password })
}

/// Reads `[user@]host[:port]`.
fn written(text: &str) -> Result<Jump, ErrorKind> {
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, text),
    };
    // The password of `user:password@host` must not appear in a message.
    if user.is_some_and(|user| user.contains(':')) {
        let expected = "`[user@]host[:port]`; a password is the field `passwd` of a mapping";
        return Err(ErrorKind::Expected { expected, found: "a login name with a colon" });
    }
    if let Some(user) = user {
        rules::USER.check(user)?;
    }
    let (host, port) = split(place).ok_or_else(|| rules::JUMP.refusal(text))?;
    let host: SshHost = host.parse().map_err(|kind| match kind {
        ErrorKind::NotAHostAddress(_) => kind,
        _ => rules::JUMP.refusal(text),
    })?;
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| rules::JUMP.refusal(text))?,
        None => 22,
    };
    Ok(Jump { port, user: user.map(str::to_owned), ..Jump::new(host) })
}

/// Host and port; an IPv6 address with a port stands in brackets.
fn split(place: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        return host.contains(':').then_some((host, port));
    }
    match place.split_once(':') {
        // More colons make an IPv6 address.
        Some((host, port)) if !port.contains(':') => Some((host, Some(port))),
        _ => Some((place, None)),
    }
}
