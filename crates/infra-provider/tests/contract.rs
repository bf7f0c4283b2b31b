//! Do the providers that need no engine keep the promises of the trait?
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use clusterfile::{Cluster, MachineSpec, ProviderKind, Role};
use infra_provider::testing::{Counting, Counts, contract};
use infra_provider::{BareMetal, Provider};

#[tokio::test]
async fn bare_metal() {
    let mut wanted = Cluster::new("contract", "shop:1.4");
    wanted.add_hosts(&Role::Master, [IpAddr::from([192, 0, 2, 1])]);
    wanted.add_hosts(&Role::Node, [IpAddr::from([192, 0, 2, 2])]);
    let mut grown = wanted.clone();
    grown.add_hosts(&Role::Node, [IpAddr::from([192, 0, 2, 3])]);
    let state = tempfile::tempdir().unwrap();
    contract(&BareMetal, &wanted, &grown, state.path()).await;
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn counting() {
    let mut wanted = Cluster::new("contract", "shop:1.4");
    wanted.provider = ProviderKind::Container;
    wanted.machines.masters = Some(MachineSpec::of(1));
    wanted.machines.nodes = Some(MachineSpec::of(1));
    let mut grown = wanted.clone();
    grown.machines.nodes = Some(MachineSpec::of(2));
    let state = tempfile::tempdir().unwrap();
    let provider = Counting::default();
    contract(&provider, &wanted, &grown, state.path()).await;
    assert_eq!(
        provider.counts(),
        Counts {
            provisions: 7,
            releases: 4,
            hosts: 0
        }
    );
}

#[tokio::test]
async fn counting_fails_when_told() {
    let mut wanted = Cluster::new("contract", "shop:1.4");
    wanted.machines.masters = Some(MachineSpec::of(1));
    let (provider, state) = (Counting::default(), tempfile::tempdir().unwrap());
    provider.fail_next();
    assert!(
        provider
            .provision(&wanted, None, state.path(), &|_| ())
            .await
            .is_err()
    );
    assert_eq!(
        provider.counts(),
        Counts {
            provisions: 1,
            releases: 0,
            hosts: 0
        }
    );
    assert_eq!(
        provider
            .provision(&wanted, None, state.path(), &|_| ())
            .await
            .unwrap()
            .hosts
            .len(),
        1
    );
}
