//! The classes of the errors of the workflows.

use crate::Error;

/// The kind of a failure, for exit codes and for programs that react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The work failed.
    Failed,
    /// The input was wrong; nothing was done.
    Usage,
    /// Preflight found something; nothing was changed.
    Preflight,
    /// Part of the work is done; the same command again resumes.
    Partly,
    /// The user interrupted.
    Interrupted,
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Kubefile(_)
            | Self::Image(
                cloudimage::Error::Context { .. }
                | cloudimage::Error::BaseImage { .. }
                | cloudimage::Error::Option { .. }
                | cloudimage::Error::ImageKind { .. }
                | cloudimage::Error::Reference(_)
                | cloudimage::Error::Store(content_store::Error::Reference(_)),
            )
            | Self::NotARepository { .. } => Class::Usage,
            Self::Image(cloudimage::Error::TransferCancelled) => Class::Interrupted,
            #[cfg(feature = "build")]
            Self::ImageLogins { .. } => Class::Usage,
            #[cfg(feature = "build")]
            Self::BuildInterrupted => Class::Interrupted,
            #[cfg(feature = "lvscare")]
            Self::Lvscare(
                lvscare::Error::Config { .. } | lvscare::Error::Invalid { .. } | lvscare::Error::Check { .. },
            ) => Class::Usage,
            #[cfg(feature = "registry")]
            Self::Serve(registry_proxy::Error::Config { .. }) => Class::Usage,
            #[cfg(feature = "cluster")]
            Self::Clusterfile(_)
            | Self::Request(_)
            | Self::Unsupported(_)
            | Self::Argument { .. }
            | Self::NoHosts { .. }
            | Self::ProviderOfImage { .. }
            | Self::ClusterName { .. }
            | Self::OtherProvider { .. }
            | Self::NotConfirmed { .. }
            | Self::HostsNotNamed { .. }
            | Self::ClusterExists { .. }
            | Self::OtherRole { .. }
            | Self::Scale { .. }
            | Self::WhichCluster { .. }
            | Self::NoProvider { .. }
            | Self::UnknownProvider { .. }
            | Self::NotAgreed { .. }
            | Self::Application(_)
            | Self::Runtime(
                runtime::Error::Network { .. }
                | runtime::Error::Plugin { .. }
                | runtime::Error::RootfsFile { .. }
                | runtime::Error::Unsupported { .. },
            ) => Class::Usage,
            #[cfg(feature = "cluster")]
            Self::Preflight(_) | Self::ImagesMissing { .. } | Self::SamePlace { .. } | Self::RegistryLogin { .. } => {
                Class::Preflight
            }
            #[cfg(feature = "cluster")]
            Self::Interrupted { .. }
            | Self::Unfinished { source: runtime::Error::Cancelled { .. }, .. }
            | Self::NotGivenBack { source: infra_provider::Error::Cancelled, .. } => Class::Interrupted,
            #[cfg(feature = "cluster")]
            Self::Unfinished { .. } | Self::NotGivenBack { .. } | Self::LockLost { .. } => Class::Partly,
            _ => Class::Failed,
        }
    }
}
