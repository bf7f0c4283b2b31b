//! SSH logins and jump hosts.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::{ErrorKind, Secret, addresses::checked, parse::rules};

/// The most jump hosts on the way to a host.
pub const MAX_JUMPS: usize = 8;

/// How to log in to a host. In [`crate::Host`] this is the effective value: the cluster's, overlaid by the host's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ssh {
    /// The login name, `root` when the file does not say.
    pub user: String,
    /// The password, if one is used.
    pub password: Option<Secret>,
    /// The path of the private key exactly as written (`~` is not expanded here).
    pub private_key: Option<String>,
    /// What decrypts the private key.
    pub private_key_password: Option<Secret>,
    /// The TCP port, 22 when the file does not say.
    pub port: u16,
    /// The hosts on the way, the first to be reached in front; none when the host is reached directly.
    /// What a single host makes of it is [`crate::Host::jumps`].
    pub jump: Vec<Jump>,
}

impl Ssh {
    /// The same login, with the private key at this path.
    #[must_use]
    pub fn with_private_key(self, path: impl Into<String>) -> Self {
        Self { private_key: Some(path.into()), ..self }
    }

    /// The paths of all private keys, those of the jump hosts too.
    pub fn key_paths_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.private_key.iter_mut().chain(self.jump.iter_mut().filter_map(|jump| jump.private_key.as_mut()))
    }
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            user: "root".to_owned(),
            password: None,
            private_key: None,
            private_key_password: None,
            port: 22,
            jump: Vec::new(),
        }
    }
}

/// A host that passes connections on to others. It needs an SSH server that allows it, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Jump {
    /// Where it is; the jump host before it must reach it there.
    pub host: SshHost,
    /// The TCP port, 22 when the file does not say.
    pub port: u16,
    /// The login name; that of the host behind it when the file does not say.
    pub user: Option<String>,
    /// The password, if one is given.
    pub password: Option<Secret>,
    /// The path of the private key as written, if one is given.
    pub private_key: Option<String>,
    /// What decrypts the private key.
    pub private_key_password: Option<Secret>,
}

impl Jump {
    /// A jump host that is logged in to as the hosts behind it are, at port 22.
    #[must_use]
    pub fn new(host: impl Into<SshHost>) -> Self {
        Self { host: host.into(), port: 22, user: None, password: None, private_key: None, private_key_password: None }
    }

    /// How to log in to it on the way to a host that is logged in to as `own` says.
    ///
    /// Password and private key are the jump host's own when it has one of them, else both are the host's.
    #[must_use]
    pub fn login(&self, own: &Ssh) -> Ssh {
        let inherits = self.password.is_none() && self.private_key.is_none();
        let (password, private_key) =
            if inherits { (&own.password, &own.private_key) } else { (&self.password, &self.private_key) };
        let inherited = own.private_key_password.as_ref().filter(|_| inherits);
        Ssh {
            user: self.user.clone().unwrap_or_else(|| own.user.clone()),
            password: password.clone(),
            private_key: private_key.clone(),
            private_key_password: self.private_key_password.as_ref().or(inherited).cloned(),
            port: self.port,
            jump: Vec::new(),
        }
    }
}

/// Where an SSH server is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SshHost {
    /// At an address.
    Address(IpAddr),
    /// At the addresses of a DNS name, in lower case; it is resolved when connecting.
    Name(String),
}

impl FromStr for SshHost {
    type Err = ErrorKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return checked(address).map(Self::Address);
        }
        rules::JUMP_HOST.check(text).map(|()| Self::Name(text.to_ascii_lowercase()))
    }
}

impl From<IpAddr> for SshHost {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        for good in ["8.8.8.8", "fd00::1", "bastion", "gw-1.example.com", "1and1.example"] {
            assert_eq!(good.parse::<SshHost>().unwrap().to_string(), good);
        }
        assert_eq!("GW.Example".parse(), Ok(SshHost::Name("gw.example".to_owned())));
        for bad in ["", "0.0.0.0", "10.0.0", "300.1.1.1", "a b", "-x", "a:b", "a/b", "[fd00::1]", "a.", "a,b"] {
            assert!(bad.parse::<SshHost>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_jump_host_that_says_nothing_is_logged_in_to_like_the_host() {
        let own = Ssh {
            user: "ops".to_owned(),
            password: Some("p".into()),
            private_key: Some("key".to_owned()),
            private_key_password: Some("q".into()),
            port: 2222,
            jump: vec![Jump::new(IpAddr::from([8, 8, 8, 8]))],
        };
        let jump = &own.jump[0];
        assert_eq!(jump.login(&own), Ssh { port: 22, jump: Vec::new(), ..own.clone() });
        let named = Jump { user: Some("gate".to_owned()), ..jump.clone() };
        assert_eq!(named.login(&own), Ssh { user: "gate".to_owned(), port: 22, jump: Vec::new(), ..own.clone() });
        let by_key = Jump { private_key: Some("other".to_owned()), ..jump.clone() };
        let login = by_key.login(&own);
        assert_eq!(login.private_key.as_deref(), Some("other"));
        assert_eq!((login.password, login.private_key_password), (None, None), "neither fits the other key");
    }
}
