//! Versions of Kubernetes, and the configuration format that the kubeadm of each reads.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A version of Kubernetes such as `v1.20.2`. Build metadata is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number; 0 when it was not written.
    pub patch: u32,
    /// What follows a dash, for example `rc.1`.
    pub pre_release: Option<String>,
}

/// A version of kubeadm's own configuration documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigApi {
    /// Kubernetes 1.15 to 1.21.
    V1Beta2,
    /// Kubernetes 1.22 to 1.30.
    V1Beta3,
    /// Kubernetes 1.31 and later.
    V1Beta4,
}

impl Version {
    /// Whether it is at least `major.minor`; a pre-release of `major.minor.0` counts as that.
    #[must_use]
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// The configuration format that this version's kubeadm reads without complaint.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] before 1.15 and after 1.x.
    pub fn config_api(&self) -> Result<ConfigApi, Error> {
        let refused = |reason| Error::Version { version: self.to_string(), reason };
        match (self.major, self.minor) {
            (1, 15..=21) => Ok(ConfigApi::V1Beta2),
            (1, 22..=30) => Ok(ConfigApi::V1Beta3),
            (1, 31..) => Ok(ConfigApi::V1Beta4),
            (0, _) | (1, _) => Err(refused("is older than 1.15, the oldest that can be installed")),
            _ => Err(refused("is not known; versions 1.15 and later of 1 can be installed")),
        }
    }
}

impl ConfigApi {
    /// The `apiVersion` of kubeadm's documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1Beta2 => "kubeadm.k8s.io/v1beta2",
            Self::V1Beta3 => "kubeadm.k8s.io/v1beta3",
            Self::V1Beta4 => "kubeadm.k8s.io/v1beta4",
        }
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Version { version: text.to_owned(), reason: "is not of the form v1.20.2" };
        let bare = text.trim();
        let bare = bare.strip_prefix('v').unwrap_or(bare);
        let bare = bare.split('+').next().unwrap_or_default();
        let (numbers, pre_release) = match bare.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (bare, None),
        };
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u32>().ok().filter(|_| digits).ok_or_else(refused)
        };
        let parts: Vec<&str> = numbers.split('.').collect();
        let (major, minor, patch) = match parts[..] {
            [major, minor] => (number(major)?, number(minor)?, 0),
            [major, minor, patch] => (number(major)?, number(minor)?, number(patch)?),
            _ => return Err(refused()),
        };
        let good = |pre: &&str| {
            let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            pre.len() <= 64 && pre.split('.').all(part)
        };
        if pre_release.is_some_and(|pre| !good(&pre)) {
            return Err(refused());
        }
        Ok(Self { major, minor, patch, pre_release: pre_release.map(str::to_owned) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)?;
        if let Some(pre) = &self.pre_release {
            write!(f, "-{pre}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_read_with_and_without_what_may_be_left_out() {
        assert_eq!(version("v1.20.2+build.7"), version("1.20.2"));
        assert_eq!(version("1.20"), version("v1.20.0"));
        assert_eq!(version("v1.31.0-rc.1").to_string(), "v1.31.0-rc.1");
        assert_ne!(version("v1.31.0-rc.1"), version("v1.31.0"));
        assert!(version("v1.100.0").at_least(1, 20) && !version("v1.9.11").at_least(1, 20));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in
            ["", "v", "1", "1.2.3.4", "v1.x.0", "1.+2.0", "1.20.2-", "1.20.2-a..b", "99999999999.0.0", "1.20.2-a b"]
        {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_kubeadm_gets_the_format_it_reads() {
        let api = |text: &str| version(text).config_api().map(ConfigApi::as_str).map_err(|error| error.to_string());
        assert_eq!(api("v1.15.0").unwrap(), "kubeadm.k8s.io/v1beta2");
        assert_eq!(api("v1.21.14").unwrap(), "kubeadm.k8s.io/v1beta2");
        assert_eq!(api("v1.22.0-rc.0").unwrap(), "kubeadm.k8s.io/v1beta3");
        assert_eq!(api("v1.30.9").unwrap(), "kubeadm.k8s.io/v1beta3");
        assert_eq!(api("v1.31.0").unwrap(), "kubeadm.k8s.io/v1beta4");
        assert!(api("v1.14.9").unwrap_err().contains("older than 1.15"));
        assert!(api("v2.0.0").is_err());
    }
}
