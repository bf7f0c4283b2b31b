//! The networks that a cluster will have, and the limits that kubeadm and the API server set them.

use std::fmt;
use std::net::IpAddr;

use clusterfile::{Cidr, CidrList, Cluster, Clusterfile};
use serde_json::Value;

use super::config::{self, Documents};
use crate::{Error, ImageContents};

/// The API server keeps one bit for every address of a service: it takes no more than 2^20.
const SERVICE_BITS: u8 = 20;
/// The cluster's DNS has the 10th address of the services, so kubeadm wants at least 16 (a power of two).
const LEAST_SERVICE_BITS: u8 = 4;
/// kubeadm takes no more than 2^16 blocks for nodes in the network of pods.
const NODE_BITS: u8 = 16;

/// The networks of a cluster, as documents of the Clusterfile, its fields, the image or nobody says.
#[derive(Debug)]
pub(super) struct Networks {
    pub(super) pods: Subnet,
    pub(super) services: Subnet,
}

/// One of the two, and who said it.
#[derive(Debug)]
pub(super) struct Subnet {
    name: &'static str,
    pub(super) blocks: CidrList,
    origin: String,
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} network {} ({})", self.name, self.blocks, self.origin)
    }
}

impl Subnet {
    fn refused<T>(&self, problem: String) -> Result<T, Error> {
        Err(Error::Network { network: self.to_string(), problem })
    }

    fn has(&self, is_ipv4: bool) -> bool {
        self.blocks.iter().any(|block| block.address().is_ipv4() == is_ipv4)
    }
}

impl Networks {
    /// The networks that will be used: the Clusterfile's documents win over its fields, these over the image.
    pub(super) fn of(wanted: &Clusterfile, image: &ImageContents) -> Result<Self, Error> {
        let (network, usual) = (&wanted.cluster.network, clusterfile::Network::default());
        let (of_file, of_image) = (config::of_clusterfile(&wanted.kubeadm)?, config::of_image(wanted, image)?);
        let subnet = |name, key: &str, field: &str, asked: Option<&CidrList>, usual: CidrList| {
            let said = |documents: &Documents| {
                let text = documents.cluster.get("networking")?.get(key)?.as_str()?;
                Some(text.to_owned()).filter(|text| !text.is_empty())
            };
            let in_image = || Some((said(&of_image)?, format!("etc/kubeadm.yml of {}", image.name)));
            let (text, origin) = said(&of_file)
                .map(|text| (text, format!("{key} of the Clusterfile's ClusterConfiguration")))
                .or_else(|| asked.map(|list| (list.to_string(), field.to_owned())))
                .or_else(in_image)
                .unwrap_or_else(|| (usual.to_string(), "the default".to_owned()));
            let malformed = |problem: clusterfile::ErrorKind| Error::Network {
                network: format!("{name} network ({origin})"),
                problem: format!("is malformed: {problem}"),
            };
            let blocks = text.parse().map_err(malformed)?;
            Ok::<_, Error>(Subnet { name, blocks, origin })
        };
        let (pods, services) = (network.asked_pod_cidr(), network.asked_service_cidr());
        Ok(Self {
            pods: subnet("pod", "podSubnet", "spec.network.podCIDR", pods, usual.pod_cidr)?,
            services: subnet("service", "serviceSubnet", "spec.network.svcCIDR", services, usual.service_cidr)?,
        })
    }

    /// Refuses what kubeadm or the API server would refuse when hosts are already changed.
    pub(super) fn check(&self, cluster: &Cluster, documents: &Documents) -> Result<(), Error> {
        if self.pods.blocks.overlap(&self.services.blocks).is_some() {
            return self.pods.refused(format!("and the {} overlap", self.services));
        }
        for subnet in [&self.pods, &self.services] {
            let inside = |address: IpAddr| subnet.blocks.iter().any(|block| block.contains(address));
            if let Some(host) = cluster.hosts.iter().find(|host| inside(host.address)) {
                return subnet.refused(format!("contains the host {}", host.address));
            }
        }
        self.check_families(cluster)?;
        self.services.blocks.iter().try_for_each(|block| self.check_services(*block))?;
        self.pods.blocks.iter().try_for_each(|block| self.check_pods(*block, cluster, documents))?;
        certificate_names(documents)
    }

