//! Prints clusters: what was planned, created, deleted.

use std::path::Path;
use std::time::Duration;

use sealer_core::clusterfile::Clusterfile;
use sealer_core::{Applied, Deleted, HostClaim, LeftHost, Node, Outcome, Planned};

use super::layout::pad;
use super::{Printer, plan, units, write_out};
use crate::exit::Failure;
use crate::settings;

impl Printer {
    /// What apply would do.
    pub(crate) fn planned(&self, planned: &Planned) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&plan::with_sizes(planned));
        }
        let mut text = String::new();
        let not_made_yet = planned.plan.hosts.is_empty() && !planned.provider.is_empty();
        if not_made_yet {
            text.push_str(&format!(
                "cluster {}: hosts are made first, then the steps on them are planned\n",
                planned.plan.cluster
            ));
            planned.provider.iter().for_each(|line| text.push_str(&format!("  + {line}\n")));
            planned.plan.notes.iter().for_each(|note| text.push_str(&format!("  note: {note}\n")));
            text.push_str("nothing was changed\n");
        } else {
            if !planned.provider.is_empty() {
                text.push_str("machines are made first, and the steps on them are planned then\n");
                planned.provider.iter().for_each(|line| text.push_str(&format!("  + {line}\n")));
            }
            text.push_str(&planned.plan.to_text());
            text.push_str(&plan::amounts(planned));
            if self.verbose {
                text.push_str(&plan::steps(&planned.plan));
            }
        }
        write_out(&text)
    }

    /// A Clusterfile in which nothing is wrong.
    pub(crate) fn checked(&self, file: &Path, known: &Clusterfile, remarks: &[String]) -> Result<(), Failure> {
        let documents = 1 + known.configs.len() + known.plugins.len() + known.applications.len() + known.kubeadm.len();
        if self.is_json() {
            let name = &known.cluster.name;
            return self.json(&serde_json::json!({ "cluster": name, "documents": documents, "remarks": remarks }));
        }
        if self.quiet {
            return Ok(());
        }
        let documents = units::count(documents, "document");
        write_out(&format!("{}: cluster {}, {documents}, nothing is wrong\n", file.display(), known.cluster.name))
    }

    /// What apply did.
    pub(crate) fn applied(&self, applied: &Applied) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(applied);
        }
        if self.quiet {
            let kubeconfig = applied.kubeconfig.as_ref().map(|path| format!("{}\n", path.display()));
            return write_out(&kubeconfig.unwrap_or_default());
        }
        let count = units::count(applied.nodes.len(), "node");
        let mut text = node_lines(&applied.nodes);
        text.push_str(&left_lines(&applied.left));
        text.push_str(&match applied.outcome {
            Outcome::Partly => format!(
                "cluster {} is partly as wanted: {count}, {} left out\n",
                applied.name,
                units::count(applied.unreachable.len(), "host")
            ),
            Outcome::Unchanged => format!("cluster {} is as wanted: {count}; nothing to do\n", applied.name),
            _ => match applied.kubeconfig.as_deref().map(shell_path) {
                Some(kubeconfig) => format!(
                    "cluster {} is up: {count}, kubeconfig {kubeconfig}\n  next: export KUBECONFIG={kubeconfig}; kubectl get node\n",
                    applied.name
                ),
                None => format!("cluster {} is up: {count}\n", applied.name),
            },
        });
        write_out(&text)
    }

    /// What delete did.
    pub(crate) fn deleted(&self, deleted: &[Deleted]) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&deleted);
        }
        let mut text = String::new();
        for cluster in deleted {
            if self.quiet {
                text.push_str(&format!("{}\n", cluster.name));
                continue;
            }
            text.push_str(&format!("cluster {} is gone: {}\n", cluster.name, units::count(cluster.hosts, "host")));
            for host in &cluster.unreachable {
                text.push_str(&format!("  {host} could not be reached and was left as it is\n"));
            }
        }
        if deleted.is_empty() && !self.quiet {
            text.push_str("there is no cluster\n");
        }
        write_out(&text)
    }
}

impl Printer {
    /// Tells that a host was cleaned.
    pub(crate) fn cleaned(&self, claim: &HostClaim) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(claim);
        }
        let HostClaim { host, cluster, role, .. } = claim;
        if self.quiet {
            return write_out(&format!("{host}\n"));
        }
        write_out(&format!("{host} is clean: it was a {role} of cluster {cluster}\n"))
    }
}

/// One line for each host: address, role, state, version, and how long steps ran on it.
fn node_lines(nodes: &[Node]) -> String {
    let width = nodes.iter().map(|node| node.address.to_string().len()).max().unwrap_or_default();
    let line = |node: &Node| {
        let state = match (node.name.is_empty(), node.ready) {
            (true, _) => "unknown",
            (false, true) => "Ready",
            (false, false) => "NotReady",
        };
        let time = if node.millis == 0 { String::new() } else { units::duration(Duration::from_millis(node.millis)) };
        let address = pad(&node.address.to_string(), width);
        let line = format!(" {address}  {:<6}  {state:<8}  {:<12} {time:>6}", node.role, node.version);
        format!("{}\n", line.trim_end())
    };
    nodes.iter().map(line).collect()
}

/// One line for each host that left.
fn left_lines(left: &[LeftHost]) -> String {
    let line = |host: &LeftHost| {
        let LeftHost { address, role, unreachable, given_back, .. } = host;
        match unreachable {
            _ if *given_back => format!(" {address}  {role:<6}  left, its machine is given back\n"),
            None => format!(" {address}  {role:<6}  left\n"),
            Some(reason) => format!(" {address}  {role:<6}  left, nothing on it was cleaned: {reason}\n"),
        }
    };
    left.iter().map(line).collect()
}

/// A path as a shell takes it, below the home directory in its short form.
fn shell_path(path: &Path) -> String {
    let plain = |text: &str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-+@%".contains(letter));
    let whole = path.display().to_string();
    if !plain(&whole) {
        return format!("'{}'", whole.replace('\'', r"'\''"));
    }
    match settings::home().and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(below) => format!("~/{}", below.display()),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_can_be_pasted_into_a_shell() {
        assert_eq!(shell_path(Path::new("/srv/a-b/kubeconfig")), "/srv/a-b/kubeconfig");
        assert_eq!(shell_path(Path::new("/srv/a b/ku'be")), r"'/srv/a b/ku'\''be'");
    }
}
