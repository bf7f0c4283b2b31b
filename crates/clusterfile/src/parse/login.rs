//! Reads `ssh` of the cluster, and of a host that overrides it.

use super::{
    fields::{Fields, Problems, text},
    jump, rules,
};
use crate::{ErrorKind, Secret, Ssh, yaml::Node};

/// Reads `ssh` of a mapping, overlaid on what holds for the cluster.
///
/// A host unsets a field of the cluster with the empty text `""`.
pub(crate) fn read(parent: &mut Fields<'_>, base: Option<&Ssh>, problems: &mut Problems) -> Ssh {
    let mut ssh = base.cloned().unwrap_or_default();
    let Some(mut fields) = parent.take("ssh").and_then(|node| Fields::open(node, "ssh", problems)) else {
        return ssh;
    };
    if let Some(user) = fields.valid("user", rules::USER, problems) {
        ssh.user = user;
    }
    if let Some(port) = fields.port("port", problems) {
        ssh.port = port;
    }
    if let Some(password) = fields.take("passwd") {
        ssh.password = secret(password, problems);
    }
    if let Some(key) = fields.take("pk") {
        ssh.private_key = key_path(key, problems);
    }
    if let Some(password) = fields.take("pkPasswd") {
        ssh.private_key_password = secret(password, problems);
    }
    if let Some(hops) = fields.take("jump") {
        ssh.jump = jump::read(hops, problems);
    }
    if fields.boolean("encrypted", problems) == Some(true) {
        problems.add(fields.span_of("encrypted"), ErrorKind::Encrypted);
    }
    fields.finish(problems);
    ssh
}

pub(super) fn secret(node: &Node, problems: &mut Problems) -> Option<Secret> {
    text(node, problems).filter(|text| !text.is_empty()).map(Secret::from)
}

/// A key that was pasted where its path belongs must not appear in a message.
pub(super) fn key_path(node: &Node, problems: &mut Problems) -> Option<String> {
    let path = text(node, problems).filter(|text| !text.is_empty())?;
    let checked = rules::KEY_PATH
        .check(&path)
        .map_err(|_| ErrorKind::Expected { expected: "the path of a private key", found: "another text" });
    problems.keep(node.span, checked).map(|()| path)
}
