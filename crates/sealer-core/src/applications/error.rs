//! Why an application cannot be run or removed.

/// What is wrong with what was asked of applications; nothing was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// An application image makes no hosts.
    #[error("{image} is an application image: it runs on a cluster that is there, so `{option}` means nothing for it")]
    NoHosts {
        /// The image.
        image: String,
        /// The option that was given.
        option: &'static str,
    },
    /// An image does not have the application.
    #[error("{image} has no application `{name}`{}", list(.known))]
    Unknown {
        /// The image.
        image: String,
        /// What was asked for.
        name: String,
        /// Those that it has, or the one that was probably meant.
        known: Vec<String>,
    },
    /// Documents and options say different things.
    #[error("{reason}")]
    Contradiction {
        /// What contradicts what.
        reason: String,
    },
    /// Nothing says how an application is launched.
    #[error(
        "nothing says how the application {name} of {image} is launched; give its commands: configs[].launch.cmds of an Application document, or APPCMDS in its Kubefile"
    )]
    NoCommands {
        /// The image.
        image: String,
        /// The application.
        name: String,
    },
    /// A file is merged into one that the image does not have.
    #[error(
        "the application {name} has no file {path} in the image to merge into; leave `strategy: merge` out to write the whole file"
    )]
    NoFile {
        /// The application.
        name: String,
        /// The file, in its directory.
        path: String,
    },
    /// `withoutCNI` where nothing declares a network plugin.
    #[error(
        "network.withoutCNI: {image} declares no network plugin by CNI, so which of its commands installs one is not known; say the commands to launch as spec.cmd instead"
    )]
    NoCni {
        /// The image.
        image: String,
    },
    /// An application image launches nothing.
    #[error("{image} launches nothing: it has neither LAUNCH nor CMDS; choose applications with `--apps`{}", list(.known))]
    NothingToLaunch {
        /// The image.
        image: String,
        /// Its applications.
        known: Vec<String>,
    },
    /// The cluster has another Kubernetes than the image supports.
    #[error("{image} supports kubernetes {range}, and cluster {cluster} has {version}")]
    KubeVersion {
        /// The image.
        image: String,
        /// The versions that it supports.
        range: String,
        /// The cluster.
        cluster: String,
        /// Its version.
        version: String,
    },
    /// The range of an image cannot be understood.
    #[error("{image} supports kubernetes `{range}`, which cannot be understood: {reason}")]
    KubeRange {
        /// The image.
        image: String,
        /// The range.
        range: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image is not there for the machines that need it.
    #[error("{image} is not for {platform}, the platform of master {host}; build it for that platform too")]
    Platform {
        /// The image.
        image: String,
        /// What the machine needs.
        platform: String,
        /// The machine.
        host: std::net::IpAddr,
    },
    /// Nothing of this name runs on the cluster.
    #[error("cluster {cluster} runs no application `{name}`{}", list(.known))]
    NotInstalled {
        /// The cluster.
        cluster: String,
        /// What was asked for.
        name: String,
        /// Those that it runs.
        known: Vec<String>,
    },
    /// It is not known how something is taken away.
    #[error("nothing says how {name} is removed: it was launched by {}", .commands.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(" and "))]
    NoRemoval {
        /// The application or image.
        name: String,
        /// The commands that launched it.
        commands: Vec<String>,
    },
    /// Nobody agreed to a removal.
    #[error("{name} was not removed from cluster {cluster}: nobody agreed to it")]
    NotConfirmed {
        /// The cluster.
        cluster: String,
        /// The application or image.
        name: String,
    },
    /// An image carries plugins that cannot be used.
    #[error("{file} of image {image}: {reason}")]
    ImagePlugin {
        /// The image.
        image: String,
        /// The file in its rootfs.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The record of applications in a state is damaged.
    #[error("{} cannot be read: {reason}", .path.display())]
    Record {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn list(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!(" (there is {})", known.join(", ")) }
}
