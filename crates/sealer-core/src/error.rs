//! The errors of the workflows.

#[cfg(feature = "cluster")]
use std::net::IpAddr;
use std::path::PathBuf;

#[cfg(feature = "cluster")]
use runtime::Finding;

#[cfg(feature = "cluster")]
use crate::Unsupported;

/// Why a workflow failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Building, storing or moving images failed.
    #[error(transparent)]
    Image(cloudimage::Error),
    /// The Kubefile has errors.
    #[error(transparent)]
    Kubefile(#[from] kubefile::Errors),
    #[cfg(feature = "build")]
    /// A list of container images with logins cannot be understood.
    #[error("{}: {reason}", .path.display())]
    ImageLogins {
        /// The list.
        path: PathBuf,
        /// What is wrong with it, without any login.
        reason: String,
    },
    #[cfg(feature = "cluster")]
    /// The Clusterfile has errors.
    #[error(transparent)]
    Clusterfile(#[from] clusterfile::Errors),
    #[cfg(feature = "cluster")]
    /// What was asked for does not make a cluster.
    #[error("this makes no cluster: {}", kinds(.0))]
    Request(clusterfile::Errors),
    #[cfg(feature = "cluster")]
    /// The Clusterfile asks for what cannot be done yet; nothing was done.
    #[error("the Clusterfile asks for what is not supported yet:{}", .0.iter().map(|one| format!("\n  {one}")).collect::<String>())]
    Unsupported(Vec<Unsupported>),
    /// The store of contents failed.
    #[error(transparent)]
    Content(#[from] content_store::Error),
    #[cfg(feature = "cluster")]
    /// A provider could not give or free hosts.
    #[error(transparent)]
    Provider(#[from] infra_provider::Error),
    #[cfg(feature = "cluster")]
    /// An application cannot be run or removed as asked; nothing was done.
    #[error(transparent)]
    Application(#[from] crate::ApplicationError),
    #[cfg(feature = "cluster")]
    /// A host or the cluster failed.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// A registry failed.
    #[error(transparent)]
    Registry(#[from] registry_client::Error),
    /// A registry does not have, or does not give, what a name without a registry was completed to.
    #[error("`{name}` names no registry, so {whole} was looked for")]
    ShortName {
        /// The name as it was written.
        name: String,
        /// The whole name.
        whole: String,
        /// What the registry said.
        #[source]
        source: Box<Error>,
    },
    /// An image name has a part that is not wanted here.
    #[error("`{name}` is not the name of a repository; leave out its tag and digest")]
    NotARepository {
        /// The name.
        name: String,
    },
    #[cfg(any(feature = "cluster", feature = "registry"))]
    /// Serving content failed.
    #[error(transparent)]
    Serve(#[from] registry_proxy::Error),
    #[cfg(feature = "lvscare")]
    /// Keeping load-balancing rules failed.
    #[error(transparent)]
    Lvscare(#[from] lvscare::Error),
    #[cfg(feature = "cluster")]
    /// Facts stand in the way; nothing was changed.
    #[error("{} finding{}, nothing was changed", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Preflight(Vec<Finding>),
    #[cfg(feature = "cluster")]
    /// Some hosts could not be reached.
    #[error("{} of the hosts cannot be used: {}", .0.len(), .0.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; "))]
    Connect(Vec<(IpAddr, remote::Error)>),
    #[cfg(feature = "cluster")]
    /// A plan was started and not finished.
    #[error("{done} of {total} steps are done, then: {source}")]
    Unfinished {
        /// Steps that are done.
        done: usize,
        /// All steps.
        total: usize,
        /// What stopped it.
        #[source]
        source: runtime::Error,
    },
    #[cfg(feature = "cluster")]
    /// The user interrupted before a plan was begun.
    #[error("interrupted while {act}; the same command again starts over")]
    Interrupted {
        /// What was under way, for example `asking the hosts`.
        act: &'static str,
    },
    #[cfg(feature = "build")]
    /// A build was cancelled; what it finished is kept for the next one.
    #[error("interrupted; nothing was built")]
    BuildInterrupted,
    #[cfg(feature = "cluster")]
    /// The Clusterfile names a provider that nobody registered.
    #[error("there is no provider {kind}")]
    NoProvider {
        /// Its name in the Clusterfile.
        kind: String,
    },
    #[cfg(feature = "cluster")]
    /// No runtime for this image is registered.
    #[error("image {image} wants the cluster runtime `{runtime}`, which is not supported yet")]
    NoRuntime {
        /// The image.
        image: String,
        /// The runtime that its labels name.
        runtime: String,
    },
    #[cfg(feature = "cluster")]
    /// The change is one that this version cannot make.
    #[error("{what} is not supported yet")]
    NotSupported {
        /// What was asked.
        what: String,
    },
    #[cfg(feature = "cluster")]
    /// Hosts would leave a cluster, or all of it would be deleted, and nobody agreed to that; see [`crate::ApplyOptions::consent`].
    #[error("{}", not_confirmed(.cluster, .hosts))]
    NotConfirmed {
        /// The cluster.
        cluster: String,
        /// The hosts.
        hosts: Vec<IpAddr>,
    },
    #[cfg(feature = "cluster")]
    /// Hosts would leave a cluster by a request that only adds hosts.
    #[error("cluster {cluster} has {} that this request does not name, and it takes none away: {}", hosts_of(.hosts), list(.hosts))]
    HostsNotNamed {
        /// The cluster.
        cluster: String,
        /// Its hosts that are not wanted now.
        hosts: Vec<IpAddr>,
    },
    #[cfg(feature = "cluster")]
    /// A cluster of this name has other masters than a request to run one names.
    #[error("there is a cluster {cluster} already, and it has other masters: {}", list(.masters))]
    ClusterExists {
        /// The cluster.
        cluster: String,
        /// Its masters.
        masters: Vec<IpAddr>,
    },
    #[cfg(feature = "cluster")]
    /// A host would become a master that is a node, or the other way round.
    #[error("{host} is a {role} of cluster {cluster} and cannot become a {wanted} while it is part of it")]
    OtherRole {
        /// The cluster.
        cluster: String,
        /// The host.
        host: IpAddr,
        /// What it is.
        role: String,
        /// What it shall be.
        wanted: &'static str,
    },
    #[cfg(feature = "cluster")]
    /// What was asked of a cluster's hosts cannot be meant.
    #[error("cluster {cluster}: {reason}")]
    Scale {
        /// The cluster.
        cluster: String,
        /// What is wrong with it.
        reason: String,
    },
    #[cfg(feature = "cluster")]
    /// Hosts have left the cluster, but their provider did not take the machines back.
    #[error("{} left the cluster and could not be given back ({}): {source}", hosts_of(.hosts), list(.hosts))]
    NotGivenBack {
        /// The hosts.
        hosts: Vec<IpAddr>,
        /// Why.
        source: infra_provider::Error,
    },
    #[cfg(feature = "cluster")]
    /// There is no cluster of this name.
    #[error("there is no cluster {cluster} in {}", .state.display())]
    NoCluster {
        /// Its name.
        cluster: String,
        /// Where states are kept.
        state: PathBuf,
    },
    #[cfg(feature = "cluster")]
    /// No cluster was named, and there is not exactly one.
    #[error("{}", which(.known, .state))]
    WhichCluster {
        /// The clusters that there are.
        known: Vec<String>,
        /// Where states are kept.
        state: PathBuf,
    },
    #[cfg(feature = "cluster")]
    /// A provider was asked for a cluster of which nothing is remembered, and has nothing of it.
    #[error("there is no cluster {cluster}: nothing is remembered of it, and {kind} has nothing under that name")]
    NothingFound {
        /// Its name.
        cluster: String,
        /// The provider.
        kind: String,
    },
    #[cfg(feature = "cluster")]
    /// The hosts of a cluster come from another provider than was said.
    #[error("the hosts of cluster {cluster} are from {kind}")]
    OtherProvider {
        /// Its name.
        cluster: String,
        /// Its provider.
        kind: String,
    },
    #[cfg(feature = "cluster")]
    /// This is no name of a cluster.
    #[error("`{given}` cannot be the name of a cluster (small letters, digits, `-` and `.`)")]
    ClusterName {
        /// What was given.
        given: String,
    },
    #[cfg(feature = "cluster")]
    /// Another process works on the cluster.
    #[error("another sealer is working on cluster {cluster}")]
    Busy {
        /// The cluster.
        cluster: String,
    },
    /// A file of the state could not be read or written.
    #[error("cannot {act} {}: {source}", .path.display())]
    State {
        /// `read`, `write`, `make` …
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    #[cfg(feature = "cluster")]
    /// The Clusterfile that is remembered of a cluster has errors.
    #[error("the remembered Clusterfile {} has errors: {errors}", .path.display())]
    Remembered {
        /// The file.
        path: PathBuf,
        /// The errors.
        errors: clusterfile::Errors,
    },
    /// Work in the background was cut off.
    #[error("{act} was cut off")]
    Aborted {
        /// What was under way.
        act: &'static str,
        /// How it ended.
        source: tokio::task::JoinError,
    },
    /// Content could not be fetched.
    #[error(transparent)]
    Transfer(content_transfer::Error),
    /// Content is asked for and there is nobody to ask.
    #[error("nobody can be asked for {digest}")]
    NoSource {
        /// What is missing.
        digest: content_store::Digest,
    },
    #[cfg(feature = "cluster")]
    /// Neither the request nor the image says where to run.
    #[error("{image} brings no Clusterfile of its own, so say where to run it")]
    NoHosts {
        /// The image.
        image: String,
    },
    #[cfg(feature = "cluster")]
    /// Only the image says who makes machines, and nobody agreed to that; see [`crate::RunRequest::accept_provider`].
    #[error("the Clusterfile inside {image} has {provider} make the machines, and you did not say so")]
    ProviderOfImage {
        /// The image.
        image: String,
        /// The provider that it names.
        provider: clusterfile::ProviderName,
    },
    #[cfg(feature = "cluster")]
    /// An archive would point the name of an image at another one, and a cluster runs it.
    #[error(
        "{image} is another image in the archive, and cluster {cluster} runs the one that is here; nothing was named"
    )]
    ImageInUse {
        /// The name.
        image: String,
        /// The cluster.
        cluster: String,
    },
    #[cfg(feature = "cluster")]
    /// An argument does not parse.
    #[error("{option} {value}: {source}")]
    Argument {
        /// The option.
        option: &'static str,
        /// What it was given.
        value: String,
        /// What is wrong with it.
        source: clusterfile::ErrorKind,
    },
    #[cfg(feature = "cluster")]
    /// No provider of this name is registered.
    #[error("--provider {given}: expected {known}")]
    UnknownProvider {
        /// What was given.
        given: String,
        /// The providers that are registered.
        known: String,
    },
    #[cfg(feature = "cluster")]
    /// The Clusterfile inside an image has errors.
    #[error("the Clusterfile inside {image} has errors: {errors}")]
    EmbeddedClusterfile {
        /// The image.
        image: String,
        /// The errors.
        errors: clusterfile::Errors,
    },
    #[cfg(feature = "cluster")]
    /// The API of a cluster does not answer, or refuses.
    #[error("cannot {act} in the cluster: {detail}")]
    ClusterApi {
        /// What was asked, for example `read secret/sealer-state`.
        act: String,
        /// Why it was not done, with the host that was asked.
        detail: String,
    },
    #[cfg(feature = "cluster")]
    /// The state of a cluster is too large to be kept in it.
    #[error(
        "the state of the cluster has {bytes} bytes and cannot be kept in the cluster, which takes {limit}; {largest} is its largest file: make it smaller"
    )]
    CopyTooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is kept.
        limit: usize,
        /// The largest file.
        largest: String,
    },
    #[cfg(feature = "cluster")]
    /// The copy of the state that a cluster keeps cannot be used.
    #[error(
        "the copy of the state in the cluster {reason}; to go on with the state of this machine, delete it first: kubectl -n kube-system delete secret sealer-state"
    )]
    CopyDamaged {
        /// What is wrong with it.
        reason: String,
    },
    #[cfg(feature = "cluster")]
    /// A later version of sealer wrote the copy of the state that a cluster keeps.
    #[error(
        "the copy of the state in the cluster has format {format}, which is of a later version of sealer: use that one"
    )]
    CopyFormat {
        /// Its format.
        format: u32,
    },
    #[cfg(feature = "cluster")]
    /// A cluster keeps no copy of its state, or none can be read through these hosts.
    #[error("no copy of the state of cluster {cluster} can be read through {}: none of them is a master whose API server answers and knows one; use the machine that made the cluster, or clean its hosts one by one: sealer delete --host ADDRESS", .hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    NoCopy {
        /// The cluster.
        cluster: String,
        /// The hosts that were asked.
        hosts: Vec<IpAddr>,
    },
    #[cfg(feature = "cluster")]
    /// Another operator works on the cluster.
    #[error(
        "{holder} is working on cluster {cluster} since {since}: wait until that has finished; if it was killed, its lock ends within a minute, and the same command goes on"
    )]
    OperatorBusy {
        /// The cluster.
        cluster: String,
        /// User and machine, for example `alice@desk`.
        holder: String,
        /// When it began, by that machine's clock.
        since: String,
    },
    #[cfg(feature = "cluster")]
    /// Another operator took over while this one worked: its lock had not been renewed for too long.
    #[error(
        "{holder} took over the work on cluster {cluster}, because this machine could not renew its lock; no further step was started. Run the same command again when {holder} has finished"
    )]
    LockLost {
        /// The cluster.
        cluster: String,
        /// Who took over.
        holder: String,
    },
    #[cfg(feature = "cluster")]
    /// Another operator worked on the cluster between planning and locking.
    #[error(
        "cluster {cluster} was changed by somebody else while this change was planned; nothing was done: run the same command again"
    )]
    ChangedMeanwhile {
        /// The cluster.
        cluster: String,
    },
    #[cfg(feature = "cluster")]
    /// A host carries no marker, so nothing on it is known to be sealer's.
    #[error("{host} carries no marker of a cluster: nothing on it is known to be sealer's, and nothing was done")]
    NoMarker {
        /// The host.
        host: IpAddr,
    },
    #[cfg(feature = "cluster")]
    /// A host is one of a cluster whose state is here: it leaves like any other.
    #[error(
        "{host} belongs to cluster {cluster}, whose state is on this machine: remove the host from the cluster instead of cleaning it alone"
    )]
    HostOfKnownCluster {
        /// The host.
        host: IpAddr,
        /// Its cluster.
        cluster: String,
    },
    #[cfg(feature = "cluster")]
    /// Nobody agreed to clean a host.
    #[error("{host} was not cleaned: nobody agreed to it")]
    NotAgreed {
        /// The host.
        host: IpAddr,
    },
    #[cfg(feature = "cluster")]
    /// A registry outside the cluster lacks container images that the cluster needs.
    #[error(
        "registry {host} lacks {} of the {total} container images that {image} carries:{}",
        .missing.len(),
        .missing.iter().map(|image| format!("\n  {} as {}", image.name, image.place)).collect::<String>()
    )]
    ImagesMissing {
        /// The registry.
        host: String,
        /// The cluster image.
        image: String,
        /// What is not there.
        missing: Vec<crate::PlacedImage>,
        /// How many images it carries.
        total: usize,
    },
    #[cfg(feature = "cluster")]
    /// Two container images would have the same name in a registry outside the cluster.
    #[error("{} and {} are different images and cannot both be {place}; use an image that carries one of them, or the registry on the masters", .images[0], .images[1])]
    SamePlace {
        /// The name there.
        place: String,
        /// Their own names.
        images: [String; 2],
    },
    #[cfg(feature = "cluster")]
    /// A registry outside the cluster does not take the login that hosts would send.
    #[error(
        "registry {host} does not take the login of spec.registry.externalRegistry as container engines send it, by HTTP Basic authentication: {source}"
    )]
    RegistryLogin {
        /// The registry.
        host: String,
        /// What it said.
        source: registry_client::Error,
    },
    #[cfg(feature = "cluster")]
    /// There is no sealer binary that runs on a host.
    #[error("there is no sealer program for {architecture}, the processor of {host}; there is {}", .known.join(", "))]
    NoBinary {
        /// The host.
        host: IpAddr,
        /// What its processor is called.
        architecture: String,
        /// The programs that there are, with what they are for.
        known: Vec<String>,
    },
    #[cfg(feature = "cluster")]
    /// The operator's own binary cannot be sent to hosts.
    #[error("{} is linked dynamically and cannot be sent to hosts", .path.display())]
    DynamicBinary {
        /// The binary.
        path: PathBuf,
    },
}

