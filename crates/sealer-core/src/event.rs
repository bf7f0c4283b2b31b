//! The events that workflows emit while they run.

#[cfg(feature = "cluster")]
use std::sync::Arc;

#[cfg(feature = "cluster")]
use runtime::{Plan, PlannedHost};
use serde::Serialize;

/// Receives events, from any thread, in the order in which they happened.
pub type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// Something that happened in a workflow.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    #[cfg(feature = "build")]
    /// A cluster image is being built.
    Build {
        /// What happened.
        build: cloudimage::BuildEvent,
    },
    /// A cluster image is pushed or pulled.
    Transfer {
        /// What happened.
        transfer: cloudimage::TransferEvent,
    },
    #[cfg(feature = "cluster")]
    /// A provider makes or frees hosts.
    Provider {
        /// What happened.
        provider: infra_provider::ProviderEvent,
    },
    #[cfg(feature = "cluster")]
    /// A phase before the plan is finished.
    Phase {
        /// Its name, for example `preflight`.
        name: String,
        /// What it concerned, for example `3 hosts`.
        detail: String,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    #[cfg(feature = "cluster")]
    /// Hosts that were just made do not let anybody in yet; they are asked again for a while.
    Waiting {
        /// Those that are waited for.
        hosts: Vec<std::net::IpAddr>,
        /// What the first of them lacks.
        reason: String,
    },
    #[cfg(feature = "cluster")]
    /// A host was met whose key was not known, and its key was accepted.
    HostKey {
        /// The host or jump host, as `known_hosts` files name it.
        host: String,
        /// The kind of its key, for example `ssh-ed25519`.
        algorithm: String,
        /// The key's fingerprint: `SHA256:` and base64.
        fingerprint: String,
        /// The file in which the key is recorded; none when it is not.
        recorded: Option<std::path::PathBuf>,
        /// Whether a file knows another key or a certificate authority of the host.
        contradicts: bool,
    },
    #[cfg(feature = "cluster")]
    /// The plan was made and is now performed.
    Planned {
        /// How many steps it has.
        steps: usize,
        /// The hosts that it works on.
        hosts: Vec<PlannedHost>,
        /// The image that the cluster is of.
        image: String,
        /// The whole plan; it holds no secrets, but its files do.
        #[serde(skip)]
        plan: Arc<Plan>,
    },
    #[cfg(feature = "cluster")]
    /// A step of the plan.
    Step {
        /// What happened.
        step: runtime::Event,
    },
    /// Blobs of cluster images are being read and hashed.
    Verify {
        /// Bytes that were read.
        bytes: u64,
        /// Bytes of all blobs.
        total: u64,
    },
    /// An archive of cluster images is being written or read.
    Archive {
        /// Bytes that are done.
        bytes: u64,
        /// Bytes of the whole; none when it is not known, as of a pipe.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// Something the user should know that does not stop the work.
    Warning {
        /// What.
        message: String,
    },
}
