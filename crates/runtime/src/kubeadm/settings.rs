//! Settings of masters that only kubeadm knows: names in certificates, networks, what was launched.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clusterfile::Host;
use serde_json::Value;

use super::config::Documents;
use super::networks::Networks;
use super::planner::Planner;
use crate::host::{Script, digest, id, virtual_address};
use crate::{Error, Request, Step, Variable, launch};

/// The names in the certificate of a master's API server.
pub(super) const CERTIFICATES: &str = "certificates";
/// The launch commands that were run, with the variables of the cluster.
pub(super) const LAUNCH: &str = "launch";
/// The networks of pods and services, which stay what they are.
const NETWORKS: &str = "networks";
/// The virtual address of the API servers, where kube-proxy knows it.
const VIRTUAL_ADDRESS: &str = "virtual-address";

const RENEW: Script =
    Script::new(include_str!("scripts/certificate.sh")).diagnose(include_str!("scripts/diagnose_init.sh"));

/// The value of each of them.
pub(super) fn of(
    request: &Request<'_>,
    documents: &Documents,
    networks: &Networks,
    virtual_address: IpAddr,
) -> BTreeMap<&'static str, String> {
    let mut names = documents.network().certificate_names;
    names.sort();
    let launch = launch::text(&request.payload.launch, &request.payload.launch_files);
    let variables = request.cluster().env.iter().map(|(key, _)| (key, request.cluster().env.values(key)));
    // It may hold secrets, and everybody can read a marker.
    let launched = format!("{launch} {:?}", variables.collect::<Vec<_>>());
    BTreeMap::from([
        (CERTIFICATES, digest([names.join("\n").as_bytes()])),
        (LAUNCH, hex::encode(&request.payload.secrets.keyed_digest(&["launch", &launched])[..8])),
        (NETWORKS, networks_text(networks)),
        (VIRTUAL_ADDRESS, virtual_address.to_string()),
    ])
}

/// Whether a master noted this when it was finished.
fn has_noted(request: &Request<'_>, name: &str) -> bool {
    let mut markers = request.cluster().masters().filter_map(|master| request.marker(master.address));
    markers.any(|marker| marker.settings.contains_key(name))
}

/// What the masters noted when they were finished, where it is not this.
fn other<'a>(request: &Request<'a>, name: &str, wanted: &str) -> Option<&'a String> {
    let markers = request.cluster().masters().filter_map(|master| request.marker(master.address));
    markers.filter_map(|marker| marker.settings.get(name)).find(|had| **had != wanted)
}

/// Refuses another virtual address where kube-proxy balances by IPVS too: its configuration, which kubeadm wrote into the
/// cluster, has it leave the first one alone, and it would remove the rules of any other.
pub(super) fn refuse_other_address(request: &Request<'_>, proxy: &Value, wanted: IpAddr) -> Result<(), Error> {
    let is_ipvs = proxy.get("mode").is_some_and(|mode| mode == "ipvs");
    // Masters that noted none are of an earlier version, which could not change it.
    let remembered = request.known.filter(|known| known.masters().any(|master| request.is_finished(master.address)));
    let remembered = remembered.map(|known| virtual_address(known, wanted.is_ipv4()));
    let had = match other(request, VIRTUAL_ADDRESS, &wanted.to_string()) {
        None if !has_noted(request, VIRTUAL_ADDRESS) => {
            remembered.filter(|had| *had != wanted).map(|had| had.to_string())
        }
        noted => noted.cloned(),
    };
    let Some(had) = had.filter(|_| is_ipvs) else { return Ok(()) };
    let reason = format!(
        "the virtual address of its API servers is {had}, and its kube-proxy, in the mode ipvs, would take the rules of {wanted} away; delete the cluster and make it anew, or keep the address"
    );
    Err(Error::InvalidCluster { cluster: request.cluster().name.clone(), reason })
}

fn networks_text(networks: &Networks) -> String {
    format!("{} {}", networks.pods.blocks, networks.services.blocks)
}

/// Refuses other networks than those that the cluster was made with: the addresses of pods and services that there are
/// cannot change.
pub(super) fn refuse_other_networks(request: &Request<'_>, networks: &Networks) -> Result<(), Error> {
    let had = other(request, NETWORKS, &networks_text(networks));
    let Some((pods, services)) = had.and_then(|had| had.split_once(' ')) else { return Ok(()) };
    let reason = format!(
        "its pods have addresses of {pods} and its services of {services}, which cannot change while it lives ({} and {} are wanted); delete the cluster and make it anew, or keep the networks",
        networks.pods, networks.services
    );
    Err(Error::InvalidCluster { cluster: request.cluster().name.clone(), reason })
}

impl Planner<'_> {
    /// The settings of a finished master that differ from what its marker says; what an older version did not note is
    /// taken to be the same.
    pub(super) fn changed(&self, host: &Host) -> Vec<&'static str> {
        let Some(marker) = self.setup.request.marker(host.address).filter(|_| host.is_master()) else {
            return Vec::new();
        };
        let differs = |name: &&'static str| {
            let had = marker.settings.get(*name);
            had.is_some_and(|had| *had != self.setup.own_settings[*name])
        };
        [CERTIFICATES, LAUNCH].into_iter().filter(differs).collect()
    }

    /// Has a master's API server show a certificate with the names that are wanted.
    pub(super) fn renew_certificate(&self, host: &Host) -> Result<[Step; 2], Error> {
        let address = host.address;
        let files = self.kubeadm_files(host)?;
        let reloads = if self.reloads_certificates() { "yes" } else { "no" };
        let run = self.setup.run(host, RENEW).env([("SEALER_RELOADS", Variable::shown(reloads))]);
        Ok([
            Step::write(id("kubeadm-files", address), [address], files).titled("kubeadm files"),
            Step::run(id("certificate", address), [address], run).titled("API server certificate"),
        ])
    }

    /// Whether API servers take a new certificate without being started again, as they do since 1.17
    /// (`DynamicServingCertificateController` of k8s.io/apiserver).
    pub(super) fn reloads_certificates(&self) -> bool {
        self.version.at_least(1, 17)
    }
}
