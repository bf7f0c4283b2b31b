//! How do clusters read: what was planned, made, deleted?

use sealer_core::{Applied, Deleted, Outcome, Planned};

use super::{Printer, units, write_out};
use crate::exit::Failure;

impl Printer {
    /// What apply would do.
    pub(crate) fn planned(&self, planned: &Planned) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(planned);
        }
        let mut text = String::new();
        for line in &planned.provider {
            text.push_str(&format!("provider: {line}\n"));
        }
        if planned.plan.hosts.is_empty() && !planned.provider.is_empty() {
            text.push_str("the steps on these hosts are planned once they are there; nothing was changed\n");
        } else {
            text.push_str(&planned.plan.to_text());
        }
        for finding in &planned.findings {
            text.push_str(&format!("finding: {}  {}  {}\n", finding.host, finding.problem, finding.fix));
        }
        write_out(text.as_bytes())
    }

    /// What apply did.
    pub(crate) fn applied(&self, applied: &Applied) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(applied);
        }
        let kubeconfig = applied.kubeconfig.display();
        if self.quiet {
            return write_out(format!("{kubeconfig}\n").as_bytes());
        }
        let nodes = units::count(applied.cluster.hosts.len(), "node");
        let text = match applied.outcome {
            Outcome::Unchanged => format!("cluster {} is as wanted: {nodes}; nothing to do\n", applied.name),
            _ => format!(
                "cluster {} is up: {nodes}, kubeconfig {kubeconfig}\n  next: export KUBECONFIG={kubeconfig}; kubectl get node\n",
                applied.name
            ),
        };
        write_out(text.as_bytes())
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
        if deleted.is_empty() {
            text.push_str("there is no cluster\n");
        }
        write_out(text.as_bytes())
    }
}
