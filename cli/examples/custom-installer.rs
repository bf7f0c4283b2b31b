//! How does a vendor make an installer of their own: own provider, own runtime, own command?
//!
//! `cargo run --example custom-installer -- inventory`, and every command of sealer besides.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)] // A program, not a library.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use sealer::sealer_core::clusterfile::{Change, Cluster, ProviderName, Role};
use sealer::sealer_core::infra_provider::{self, Context, Provider, Provisioned, Release};
use sealer::sealer_core::runtime::{self, Action, Facts, Payload, Plan, Runtime, Step};

/// Machines that stand in our rack; the first are masters.
const RACK: [&str; 3] = ["10.1.0.11", "10.1.0.12", "10.1.0.13"];

/// Gives machines of the rack where a Clusterfile lists none.
#[derive(Debug)]
struct Rack;

#[async_trait]
impl Provider for Rack {
    fn name(&self) -> &ProviderName {
        &ProviderName::BAREMETAL
    }

    fn owns_hosts(&self) -> bool {
        false
    }

    async fn provision(
        &self,
        wanted: &Cluster,
        _current: Option<&Cluster>,
        _context: &Context<'_>,
    ) -> infra_provider::Result<Provisioned> {
        let mut cluster = wanted.clone();
        let mut free = RACK.iter().filter_map(|address| address.parse::<IpAddr>().ok());
        if cluster.hosts.is_empty() {
            cluster.add_hosts(&Role::Master, free.by_ref().take(1));
            cluster.add_hosts(&Role::Node, free);
        }
        Ok(cluster.into())
    }

    async fn release(&self, _cluster: &Cluster, _hosts: Release, _context: &Context<'_>) -> infra_provider::Result<()> {
        Ok(()) // The rack stays.
    }

    fn describe(&self, _wanted: &Cluster) -> Vec<String> {
        RACK.iter().map(|address| format!("use {address}")).collect()
    }
}

/// Runs one container on every host: not Kubernetes, but a cluster to its vendor.
#[derive(Debug)]
struct Appliance;

impl Runtime for Appliance {
    fn name(&self) -> &str {
        "appliance"
    }

    fn supports(&self, _cluster: &Cluster) -> Result<(), runtime::Error> {
        Ok(())
    }

    fn plan(&self, change: &Change, _facts: &Facts, payload: &Payload<'_>) -> Result<Plan, runtime::Error> {
        let hosts: Vec<IpAddr> = change.joins.iter().map(|host| host.address).collect();
        let rootfs = format!("/var/lib/sealer/data/{}/rootfs", change.wanted.name);
        let content = Action::Content {
            image: payload.image_digest.clone(),
            carried_images: false,
            rootfs: rootfs.clone(),
            bytes: payload.rootfs_bytes,
            sources: Vec::new(),
        };
        let start = Action::Run {
            script: format!("cd {rootfs} && sh scripts/start.sh"),
            env: std::collections::BTreeMap::new(),
            timeout_seconds: 120,
            show_output: true,
            diagnose: None,
        };
        let step = |id: &str, title: &str, action| Step {
            id: id.to_owned(),
            title: title.to_owned(),
            hosts: hosts.clone(),
            after: Vec::new(),
            action,
        };
        let steps = vec![step("content", "bring content", content), step("start", "start the appliance", start)];
        Ok(Plan { cluster: change.wanted.name.clone(), steps, ..Plan::default() })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("inventory") {
        println!("{}", RACK.join("\n"));
        return ExitCode::SUCCESS;
    }
    sealer::run_with(arguments, &|sealer| sealer.with_provider(Arc::new(Rack)).with_runtime(Arc::new(Appliance)))
}
