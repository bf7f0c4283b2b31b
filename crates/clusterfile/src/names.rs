//! Names of providers and runtimes. They are open, so that vendors can add their own.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::{ErrorKind, parse::rules};

/// The name under which a provider of hosts is registered, as written in `spec.provider`.
///
/// Any name of at most 63 letters, digits, `-`, `_` and `.` will do. Those that differ from a known name by upper and
/// lower case or separators alone (`ALICLOUD`, `bare-metal`) are refused, because they are typos.
///
/// ```
/// use clusterfile::ProviderName;
///
/// let name: ProviderName = "ACME_METAL".parse()?;
/// assert_ne!(name, ProviderName::BAREMETAL);
/// assert!("ALICLOUD".parse::<ProviderName>().is_err());
/// # Ok::<(), clusterfile::ErrorKind>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderName(Cow<'static, str>);

impl ProviderName {
    /// The hosts exist: the Clusterfile lists their addresses.
    pub const BAREMETAL: Self = Self(Cow::Borrowed("BAREMETAL"));
    /// Hosts are created on Alibaba Cloud.
    pub const ALI_CLOUD: Self = Self(Cow::Borrowed("ALI_CLOUD"));
    /// Hosts are containers of the Docker Engine of this machine.
    pub const CONTAINER: Self = Self(Cow::Borrowed("CONTAINER"));

    /// The names of the providers that are part of sealer.
    pub const KNOWN: [Self; 3] = [Self::BAREMETAL, Self::ALI_CLOUD, Self::CONTAINER];
}

/// The name by which an image's labels (`cluster.alpha.sealer.io/cluster-runtime-type`) select the runtime that makes hosts a cluster.
///
/// Any name of at most 63 letters, digits, `-`, `_` and `.` will do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeName(Cow<'static, str>);

impl RuntimeName {
    /// Kubernetes by kubeadm; also what an image without the label wants.
    pub const KUBERNETES: Self = Self(Cow::Borrowed("kubernetes"));
    /// Kubernetes by k3s.
    pub const K3S: Self = Self(Cow::Borrowed("k3s"));
    /// Kubernetes by k0s.
    pub const K0S: Self = Self(Cow::Borrowed("k0s"));
}

macro_rules! name {
    ($type:ident, $rule:expr) => {
        impl $type {
            /// The name as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = ErrorKind;

            fn from_str(text: &str) -> Result<Self, ErrorKind> {
                $rule.check(text)?;
                Ok(Self(Cow::Owned(text.to_owned())))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name!(ProviderName, rules::PROVIDER);
name!(RuntimeName, rules::RUNTIME);