impl From<cloudimage::Error> for Error {
    /// Errors of a Kubefile are the same, whether they show at once or only when variables have values.
    fn from(error: cloudimage::Error) -> Self {
        match error {
            cloudimage::Error::Kubefile(errors) => Self::Kubefile(errors),
            error => Self::Image(error),
        }
    }
}

impl From<content_transfer::Error> for Error {
    /// What the store or a registry says is the same, whoever asked.
    fn from(error: content_transfer::Error) -> Self {
        match error {
            content_transfer::Error::Store(error) => Self::Content(error),
            content_transfer::Error::Registry(error) => Self::Registry(error),
            content_transfer::Error::NoOrigin { digest } => Self::NoSource { digest },
            error => Self::Transfer(error),
        }
    }
}

/// Without places: the text that they point into was never seen by the user.
#[cfg(feature = "cluster")]
fn kinds(errors: &clusterfile::Errors) -> String {
    errors.iter().map(|error| error.kind.to_string()).collect::<Vec<_>>().join("; ")
}

#[cfg(feature = "cluster")]
fn not_confirmed(cluster: &str, hosts: &[IpAddr]) -> String {
    if hosts.is_empty() {
        return format!("cluster {cluster} would be deleted, and nobody agreed to that");
    }
    format!("{} would leave cluster {cluster}, and nobody agreed to that: {}", hosts_of(hosts), list(hosts))
}

#[cfg(feature = "cluster")]
fn which(known: &[String], state: &std::path::Path) -> String {
    if known.is_empty() {
        return format!("there is no cluster in {}", state.display());
    }
    format!("there are {} clusters: say which one, {}", known.len(), known.join(" or "))
}

#[cfg(feature = "cluster")]
fn hosts_of(hosts: &[IpAddr]) -> String {
    if let [_] = hosts { "1 host".to_owned() } else { format!("{} hosts", hosts.len()) }
}

#[cfg(feature = "cluster")]
fn list(hosts: &[IpAddr]) -> String {
    hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
