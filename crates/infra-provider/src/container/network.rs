//! Creates and removes the cluster's network.

use std::net::{IpAddr, Ipv4Addr};

use bollard::models::{Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use clusterfile::Cluster;

use super::boot::endpoint;
use super::engine::{Engine, FoundContainer, failed, is_absent, status};
use super::machine::{CLUSTER_LABEL, Machine, network_name};
use super::subnet::{self, Subnet};
use crate::{Error, Events, ProviderEvent, Result};

/// How often a subnet is chosen anew because another program took it in between.
const ATTEMPTS: u32 = 8;

/// Finds the cluster's network or makes it, around the addresses in `used` when there are any.
pub(super) async fn ensure(
    engine: &Engine,
    cluster: &Cluster,
    used: &[Ipv4Addr],
    events: Events<'_>,
) -> Result<Subnet> {
    let name = network_name(&cluster.name);
    if let Some(network) = engine.networks(&cluster.name).await?.into_iter().find(|network| network.name == name) {
        let wrong = || Error::Label { object: name.clone(), label: CLUSTER_LABEL, value: cluster.name.clone() };
        return network.subnet.ok_or_else(wrong);
    }
    let mut taken: Vec<Subnet> = engine.routes.clone();
    taken.extend(engine.all_networks(&cluster.name).await?.into_iter().filter_map(|network| network.subnet));
    taken.extend(inside(cluster));
    for _ in 0..ATTEMPTS {
        // Hosts that outlived their network keep their addresses, whatever is there by now: only the engine can refuse.
        let subnet = match used.first() {
            Some(address) => Subnet::around(*address, 24),
            None => subnet::choose(&taken).ok_or_else(|| Error::NoSubnet { cluster: cluster.name.clone() })?,
        };
        match engine.docker.create_network(request(&cluster.name, &subnet)).await {
            Ok(_) => {
                events(ProviderEvent::NetworkCreated { network: name, subnet: subnet.to_string() });
                return Ok(subnet);
            }
            // "Pool overlaps with other one on this address space"
            Err(error) if status(&error) == Some(403) && used.is_empty() => taken.push(subnet),
            Err(error) => return Err(failed("making network", &name)(error)),
        }
    }
    Err(Error::NoSubnet { cluster: cluster.name.clone() })
}

/// Removes every network of the cluster; containers of others that are attached are detached, not touched otherwise.
pub(super) async fn remove(engine: &Engine, cluster: &str, events: Events<'_>) -> Result<()> {
    for network in engine.networks(cluster).await? {
        for container in engine.attached(&network).await? {
            let request = NetworkDisconnectRequest { container: container.clone(), force: Some(true) };
            match engine.docker.disconnect_network(&network.id, request).await {
                Err(error) if !is_absent(&error) => {
                    return Err(failed("detaching container", &container)(error));
                }
                _ => {}
            }
        }
        match engine.docker.remove_network(&network.id).await {
            Err(error) if !is_absent(&error) => {
                return Err(failed("removing network", &network.name)(error));
            }
            _ => events(ProviderEvent::NetworkRemoved { network: network.name }),
        }
    }
    Ok(())
}

/// Takes a stopped host out of a network that is gone and into the one of the same name, with its own address.
pub(super) async fn reattach(engine: &Engine, cluster: &str, machine: Machine, host: &FoundContainer) -> Result<()> {
    let name = network_name(cluster);
    let old = NetworkDisconnectRequest { container: host.id.clone(), force: Some(true) };
    engine.docker.disconnect_network(&name, old).await.map_err(failed("detaching host", &host.name))?;
    let new = NetworkConnectRequest { container: host.id.clone(), endpoint_config: Some(endpoint(machine)) };
    engine.docker.connect_network(&name, new).await.map_err(failed("attaching host", &host.name))
}

fn request(cluster: &str, subnet: &Subnet) -> NetworkCreateRequest {
    let config = IpamConfig {
        subnet: Some(subnet.to_string()),
        gateway: Some(subnet.gateway().to_string()),
        ..IpamConfig::default()
    };
    NetworkCreateRequest {
        name: network_name(cluster),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
        labels: Some([(CLUSTER_LABEL.to_owned(), cluster.to_owned())].into()),
        ..NetworkCreateRequest::default()
    }
}

/// The networks that will exist inside the cluster.
fn inside(cluster: &Cluster) -> impl Iterator<Item = Subnet> {
    let blocks = cluster.network.pod_cidr.iter().chain(cluster.network.service_cidr.iter());
    blocks.filter_map(|block| match block.address() {
        IpAddr::V4(address) => Some(Subnet::around(address, block.prefix())),
        IpAddr::V6(_) => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn pods_and_services_block_their_subnets() {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        cluster.network.pod_cidr = "10.213.0.0/16,fd00::/48".parse().unwrap();
        cluster.network.service_cidr = "172.29.0.0/24".parse().unwrap();
        let taken: Vec<_> = inside(&cluster).collect();
        assert_eq!(subnet::choose(&taken).unwrap().to_string(), "172.29.1.0/24");
    }

    #[test]
    fn the_network_is_labelled_and_has_a_fixed_gateway() {
        let request = request("shop", &"10.213.4.0/24".parse().unwrap());
        assert_eq!(request.name, "sealer-shop");
        assert_eq!(request.labels.unwrap()["io.sealer.cluster"], "shop");
        let config = request.ipam.unwrap().config.unwrap().remove(0);
        assert_eq!((config.subnet.as_deref(), config.gateway.as_deref()), (Some("10.213.4.0/24"), Some("10.213.4.1")));
    }
}
