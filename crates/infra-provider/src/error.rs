//! The errors of this crate; messages say what the user can do.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "ali-cloud")]
use crate::ali_cloud::api::profile::ProfileError;
#[cfg(feature = "ali-cloud")]
use crate::ali_cloud::api::{ApiError, EndpointError, TransportFailure};

/// What a container engine, its transport or a parser reported.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed act of a [`Provider`](crate::Provider), with the object it failed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// BAREMETAL uses the hosts that the Clusterfile lists, and it lists none.
    #[error("cluster `{cluster}` lists no hosts: name them with --masters and --nodes, or under spec.hosts")]
    NoHosts {
        /// Name of the cluster.
        cluster: String,
    },
    /// A cluster needs a control plane.
    #[error("cluster `{cluster}` asks for no master: it needs at least one")]
    NoMasters {
        /// Name of the cluster.
        cluster: String,
    },
    /// The same address is listed twice.
    #[error("cluster `{cluster}` lists host {address} twice")]
    HostTwice {
        /// Name of the cluster.
        cluster: String,
        /// The repeated address.
        address: IpAddr,
    },
    /// Host names are made from the cluster's name, so it has to be usable in one.
    #[error(
        "cluster name `{cluster}` cannot be part of a host name: use lower-case letters, digits and `-`, at most {limit} characters"
    )]
    ClusterName {
        /// The name as given.
        cluster: String,
        /// How long a name may be.
        limit: usize,
    },
    /// Nothing listens on the engine's socket.
    #[error(
        "no container engine answers at {}: start it (`systemctl start docker`), or name the socket it listens on", socket.display()
    )]
    NoEngine {
        /// The socket that was tried.
        socket: PathBuf,
        /// Why it could not be used.
        #[source]
        source: Cause,
    },
    /// This user may not open the engine's socket.
    #[error("not allowed to open {}: run as root, or as a member of the group that owns the socket", socket.display())]
    EngineDenied {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the kernel answered.
        #[source]
        source: std::io::Error,
    },
    /// A rootless engine cannot grant the privileges that kubelet needs.
    #[error(
        "the container engine at {} runs without root and cannot run Kubernetes hosts: use the system's engine", socket.display()
    )]
    EngineRootless {
        /// The socket of that engine.
        socket: PathBuf,
    },
    /// The image that hosts are made from is missing.
    #[error(
        "node image `{image}` is not in the container engine: make it with `cargo xtask assets`, or bring it with `docker load -i FILE`"
    )]
    NodeImageMissing {
        /// Name of the image.
        image: String,
    },
    /// Every candidate subnet collides with a network or a route of this machine.
    #[error(
        "no subnet is free for the network of cluster `{cluster}`: remove networks that are no longer used (`docker network prune`)"
    )]
    NoSubnet {
        /// Name of the cluster.
        cluster: String,
    },
    /// More hosts are wanted than the cluster's network has addresses.
    #[error("network {subnet} of cluster `{cluster}` has no address left for another host")]
    SubnetFull {
        /// Name of the cluster.
        cluster: String,
        /// Its subnet.
        subnet: String,
    },
    /// A container that is not ours has the name a host needs.
    #[error(
        "a container named `{host}` exists that does not belong to cluster `{cluster}`: remove or rename it (`docker rename {host} NAME`), or name the cluster differently"
    )]
    NameTaken {
        /// Name of the cluster.
        cluster: String,
        /// The name that is taken.
        host: String,
    },
    /// A container or network has our label with a value that sealer does not write.
    #[error("`{object}` is labelled as part of a cluster, but {label} is `{value}`: remove it and run again")]
    Label {
        /// The container or network.
        object: String,
        /// The label.
        label: &'static str,
        /// What it says (empty when it is missing).
        value: String,
    },
    /// The engine refused or aborted a request.
    #[error("{act} `{object}` failed in the container engine")]
    Engine {
        /// What was asked, for example `starting host`.
        act: &'static str,
        /// On what.
        object: String,
        /// The engine's answer.
        #[source]
        source: Cause,
    },
    /// A host started and stopped again.
    #[error("host `{host}` stopped while it was starting (exit code {code}){}", indented(log))]
    HostStopped {
        /// The host.
        host: String,
        /// Exit code of its init.
        code: i64,
        /// Its last lines of output.
        log: Vec<String>,
    },
    /// A host did not get ready in time.
    #[error("host `{host}` ({address}) is not ready after {} s: {missing}{}", waited.as_secs(), indented(log))]
    NotReady {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
        /// How long was waited.
        waited: Duration,
        /// What it still lacks.
        missing: String,
        /// Its last lines of output.
        log: Vec<String>,
    },
    /// A setting of the Clusterfile that the provider cannot fulfil.
    #[error("{field} `{value}`: {reason}")]
    Setting {
        /// The field or annotation.
        field: String,
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    #[cfg(feature = "ali-cloud")]
    /// The cloud refused a call.
    #[error("cluster `{cluster}`: {source}")]
    Cloud {
        /// Name of the cluster.
        cluster: String,
        /// What it said; told in the message already.
        source: Box<ApiError>,
    },
    /// No key for the cloud was given.
    #[error(
        "no access key for Alibaba Cloud: set ACCESSKEYID and ACCESSKEYSECRET, log in with its own command-line tool, or run on an instance with a RAM role"
    )]
    NoCredentials,
    /// The settings of the provider cannot be used; found when they were first needed.
    #[error("{source}")]
    Unusable {
        /// What is wrong with it; told in the message already.
        source: std::sync::Arc<Error>,
    },
    /// Half of a key was given.
    #[error("an access key for Alibaba Cloud has two parts: {given} is set, {missing} is not")]
    HalfKey {
        /// The part that was given.
        given: &'static str,
        /// The part that was not.
        missing: &'static str,
    },
    #[cfg(feature = "ali-cloud")]
    /// The configuration of the cloud's own command-line tool cannot be used.
    #[error("{}: {source}", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; told in the message already.
        source: ProfileError,
    },
    #[cfg(feature = "ali-cloud")]
    /// A server was named that cannot be one.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[cfg(feature = "ali-cloud")]
    /// Requests cannot be sent at all.
    #[error(transparent)]
    Transport(#[from] TransportFailure),
    /// A security group is opened for the operator only, and who that is must be known.
    #[error(
        "cannot tell under which address the cloud sees this machine (its own is {address}, which is not public): say who may reach SSH and the API server, by --admin-cidr or the annotation {annotation}, for example 203.0.113.7/32"
    )]
    OperatorUnknown {
        /// The address that this machine has.
        address: String,
        /// The annotation that says it.
        annotation: &'static str,
    },
    /// Another cluster of this name exists, or one whose state is lost.
    #[error(
        "region {region} has a cluster `{cluster}` already, and this machine has no state of it: choose another name, or delete that one, if nobody needs it, by `sealer delete -c {cluster}` and then the same with `--provider ALI_CLOUD --region {region}`"
    )]
    ClusterExists {
        /// Name of the cluster.
        cluster: String,
        /// The region.
        region: String,
    },
    /// The cloud offers no machine of the wanted size.
    #[error(
        "region {region} offers no machine of {size} for cluster `{cluster}`: choose another size (spec.masters, spec.nodes), region or zone"
    )]
    NothingOffered {
        /// Name of the cluster.
        cluster: String,
        /// The region.
        region: String,
        /// The size.
        size: String,
    },
    /// No type and zone had enough machines.
    #[error(
        "cluster `{cluster}` lacks {lacking} {role} machines of {size}: every type and zone refused ({}); try again later, or choose another size or region; what was made stays", refusals.join(", ")
    )]
    SoldOut {
        /// Name of the cluster.
        cluster: String,
        /// How many machines are missing.
        lacking: usize,
        /// For what.
        role: &'static str,
        /// Their size.
        size: String,
        /// What was tried, and what the cloud said.
        refusals: Vec<String>,
    },
    /// Machines vanished repeatedly while they started.
    #[error(
        "machines of cluster `{cluster}` vanish while they start: look at the events of the account in the console"
    )]
    MachinesVanish {
        /// Name of the cluster.
        cluster: String,
    },
    /// Something took longer than the whole run may take.
    #[error("gave up waiting for {what}{reason}; what was made stays, and the same command resumes")]
    OutOfTime {
        /// What was waited for.
        what: String,
        /// What the cloud said last, after a colon; or nothing.
        reason: String,
    },
    /// A list of the cloud does not end.
    #[error("the list of {action} does not end")]
    EndlessList {
        /// The action.
        action: &'static str,
    },
    /// A response holds something that cannot be read.
    #[error("{what} cannot be understood: `{text}`")]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// What it is.
        text: String,
    },
    /// No recorded resource is visible with this key.
    #[error(
        "nothing of cluster `{cluster}` is visible in region {region} with this access key: is it that of another account? If everything was deleted by other means, remove {} and delete again", record.display()
    )]
    NothingVisible {
        /// Name of the cluster.
        cluster: String,
        /// Where it was made.
        region: String,
        /// The file that records it.
        record: PathBuf,
    },
    /// Some resources could not be deleted.
    #[error("cluster `{cluster}` is not freed completely, the same command resumes: {}", left.join("; "))]
    NotFreed {
        /// Name of the cluster.
        cluster: String,
        /// What is left, and why.
        left: Vec<String>,
    },
    /// The cloud takes only passwords of a certain strength.
    #[error(
        "the password of spec.ssh is refused by Alibaba Cloud: 8 to 30 characters, of at least three of the kinds capital letter, small letter, digit, special character; without a password a key is made for the cluster"
    )]
    WeakPassword,
    /// A file of the state directory could not be read or written.
    #[error("cannot {act} {}", path.display())]
    File {
        /// `read`, `write` or `remove`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: std::io::Error,
    },
    /// The file that should hold the cluster's key holds something else.
    #[error("{} is not an unencrypted OpenSSH private key: remove it, and the next run makes a new one", path.display())]
    KeyUnreadable {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        #[source]
        source: Cause,
    },
    /// A new key pair could not be made.
    #[error("cannot make an SSH key for the cluster: {reason}")]
    KeyMaking {
        /// What failed.
        reason: String,
    },
    /// The path of the key has to be written into the Clusterfile, which is text.
    #[error("state directory {} is not valid UTF-8: choose another one", path.display())]
    StatePath {
        /// The path.
        path: PathBuf,
    },
    /// The caller cancelled the call.
    #[error("cancelled; what was made stays, and the same command resumes")]
    Cancelled,
    /// A host was named that is no machine of the cluster.
    #[error("cluster `{cluster}` has no machine at {host}")]
    UnknownHost {
        /// Name of the cluster.
        cluster: String,
        /// The address.
        host: IpAddr,
    },
    /// A blocking task was cancelled because the program is shutting down.
    #[error("{act} was interrupted")]
    Interrupted {
        /// What was going on.
        act: &'static str,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn indented(log: &[String]) -> String {
    let mut text = String::new();
    for line in log {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}
