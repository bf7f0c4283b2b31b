//! What is a plan: the ordered, printable list of steps from the observed cluster to the wanted one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::kubeadm::Secrets;

/// An ordered list of steps. On one host, steps happen in the order of the list; different hosts
/// do not wait for each other, except where a step names others in [`Step::after`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// The cluster that the plan changes.
    pub cluster: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One idempotent step on one or several hosts.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Names the step in the journal and in [`Step::after`]; unique in its plan and stable when
    /// the same plan is made again, for example `kubeadm-init`.
    pub id: String,
    /// What a person reads, for example `kubeadm init`.
    pub title: String,
    /// Where it happens; on several hosts at once when there are several.
    pub hosts: Vec<IpAddr>,
    /// Steps (by id) that must be finished on all of their hosts before this one starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// What is done.
    pub action: Action,
}

/// What a step does on each of its hosts.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Runs a shell script as root; fails when it exits with anything but 0.
    Run {
        /// The script, given to `/bin/sh` on standard input or as an argument; holds no secret.
        script: String,
        /// Environment of the script; holds no secret.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
        /// How long it may take, in seconds.
        timeout_seconds: u64,
        /// Whether its output is shown to the user as it comes (launch commands), or only on failure.
        show_output: bool,
        /// A second script that is run when the first fails; its output tells why (last log lines).
        #[serde(skip_serializing_if = "Option::is_none")]
        diagnose: Option<String>,
    },
    /// Writes small files, each atomically.
    Write {
        /// The files, in order.
        files: Vec<File>,
    },
    /// Brings the image's content to the host and unpacks its rootfs (see [`crate::Deliver`]).
    Content {
        /// Digest of the cluster image's manifest whose rootfs is wanted.
        image: String,
        /// Whether the carried container images come too (registry hosts) or only the rootfs.
        carried_images: bool,
        /// Where the rootfs is unpacked on the host.
        rootfs: String,
        /// Bytes of the blobs concerned, for display.
        bytes: u64,
        /// Hosts that already hold the content and serve it by TLS when this step starts.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        sources: Vec<IpAddr>,
    },
    /// Runs a script again and again until it exits with 0.
    Wait {
        /// The script that tests the condition.
        script: String,
        /// What is awaited, for a person, for example `every node is Ready`.
        until: String,
        /// How long to wait at the most, in seconds.
        timeout_seconds: u64,
        /// A script run when time is up; its output tells why.
        #[serde(skip_serializing_if = "Option::is_none")]
        diagnose: Option<String>,
    },
}

/// A small file that a step writes.
#[derive(Clone, Serialize)]
pub struct File {
    /// Absolute path on the host; missing parent directories are made (0755).
    pub path: String,
    /// Permission bits, for example `0o600`.
    pub mode: u32,
    /// The content; printed only when it is not secret.
    #[serde(skip_serializing)]
    pub content: Vec<u8>,
    /// Whether the content must never be shown.
    pub secret: bool,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({} {:o}, {} bytes)", self.path, self.mode, self.content.len())
    }
}

/// What the image and the state directory bring to planning.
#[derive(Debug)]
pub struct Payload<'a> {
    /// The image's name as the user wrote it.
    pub image: String,
    /// Digest of the cluster image's manifest for the hosts' platform.
    pub image_digest: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Paths of all regular files of the rootfs, relative to it.
    pub files: Vec<String>,
    /// Contents of the small rootfs files that planning reads (`etc/kubeadm.yml`, `Metadata` …).
    pub documents: BTreeMap<String, Vec<u8>>,
    /// Original names of the carried container images.
    pub carried_images: Vec<String>,
    /// Bytes of the rootfs layers, compressed.
    pub rootfs_bytes: u64,
    /// Bytes of all blobs of the carried images.
    pub carried_bytes: u64,
    /// Commands to run on the first master, in the rootfs directory, once the cluster stands.
    pub launch: Vec<String>,
    /// Documents of the Clusterfile that concern kubeadm.
    pub kubeadm_documents: Vec<clusterfile::KubeadmDocument>,
    /// Secrets made before planning.
    pub secrets: &'a Secrets,
}
