//! What has to be done to which hosts: who joins, who leaves, who gets other settings.

use clusterfile::Host;

use super::planner::Planner;
use super::settings;
use crate::Request;
use crate::host::{LeavingHost, ROOTFS_GROUP, Setup};

/// The hosts that are not as wanted.
#[derive(Debug)]
pub(super) struct Work<'a> {
    /// Masters first.
    pub(super) joining: Vec<&'a Host>,
    /// Each with the names of its settings that differ.
    pub(super) altered: Vec<(&'a Host, Vec<&'static str>)>,
    /// Hosts that leave and cannot be reached.
    pub(super) dead: Vec<LeavingHost<'a>>,
    /// Hosts that leave, nodes first.
    pub(super) leaving: Vec<LeavingHost<'a>>,
    /// Whether the launch commands, their variables or the files of masters' rootfs differ from those that were run.
    pub(super) relaunch: bool,
}

impl<'a> Work<'a> {
    pub(super) fn of(planner: &'a Planner<'a>) -> Self {
        let request = &planner.setup.request;
        let joining: Vec<&Host> = request.not_done().collect();
        let (leaving, dead) = planner.setup.leaving().into_iter().partition(|host| host.marker.is_some());
        let done = request.cluster().hosts.iter().filter(|host| request.is_done(host.address));
        let altered: Vec<_> = done
            .filter_map(|host| {
                let mut changed = planner.setup.changed(host);
                changed.extend(planner.changed(host));
                (!changed.is_empty()).then_some((host, changed))
            })
            .collect();
        let relaunch = altered.iter().any(|(_, changed)| changed.contains(&settings::LAUNCH))
            || altered.iter().any(|(host, changed)| host.is_master() && changed.contains(&ROOTFS_GROUP));
        Self { joining, altered, dead, leaving, relaunch }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.joining.is_empty() && self.altered.is_empty() && self.dead.is_empty() && self.leaving.is_empty()
    }

    pub(super) fn summary(&self, setup: &Setup<'_>) -> String {
        let count = |number: usize, one: &str, several: &str| match number {
            0 => None,
            1 => Some(format!("1 host {one}")),
            _ => Some(format!("{number} hosts {several}")),
        };
        let joining = (!self.joining.is_empty()).then(|| setup.joining_summary(&self.joining));
        let leaving = count(self.leaving.len() + self.dead.len(), "leaves", "leave");
        let altered = count(self.altered.len(), "changes", "change");
        [leaving, altered, joining].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// What a person should know of it.
    pub(super) fn notes(&self, setup: &Setup<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        let masters = setup.control_plane.masters().count();
        if masters.is_multiple_of(2) {
            let fewer = masters - 1;
            notes.push(format!("{masters} masters outlive no more failures than {fewer}: take an odd number"));
        }
        for host in &self.dead {
            let address = host.address;
            notes.push(format!(
                "{address} cannot be reached: the cluster forgets it, and what is on it stays until `sealer delete --host {address}`"
            ));
        }
        notes.extend(ignored(&setup.request));
        notes
    }
}

/// Wanted hosts of which nothing is known.
fn ignored(request: &Request<'_>) -> impl Iterator<Item = String> {
    let cluster = request.cluster();
    let unreachable = request.facts.unreachable.keys().filter(|address| cluster.host(**address).is_some());
    unreachable.map(|address| format!("{address} cannot be reached: nothing is done there"))
}
