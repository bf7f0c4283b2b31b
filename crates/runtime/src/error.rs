//! The failures of observing, planning and changing a cluster.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// A reason that another library gives.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an act of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host cannot be reached, or a command or file on it failed.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// Something that this version cannot do.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
    /// A command on a host ended with another exit code than 0.
    #[error("{host}: {step} failed with {status}: {detail}")]
    Step {
        /// Where.
        host: IpAddr,
        /// The step's title.
        step: String,
        /// `exit code 1` or `signal KILL`.
        status: String,
        /// The lines of its output that matter.
        detail: String,
    },
    /// A host was not asked for its facts, so nothing can be planned for it.
    #[error("{host}: nothing is known about this host")]
    NoFacts {
        /// The host.
        host: IpAddr,
    },
    /// What a host said about itself cannot be understood.
    #[error("{host}: cannot read what the host says about itself: {reason}")]
    Facts {
        /// The host.
        host: IpAddr,
        /// What is wrong with it.
        reason: String,
    },
    /// A cluster is initialized, but nothing can be said about it because its API server is silent.
    #[error(
        "{host}: cluster {cluster} is initialized, but its API server does not answer (journalctl -u kubelet on the host tells more)"
    )]
    ApiSilent {
        /// One of its masters.
        host: IpAddr,
        /// The cluster.
        cluster: String,
    },
    /// The image lacks something that a cluster needs.
    #[error("image {image} has no {missing}")]
    Payload {
        /// The image's name.
        image: String,
        /// What is missing, for example `bin/kubeadm (is it a cluster image?)`.
        missing: String,
    },
    /// The image carries no Kubernetes: it runs on an existing cluster.
    #[error(
        "{image} is an application image without a Kubernetes of its own: it runs on a cluster that is made already"
    )]
    ApplicationImage {
        /// The image.
        image: String,
    },
    /// A launch command calls a helm that is nowhere.
    #[error(
        "`{command}` needs helm, which is neither bin/helm in image {image} nor on {host}; COPY a static helm to bin/ in the Kubefile, or install it on the masters"
    )]
    NoHelm {
        /// The command.
        command: String,
        /// The image that is launched.
        image: String,
        /// The master on which it would run.
        host: IpAddr,
    },
    /// A plugin cannot be understood, or is not supported; nothing was done.
    #[error("plugin {name}: {reason}")]
    Plugin {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster cannot be made as wanted.
    #[error("cluster {cluster}: {reason}")]
    InvalidCluster {
        /// The cluster's name.
        cluster: String,
        /// What cannot be done, and what can.
        reason: String,
    },
    /// kubeadm or the API server would refuse the network.
    #[error("the {network} {problem}")]
    Network {
        /// Which one, and who said it: `pod network 10.0.0.0/8 (spec.network.podCIDR)`.
        network: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A version of Kubernetes is none, or not one that we know how to install.
    #[error("kubernetes version `{version}`: {reason}")]
    Version {
        /// The version as found.
        version: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// A configuration document for kubeadm cannot be read.
    #[error("{document} is not a valid configuration for kubeadm: {reason}")]
    Document {
        /// Where it comes from, for example `etc/kubeadm.yml of shop:1.4`.
        document: String,
        /// What is wrong with it, with line and column when known.
        reason: String,
    },
    /// A file of the rootfs cannot be made: a template that fails, or a Config that does not fit.
    #[error("cannot make {path} of the rootfs: {reason}")]
    RootfsFile {
        /// The file, with the line of a template.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate or key could not be made or read.
    #[error("cannot {act} {object}")]
    Certificate {
        /// `make`, `sign` or `read`.
        act: &'static str,
        /// Which one, for example `the certificate authority of etcd`.
        object: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The machine gave no random numbers.
    #[error("cannot make a random token")]
    Random {
        /// Why.
        #[source]
        source: getrandom::Error,
    },
    /// A secret is asked for that the runtime's requirements do not name.
    #[error("no secret `{name}` was made for this cluster")]
    NoSecret {
        /// Its name.
        name: &'static str,
    },
    /// A file with secrets could not be read or written.
    #[error("cannot {act} {}", path.display())]
    SecretFile {
        /// `read`, `write` …
        act: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file with secrets is there but not what it should be.
    #[error("{} {reason}; remove the state directory of the cluster only when the cluster is gone", path.display())]
    SecretCorrupt {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Content could not be brought to a host.
    #[error("{host}: cannot bring the content there")]
    Content {
        /// The host.
        host: IpAddr,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A plan cannot be performed as it is.
    #[error("the plan for {cluster} cannot be performed: {reason}")]
    Plan {
        /// The cluster.
        cluster: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The journal cannot be read or written.
    #[error("cannot {act} the journal {}", path.display())]
    Journal {
        /// `read`, `append to` or `clear`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Several hosts failed; the others went on as far as they could.
    #[error("{first} (and {} more: {})", others.len(), list(others))]
    Several {
        /// What failed first.
        first: Box<Self>,
        /// What failed after it, each with its host.
        others: Vec<Self>,
    },
    /// It was asked to stop; what was under way is finished.
    #[error("interrupted after {done} of {total} steps; the same command again continues")]
    Cancelled {
        /// Finished now and earlier.
        done: usize,
        /// All.
        total: usize,
    },
    /// A task of this program panicked.
    #[error("a task of this program panicked: {detail}")]
    TaskPanicked {
        /// How.
        detail: String,
    },
}

impl Error {
    /// The failures of several hosts in one; `None` when none failed.
    pub(crate) fn of_hosts(mut failures: Vec<Self>) -> Option<Self> {
        match failures.len() {
            0 => None,
            1 => failures.pop(),
            _ => {
                let others = failures.split_off(1);
                failures.pop().map(|first| Self::Several { first: Box::new(first), others })
            }
        }
    }
}

/// Each failure in a few words: the first line of what it says.
fn list(errors: &[Error]) -> String {
    let first_line = |error: &Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    errors.iter().map(first_line).collect::<Vec<_>>().join("; ")
}
