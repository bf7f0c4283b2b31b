//! Who works on a cluster: a user of a machine, with one state directory.

use crate::{ClusterState, Error};

/// The file in a state directory that tells it from others.
const FILE: &str = "operator";
/// No list of users is larger.
const USERS_LIMIT: u64 = 4 << 20;

/// An operator. Only one process at a time holds a state directory, so what this one left behind is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operator {
    name: String,
    id: String,
}

impl Operator {
    /// The user of this process with this state directory, which gets an id when it has none.
    ///
    /// # Errors
    ///
    /// When the id can neither be read nor made.
    pub(crate) fn of(state: &ClusterState) -> Result<Self, Error> {
        let is_id = |id: &str| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let known = state.read(FILE)?.map(|text| text.expose().trim().to_owned()).filter(|id| is_id(id));
        let id = match known {
            Some(id) => id,
            None => {
                let mut random = [0; 8];
                getrandom::fill(&mut random).map_err(|error| Error::State {
                    act: "make an id for",
                    path: state.file(FILE),
                    source: std::io::Error::other(error),
                })?;
                let id = format!("{:016x}", u64::from_be_bytes(random));
                state.write(FILE, format!("{id}\n").as_bytes())?;
                id
            }
        };
        Ok(Self { name: name(), id })
    }

    /// For people: `alice@desk`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What tells state directories apart.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Both: what a Lease names as its holder.
    pub(crate) fn identity(&self) -> String {
        format!("{}/{}", self.name, self.id)
    }

    #[cfg(test)]
    pub(crate) fn test(name: &str, id: &str) -> Self {
        Self { name: name.to_owned(), id: id.to_owned() }
    }
}

/// User and machine of this process.
fn name() -> String {
    let user = rustix::process::geteuid().as_raw();
    let users = atomic_file::read_limited(std::path::Path::new("/etc/passwd"), USERS_LIMIT).ok().flatten();
    let users = String::from_utf8(users.unwrap_or_default()).unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    });
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    // It is part of messages at other places, and `/` ends it in a Lease.
    let plain = |text: String| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ')).take(64).collect()
    };
    format!("{}@{}", plain(named.unwrap_or_else(|| format!("user {user}"))), plain(host.into_owned()))
}
