//! The files by which a node's kernel balances connections over the API servers.

use clusterfile::{Cluster, Host};
use lvscare::Unit;
use lvscare::daemon::CareConfig;

use super::control_plane::{API_SERVER, ControlPlane};
use super::prepare::id;
use super::{Script, Setup, paths};
use crate::{File, Step, Variable};

const LVSCARE: Script =
    Script::new(include_str!("scripts/lvscare.sh")).diagnose(include_str!("scripts/diagnose_lvscare.sh"));

impl Setup<'_> {
    /// Has a node's kernel balance connections to the virtual address of the API servers.
    pub(super) fn start_lvscare(&self, host: &Host) -> Step {
        let service = Variable::shown(self.control_plane.service().to_string());
        let run = self.run(host, LVSCARE).env([("SEALER_API_SERVERS", service)]);
        Step::run(id("lvscare", host.address), [host.address], run).titled("lvscare")
    }
}

/// What lvscare on a node needs: its configuration and its unit.
pub(super) fn files(cluster: &Cluster, control_plane: &ControlPlane<'_>) -> Vec<File> {
    let mut config = CareConfig::new(control_plane.service(), control_plane.api_servers());
    // The cluster's own authority signs the certificates of all of its API servers, for a name that they share.
    config.health.ca = Some(format!("{}/ca.crt", paths::certs(&cluster.name)).into());
    config.health.server_name = Some(API_SERVER.to_owned());
    // One that answers strangers with a refusal answers.
    config.health.status = [401, 403].into();
    let path = paths::lvscare(&cluster.name);
    let unit = Unit {
        service: config.vs.to_string(),
        program: paths::BINARY.into(),
        arguments: ["lvscare", "care", "--config", &path].map(str::to_owned).to_vec(),
        reads: Vec::new(),
        writes: Vec::new(),
        modules: vec!["ip_vs".to_owned()],
        before: vec!["kubelet.service".to_owned()],
    };
    vec![File::public(path, config.to_text()), File::public(paths::LVSCARE_UNIT, unit.to_text())]
}