    fn check_families(&self, cluster: &Cluster) -> Result<(), Error> {
        let first = self.services.blocks.primary().address();
        if let Some(master) = cluster.masters().find(|master| master.address.is_ipv4() != first.is_ipv4()) {
            let rule = "its first block must be of the family of the masters' addresses";
            return self.services.refused(format!("does not fit the master {}: {rule}", master.address));
        }
        match self.services.blocks.iter().find(|block| !self.pods.has(block.address().is_ipv4())) {
            Some(block) => self.pods.refused(format!(
                "has no {} block, but the {} has one: both need the same families",
                if block.address().is_ipv4() { "IPv4" } else { "IPv6" },
                self.services
            )),
            None => Ok(()),
        }
    }

    fn check_services(&self, block: Cidr) -> Result<(), Error> {
        let all = bits(block);
        if all - block.prefix() > SERVICE_BITS {
            return self
                .services
                .refused(format!("is too large: the API server takes at most a /{}", all - SERVICE_BITS));
        }
        if all - block.prefix() < LEAST_SERVICE_BITS {
            let least = all - LEAST_SERVICE_BITS;
            return self.services.refused(format!("is too small: kubeadm needs 10 addresses, at least a /{least}"));
        }
        Ok(())
    }

    fn check_pods(&self, block: Cidr, cluster: &Cluster, documents: &Documents) -> Result<(), Error> {
        let Some(of_node) = node_prefix(block, documents) else { return Ok(()) };
        let Some(free) = of_node.checked_sub(block.prefix()) else {
            return self.pods.refused(format!("is too small: every node takes a /{of_node} of it"));
        };
        if free > NODE_BITS {
            let most = of_node - NODE_BITS;
            return self
                .pods
                .refused(format!("is too large: with a /{of_node} for every node kubeadm takes at most a /{most}"));
        }
        let (room, hosts) = (1_usize << free, cluster.hosts.len());
        if hosts > room {
            return self.pods.refused(format!(
                "is too small: every node takes a /{of_node}, so it is enough for {room} of {hosts} hosts"
            ));
        }
        Ok(())
    }
}

fn bits(block: Cidr) -> u8 {
    if block.address().is_ipv4() { 32 } else { 128 }
}

/// The prefix of the block that every node gets; `None` when the controller manager gives none.
fn node_prefix(block: Cidr, documents: &Documents) -> Option<u8> {
    let given = |name: &str| match documents.cluster.get("controllerManager")?.get("extraArgs")?.get(name)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    if given("allocate-node-cidrs").is_some_and(|given| given == "false") {
        return None;
    }
    let (family, usual) =
        if block.address().is_ipv4() { ("node-cidr-mask-size-ipv4", 24) } else { ("node-cidr-mask-size-ipv6", 64) };
    let given = given(family).or_else(|| given("node-cidr-mask-size"));
    Some(given.and_then(|given| given.parse().ok()).unwrap_or(usual))
}

/// Refuses names that kubeadm would not write into a certificate; those of the Clusterfile were checked with their places.
fn certificate_names(documents: &Documents) -> Result<(), Error> {
    for place in ["/apiServer/certSANs", "/etcd/local/serverCertSANs", "/etcd/local/peerCertSANs"] {
        let names = documents.cluster.pointer(place).and_then(Value::as_array);
        let mut names = names.into_iter().flatten().filter_map(Value::as_str);
        if let Some(wrong) = names.find(|name| !clusterfile::is_certificate_name(name)) {
            let place = place.trim_start_matches('/').replace('/', ".");
            let reason = format!("{place} has `{wrong}`, expected an IP address or a DNS name in lower case");
            return Err(Error::Document { document: "the ClusterConfiguration".to_owned(), reason });
        }
    }
    Ok(())
}
