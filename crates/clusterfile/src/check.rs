//! Checks rules that span several fields of a Cluster.

use crate::{CidrList, Cluster, ErrorKind, MAX_JUMPS, ProviderName, Role, parse::rules};

impl Cluster {
    /// Everything that is invalid, for clusters that were put together in code instead of parsed.
    ///
    /// A parsed cluster has none of it, except that [`crate::parse_default`] allows a missing master and image.
    #[must_use]
    pub fn check(&self) -> Vec<ErrorKind> {
        let names =
            [rules::CLUSTER_NAME.check(&self.name), rules::IMAGE.check(&self.image), rules::USER.check(&self.ssh.user)];
        let logins = || std::iter::once(&self.ssh).chain(self.hosts.iter().map(|host| &host.ssh));
        let long = logins().any(|ssh| ssh.jump.len() > MAX_JUMPS).then_some(ErrorKind::TooManyJumps);
        let networks = (self.network.asked_pod_cidr(), self.network.asked_service_cidr());
        names.into_iter().filter_map(Result::err).chain(long).chain(conflicts(self, networks)).collect()
    }
}

/// What breaks a rule that spans several fields; `pods` and `services` are the networks that the file names itself.
/// About one that it leaves to the image, only the runtime can say something.
pub(crate) fn conflicts(cluster: &Cluster, (pods, services): (Option<&CidrList>, Option<&CidrList>)) -> Vec<ErrorKind> {
    let mut found = Vec::new();
    if let (Some(pods), Some(services)) = (pods, services)
        && let Some((pod, service)) = pods.overlap(services)
    {
        found.push(ErrorKind::CidrOverlap { pod, service });
    }
    let pods = pods.into_iter().flat_map(CidrList::iter).map(|block| ("pod", *block));
    let services = services.into_iter().flat_map(CidrList::iter).map(|block| ("service", *block));
    for (network, block) in pods.chain(services) {
        if let Some(host) = cluster.hosts.iter().find(|host| block.contains(host.address)) {
            found.push(ErrorKind::HostInCidr { address: host.address, network, block });
        }
    }
    // Other providers check masters, addresses and counts themselves (`Provider::check`).
    let makes_hosts = [ProviderName::ALI_CLOUD, ProviderName::CONTAINER].contains(&cluster.provider);
    let mixed = counts_and_addresses(cluster);
    if let Some(mixed) = mixed.filter(|_| makes_hosts || cluster.provider == ProviderName::BAREMETAL) {
        found.push(mixed);
    } else if cluster.provider == ProviderName::BAREMETAL && !cluster.machines.is_empty() {
        found.push(ErrorKind::MachinesWithoutProvider);
    } else if makes_hosts && cluster.machines.is_empty() && !cluster.hosts.is_empty() {
        found.push(ErrorKind::AddressesWithoutMachines(cluster.provider.clone()));
    }
    // A managed Kubernetes has no masters of ours.
    let needs_master = ProviderName::KNOWN.contains(&cluster.provider);
    if needs_master && cluster.machines.masters.is_none() && cluster.masters().next().is_none() {
        found.push(ErrorKind::NoMaster);
    }
    found
}

/// One role that has only addresses beside another that has only a count. Hosts that a provider made have both.
fn counts_and_addresses(cluster: &Cluster) -> Option<ErrorKind> {
    let roles = [
        (Role::Master, cluster.machines.masters.is_some(), cluster.masters().next().is_some()),
        (Role::Node, cluster.machines.nodes.is_some(), cluster.nodes().next().is_some()),
    ];
    let listed = roles.iter().find(|(_, counted, listed)| *listed && !counted)?;
    let counted = roles.iter().find(|(_, counted, _)| *counted)?;
    Some(ErrorKind::CountsAndAddresses { listed: listed.0.clone(), counted: counted.0.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines_or_addresses;

    #[test]
    fn a_cluster_put_together_from_arguments_is_checked_like_a_file() {
        let mut cluster = Cluster::new("my-cluster", "kubernetes:v1.20.2");
        assert_eq!(cluster.check(), [ErrorKind::NoMaster]);
        let managed = Cluster { provider: "SHOP_CLOUD".parse().unwrap(), ..cluster.clone() };
        assert_eq!(managed.check(), [], "another provider may run the control plane itself");
        cluster.add(&Role::Master, machines_or_addresses("192.168.0.2").unwrap());
        assert_eq!(cluster.check(), []);
        cluster.network.pod_cidr = "192.168.0.0/16".parse().unwrap();
        cluster.name = "../x".to_owned();
        assert_eq!(cluster.check().len(), 2);
    }
}
