//! How does a node reach the API servers: which files make the kernel balance over them?

use std::net::{IpAddr, SocketAddr};

use clusterfile::Cluster;
use lvscare::Unit;
use lvscare::carer::CareConfig;

use super::environment::{API_SERVER, virtual_address};
use super::paths;
use crate::File;

/// Where every API server listens.
const PORT: u16 = 6443;

/// The virtual address and port of the API servers.
pub(crate) fn service(master: IpAddr) -> SocketAddr {
    SocketAddr::new(virtual_address(master), PORT)
}

/// What a node's carer needs: its configuration and its unit.
pub(crate) fn files(cluster: &Cluster, master: IpAddr) -> Vec<File> {
    let masters = cluster.masters().map(|host| SocketAddr::new(host.address, PORT)).collect();
    let mut config = CareConfig::new(service(master), masters);
    // The cluster's own authority vouches for all of its API servers, by the name that their certificates share.
    config.health.ca = Some(format!("{}/ca.crt", paths::certs(&cluster.name)).into());
    config.health.server_name = Some(API_SERVER.to_owned());
    // One that answers strangers with a refusal answers.
    config.health.status = [401, 403].into();
    let path = paths::care(&cluster.name);
    let unit = Unit {
        service: config.vs.to_string(),
        program: paths::BINARY.into(),
        arguments: ["lvscare", "care", "--config", &path].map(str::to_owned).to_vec(),
        reads: Vec::new(),
        writes: Vec::new(),
        modules: vec!["ip_vs".to_owned()],
        before: vec!["kubelet.service".to_owned()],
    };
    let public =
        |path: String, content: String| File { path, mode: 0o644, content: content.into_bytes(), secret: false };
    vec![public(path, config.to_text()), public(paths::CARE_UNIT.to_owned(), unit.to_text())]
}
