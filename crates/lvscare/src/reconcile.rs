//! Which changes lead from the rules that are to the rules that are wanted?

use crate::{Change, Rules};

/// The fewest changes that make `observed` equal `desired`, in an order that never leaves a wanted, healthy server
/// out: first the service, then servers that come or change, last servers that leave.
///
/// `observed` is what the kernel has for this very virtual address, `None` when it has no such service. Empty when
/// nothing differs.
#[must_use]
pub fn reconcile(desired: &Rules, observed: Option<&Rules>) -> Vec<Change> {
    let mut changes = Vec::new();
    match observed {
        None => changes.push(Change::AddService(desired.service.clone())),
        Some(rules) if rules.service != desired.service => changes.push(Change::SetService(desired.service.clone())),
        Some(_) => {}
    }
    for (address, server) in &desired.servers {
        match observed.and_then(|rules| rules.servers.get(address)) {
            None => changes.push(Change::AddServer(*address, *server)),
            Some(other) if other != server => changes.push(Change::SetServer(*address, *server)),
            Some(_) => {}
        }
    }
    let left = observed.into_iter().flat_map(|rules| rules.servers.keys());
    changes.extend(left.filter(|address| !desired.servers.contains_key(address)).copied().map(Change::RemoveServer));
    changes
}
