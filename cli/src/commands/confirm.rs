//! Asks the person at the terminal to agree to something.

use std::io::IsTerminal;

use sealer_core::runtime::Plan;
use sealer_core::{Consent, Error, HostClaim};

use crate::output::ClusterProgress;

/// Whether the person agrees to what was refused without their word.
pub(crate) fn asked(refused: &Error) -> bool {
    agrees(&format!("{refused}. Continue? [y/N] "))
}

/// Agrees to hosts that leave and applications that are removed with `--yes`; otherwise the person at the terminal is asked.
pub(crate) fn consent(yes: bool, progress: &ClusterProgress) -> Consent {
    if yes {
        return Consent::given();
    }
    if progress.is_for_programs() {
        return Consent::refused();
    }
    let suspend = progress.suspender();
    Consent::new(move |plan| {
        let mut agreed = false;
        suspend(&mut || agreed = agrees(&question(plan)));
        agreed
    })
}

/// Agrees to a host's being cleaned with `--yes`; otherwise the person at the terminal is asked.
pub(crate) fn to_clean(yes: bool, progress: &ClusterProgress) -> impl Fn(&HostClaim) -> bool + Send + Sync {
    let (refused, suspend) = (progress.is_for_programs(), progress.suspender());
    move |claim| {
        let mut agreed = yes;
        if !yes && !refused {
            suspend(&mut || agreed = agrees(&claimed(claim)));
        }
        agreed
    }
}

/// Says what a host is part of, and asks.
fn claimed(claim: &HostClaim) -> String {
    let HostClaim { host, cluster, role, engine, removes_engine, other_nodes, .. } = claim;
    let mut text = format!("{host} is a {role} of cluster {cluster}. Everything of it on this host is removed");
    text.push_str(&if *removes_engine { format!(", {engine} too.\n") } else { ".\n".to_owned() });
    if !other_nodes.is_empty() {
        text.push_str(&format!("The cluster is still up and is not told; it has {}.\n", other_nodes.join(", ")));
    }
    text + "Continue? [y/N] "
}

/// Lists the hosts that leave, or what is removed, and asks.
fn question(plan: &Plan) -> String {
    if plan.leaving().next().is_none() && plan.summary.starts_with("remove ") {
        let commands = plan.steps.iter().filter(|step| step.cluster_wide).map(|step| format!("  {}\n", step.title));
        return format!(
            "Cluster {}: {}, by\n{}Continue? [y/N] ",
            plan.cluster,
            plan.summary,
            commands.collect::<String>()
        );
    }
    let mut text = if plan.summary == "the cluster is deleted" {
        format!("Cluster {} is deleted, and everything on its hosts that belongs to it:\n", plan.cluster)
    } else {
        format!("These hosts leave cluster {}:\n", plan.cluster)
    };
    plan.leaving().for_each(|host| text.push_str(&format!("  {}  {}\n", host.address, host.role)));
    text + "Continue? [y/N] "
}

/// Where nobody can be asked, nobody agrees.
fn agrees(question: &str) -> bool {
    let terminal = console::Term::stderr();
    if !terminal.is_term() || !std::io::stdin().is_terminal() {
        return false;
    }
    let answer = terminal.write_str(question).and_then(|()| terminal.read_line());
    answer.is_ok_and(|answer| ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
