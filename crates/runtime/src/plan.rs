//! The plan: an ordered, printable list of steps from the observed cluster to the wanted one.

use std::net::IpAddr;

use serde::Serialize;

use crate::{Action, Step};

/// An ordered list of steps. On one host, steps happen in the order of the list; different hosts
/// do not wait for each other, except where a step names others in [`Step::after`].
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
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
#[non_exhaustive]
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

impl Plan {
    /// A plan without steps: there is nothing to do.
    #[must_use]
    pub fn new(cluster: impl Into<String>) -> Self {
        Self { cluster: cluster.into(), ..Self::default() }
    }

    /// The same plan with steps after those that it has.
    #[must_use]
    pub fn with_steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The hosts that leave: what an operator has to agree to.
    pub fn leaving(&self) -> impl Iterator<Item = &PlannedHost> {
        self.hosts.iter().filter(|host| host.change == HostChange::Leave)
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

impl PlannedHost {
    /// A host with what becomes of it; `role` is `master` or `node`.
    #[must_use]
    pub fn new(address: IpAddr, change: HostChange, role: impl Into<String>) -> Self {
        Self { address, change, role: role.into() }
    }
}

impl Step {
    /// The verb of a step that concerns the cluster as a whole; `None` when it concerns its hosts.
    fn scope(&self) -> Option<&'static str> {
        let verb = if matches!(self.action, Action::Wait(_)) { "wait" } else { "run" };
        self.cluster_wide.then_some(verb)
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
}
