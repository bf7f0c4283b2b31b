//! Checks of a machine in the network: its addresses, its ports.

use super::{Checked, Findings};

/// The interface that was asked for, and the address by which everybody will call the host.
pub(super) fn addresses(checked: &Checked<'_>, findings: &mut Findings) {
    let (observed, address) = (checked.observed, checked.host.address);
    if observed.addresses.is_empty() {
        // Without `ip` there is nothing to compare; that it is missing is a finding of its own.
        return;
    }
    let interface = checked.request.cluster().network.interface.as_deref();
    if let Some(wanted) = interface
        && !observed.addresses.keys().any(|name| matches(wanted, name))
    {
        let names: Vec<&str> = observed.addresses.keys().map(String::as_str).filter(|name| *name != "lo").collect();
        findings.add(
            format!("has no network interface `{wanted}` (it has {})", names.join(", ")),
            "name one that every host has with -i, or leave it out",
        );
    }
    if address.is_loopback() {
        findings.add("no other host reaches a loopback address", "name the host by another of its addresses");
    } else if !observed.addresses.values().flatten().any(|known| *known == address) {
        let all = observed.addresses.iter().filter(|(name, _)| *name != "lo");
        let own = all.flat_map(|(_, list)| list).find(|own| own.is_ipv4() == address.is_ipv4());
        let own = own.map_or_else(String::new, |own| format!(" (it has {own})"));
        findings.add(
            format!("{address} is not an address of the host itself{own}"),
            "name the host by an address it has; others will call it by that",
        );
    }
    if observed.default_interface.is_none() && interface.is_none() {
        findings.add(
            "has no default route, so services of the cluster cannot be reached from it",
            "ip route add default via GATEWAY, or name the interface with -i",
        );
    }
}

/// Ports that something else holds. On a host of a cluster of ours it is that cluster, which is a finding of its own
/// unless the cluster is this one.
pub(super) fn ports(checked: &Checked<'_>, findings: &mut Findings) {
    if checked.ours || checked.observed.cluster.is_some() {
        return;
    }
    let (master, demands) = (checked.host.is_master(), checked.demands);
    let mut wanted = if master { demands.master_ports } else { demands.node_ports }.to_vec();
    let registry = &checked.request.cluster().registry;
    if master && registry.external.is_none() {
        wanted.push(registry.port);
    }
    for port in wanted {
        let Some(holder) = checked.observed.ports.get(&port) else {
            continue;
        };
        match holder.rsplit_once('/') {
            Some((name, pid)) => findings.add(
                format!("port {port} is in use by `{name}` (pid {pid})"),
                format!("stop {name} (see systemctl status {pid})"),
            ),
            None => findings.add(
                format!("port {port} is in use"),
                format!("find out by whom with ss -ltnp 'sport = :{port}', and stop it"),
            ),
        }
    }
}

/// Whether an interface is meant: names separated by `|`, `*` or `.*` at the end for any ending.
fn matches(wanted: &str, name: &str) -> bool {
    wanted.split('|').map(str::trim).any(|wanted| match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start.trim_end_matches('.')),
        None => name == wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_may_be_meant_by_their_beginning() {
        assert!(matches("eth0", "eth0") && !matches("eth0", "eth01"));
        assert!(matches("eth.*|en.*", "ens3") && matches("en*", "ens3") && !matches("eth.*", "ens3"));
    }
}
