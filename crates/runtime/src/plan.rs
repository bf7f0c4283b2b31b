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
    /// What the plan amounts to, for a person, for example `3 hosts join, image shop:1.4`.
    pub summary: String,
    /// The hosts that the plan works on, in the order in which they are shown.
    pub hosts: Vec<PlannedHost>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What a person should know about the cluster that comes of it, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A host that a plan works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedHost {
    /// The host's address.
    pub address: IpAddr,
    /// What becomes of it.
    pub change: HostChange,
    /// What it is in the cluster: `master` or `node`.
    pub role: String,
}

/// What becomes of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostChange {
    /// It becomes part of the cluster.
    Join,
    /// It stays and something about it changes.
    Alter,
    /// It leaves the cluster.
    Leave,
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
        /// Environment of the script. Variables of users may hold secrets: only values of ours are shown.
        #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "shown")]
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

/// Environment with the values that users gave replaced by `***`.
fn shown<S: serde::Serializer>(env: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    let hidden = |name: &str| !crate::kubeadm::is_our_variable(name);
    serializer.collect_map(env.iter().map(|(name, value)| (name, if hidden(name) { "***" } else { value })))
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
    /// Platform of that manifest, for example `linux/amd64`.
    pub platform: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Paths of all regular files of the rootfs, relative to it.
    pub files: Vec<String>,
    /// Contents of the small rootfs files that planning reads: see [`crate::kubeadm::DOCUMENTS`].
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

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The plan as a dry run prints it: a head line, one line per host, the cluster-wide steps, the notes, the number of steps.
    #[must_use]
    pub fn to_text(&self) -> String {
        if self.is_empty() {
            return format!("cluster {}: nothing to do\n", self.cluster);
        }
        let mut text = format!("cluster {}: {}\n", self.cluster, self.summary);
        let width = self.hosts.iter().map(|host| host.address.to_string().len());
        let width = width.max().unwrap_or(0).max("cluster".len());
        for host in &self.hosts {
            let sign = match host.change {
                HostChange::Join => '+',
                HostChange::Alter => '~',
                HostChange::Leave => '-',
            };
            let of_host = |step: &&Step| step.scope().is_none() && step.hosts.contains(&host.address);
            let titles: Vec<&str> = self.steps.iter().filter(of_host).map(|step| step.title.as_str()).collect();
            let line =
                format!("  {:<width$}  {sign} {:<8} {}", host.address.to_string(), host.role, titles.join(" · "));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for step in &self.steps {
            if let Some(verb) = step.scope() {
                text.push_str(&format!("  {:<width$}  {verb:<10} {}\n", "cluster", step.title));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        let plural = if self.steps.len() == 1 { "" } else { "s" };
        text.push_str(&format!("{} step{plural}; nothing was changed\n", self.steps.len()));
        text
    }
}

impl Step {
    /// The verb of a step that concerns the cluster as a whole; `None` when it concerns its hosts.
    fn scope(&self) -> Option<&'static str> {
        match &self.action {
            Action::Run { show_output: true, .. } => Some("run"),
            Action::Wait { .. } => Some("wait"),
            _ => None,
        }
    }
}

/// A size as people read it: powers of ten, as Docker prints them.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    let tenths = bytes.saturating_mul(10) / unit;
    if tenths < 100 && !tenths.is_multiple_of(10) {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_ten() {
        let sizes = [0, 999, 1_000, 4_560_000, 531_900_000, 1_250_000_000, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1 kB", "4.5 MB", "531 MB", "1.2 GB", "1844674407 GB"]);
    }

    #[test]
    fn a_secret_file_shows_only_its_size() {
        let file = File { path: "/a".into(), mode: 0o600, content: b"hunter2".to_vec(), secret: true };
        let shown = format!("{file:?} {}", serde_json::to_string(&file).unwrap_or_default());
        assert!(shown.contains("7 bytes") && !shown.contains("hunter2"), "{shown}");
    }
}
