//! Several operators of one cluster: its state in the cluster, takeover, one at a time, hosts whose state was lost.

use std::path::PathBuf;
use std::time::Duration;

use sealer_core::clusterfile::MachineSpec;
use sealer_core::testing::KubernetesApi;
use sealer_core::{CleanHostOptions, Error, Event, HostClaim, Outcome, clean_host, take_over};
use serde_json::json;

use crate::lab::{Bench, address, counted, listed, made};

const LEASE: &str = "lease/sealer-operator";

/// A cluster with an API that was applied.
async fn applied() -> (Bench, KubernetesApi) {
    let (bench, api) = (Bench::new().await, KubernetesApi::default());
    bench.hosts.answer_with(api.clone());
    bench.apply(&listed()).await.unwrap();
    (bench, api)
}

fn state(bench: &Bench) -> PathBuf {
    bench.sealer.state().root().join("shop")
}

fn lease(holder: &str, seconds: u64, times: u64) -> serde_json::Value {
    let spec = json!({ "holderIdentity": holder, "acquireTime": "2026-11-30T12:00:00.000000Z", "leaseDurationSeconds": seconds, "leaseTransitions": times });
    json!({ "kind": "Lease", "metadata": { "name": "sealer-operator" }, "spec": spec })
}

/// Renews a Lease for ever, as somebody who works on the cluster.
async fn renew(api: &KubernetesApi, holder: &str) {
    for times in 1.. {
        tokio::time::sleep(Duration::from_secs(10)).await;
        api.put(LEASE, lease(holder, 40, times));
    }
}

#[tokio::test]
async fn another_workstation_goes_on_where_the_first_one_stopped() {
    let (bench, api) = applied().await;
    assert!(api.object("secret/sealer-state").is_some(), "the new cluster keeps its state");
    let secrets = std::fs::read(state(&bench).join("secrets.json")).unwrap();
    let calls = api.calls().len();
    assert_eq!(bench.apply(&listed()).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(api.calls().len() - calls, 1, "one question when nothing is to be done, and no write");

    std::fs::rename(state(&bench), state(&bench).with_extension("away")).unwrap();
    assert_eq!(bench.apply(&listed()).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(std::fs::read(state(&bench).join("secrets.json")).unwrap(), secrets);
    let events = bench.events.lock().unwrap();
    let told = |event: &Event| matches!(event, Event::Phase { name, detail, .. } if name == "state" && detail.contains("taken over"));
    assert_eq!(events.iter().filter(|event| told(event)).count(), 1);
}

#[tokio::test]
async fn a_dry_run_on_another_workstation_plans_nothing_for_a_cluster_that_is_as_wanted() {
    let (bench, api) = applied().await;
    std::fs::remove_dir_all(state(&bench)).unwrap();
    let (writes, scripts) = (api.inputs().len(), bench.hosts.ran(""));
    assert!(bench.plan(&listed()).await.unwrap().plan.is_empty());
    assert_eq!((api.inputs().len(), bench.hosts.ran("")), (writes, scripts), "nothing was written anywhere else");
}

#[tokio::test]
async fn a_cluster_of_listed_machines_is_taken_over_before_its_provider_makes_any() {
    let (bench, api) = (Bench::new().await, KubernetesApi::default());
    bench.hosts.answer_with(api);
    bench.apply(&counted(2)).await.unwrap();
    let mut wanted = bench.file();
    wanted.cluster.hosts.pop();
    (wanted.cluster.machines.masters, wanted.cluster.machines.nodes) =
        (Some(MachineSpec::of(2)), Some(MachineSpec::of(1)));
    std::fs::remove_dir_all(state(&bench)).unwrap();
    let refused = bench.apply(&wanted).await.unwrap_err();
    assert!(matches!(&refused, Error::NotConfirmed { hosts, .. } if *hosts == [made(3)]), "{refused}");
    assert_eq!(bench.provider.counts().hosts, 3, "no master was made");
    bench.change(wanted).await.unwrap();
    assert_eq!((bench.hosts(), bench.provider.counts().hosts), (vec![made(1), made(4), made(2)], 3));
}

#[tokio::test]
async fn an_older_state_is_replaced_with_a_warning() {
    let (bench, _api) = applied().await;
    let (here, away) = (state(&bench), state(&bench).with_extension("away"));
    std::fs::rename(&here, &away).unwrap();
    bench.apply(&listed()).await.unwrap();
    std::fs::write(here.join("known_hosts"), "10.0.0.1 ssh-ed25519 AAAA\n").unwrap();
    bench.apply(&listed()).await.unwrap();
    // Back at the first workstation.
    std::fs::remove_dir_all(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    bench.events.lock().unwrap().clear();
    assert_eq!(bench.apply(&listed()).await.unwrap().outcome, Outcome::Unchanged);
    let newer = |event: &Event| matches!(event, Event::Warning { message } if message.contains("is newer than the one here (1)"));
    assert_eq!(bench.events.lock().unwrap().iter().filter(|event| newer(event)).count(), 1);
    assert!(std::fs::read_to_string(here.join("known_hosts")).unwrap().contains("AAAA"));
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_for_nobody_who_is_gone_and_stops_at_somebody_who_is_not() {
    let (bench, api) = applied().await;
    // The node is installed anew, so there is something to be done.
    std::fs::remove_dir_all(bench.hosts.of(address(2))).unwrap();
    api.put(LEASE, lease("bob@lost/b0", 40, 0));
    let renewing = renew(&api, "bob@lost/b0");
    let wanted = listed();
    let refused = tokio::select! {
        refused = bench.apply(&wanted) => refused.unwrap_err(),
        () = renewing => unreachable!("it goes on for ever"),
    };
    assert!(matches!(&refused, Error::OperatorBusy { holder, .. } if holder == "bob@lost"), "{refused}");
    assert!(!bench.is_installed(address(2)), "nothing was done");

    let applied = bench.apply(&listed()).await.unwrap();
    assert_eq!(applied.done, 3);
    assert!(api.object(LEASE).unwrap()["spec"]["holderIdentity"].is_null(), "taken over, and released");
}

#[tokio::test]
async fn a_cluster_is_deleted_from_another_workstation() {
    let (bench, api) = applied().await;
    std::fs::remove_dir_all(state(&bench)).unwrap();
    assert!(matches!(bench.delete(false).await, Err(Error::NoCluster { .. })));
    let options = sealer_core::ApplyOptions::default();
    let taken = take_over(&bench.sealer, &listed().cluster, &options, &|_| ()).await.unwrap();
    assert!(taken.changed && taken.cluster.hosts.len() == 2);
    assert_eq!(bench.delete(false).await.unwrap().hosts, 2);
    assert!(!bench.is_installed(address(1)) && !bench.is_installed(address(2)));
    assert!(
        !api.object(LEASE).unwrap()["spec"]["holderIdentity"].is_null(),
        "the API was gone before it could be released"
    );
}

#[tokio::test]
async fn without_a_copy_nothing_is_taken_over_and_nothing_left_behind() {
    let (bench, api) = applied().await;
    std::fs::remove_dir_all(state(&bench)).unwrap();
    api.remove("secret/sealer-state");
    let options = sealer_core::ApplyOptions::default();
    let refused = take_over(&bench.sealer, &listed().cluster, &options, &|_| ()).await.unwrap_err();
    assert!(matches!(refused, Error::NoCopy { .. }) && refused.to_string().contains("through 10.0.0.1: "), "{refused}");
    assert!(!state(&bench).exists());
}

async fn clean(bench: &Bench, last: u8, agree: bool) -> Result<HostClaim, Error> {
    let options = CleanHostOptions {
        agree: &|_| agree,
        runtime: Some("lab".to_owned()),
        apply: sealer_core::ApplyOptions::default(),
    };
    let host = listed().cluster.host(address(last)).unwrap().clone();
    clean_host(&bench.sealer, &host, &options, &|_| ()).await
}

#[tokio::test]
async fn a_host_whose_state_was_lost_is_cleaned_by_its_marker() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    assert!(matches!(clean(&bench, 2, true).await, Err(Error::HostOfKnownCluster { .. })));
    std::fs::remove_dir_all(state(&bench)).unwrap();

    assert!(matches!(clean(&bench, 2, false).await, Err(Error::NotAgreed { .. })));
    assert!(bench.is_installed(address(2)));
    bench.hosts.fail("true remove");
    assert_eq!(clean(&bench, 2, true).await.unwrap_err().class(), sealer_core::Class::Partly);
    bench.hosts.repair();
    assert!(bench.sealer.state().root().join(".hosts/host-10.0.0.2/delete.jsonl").is_file());
    let claim = clean(&bench, 2, true).await.unwrap();
    assert_eq!((claim.cluster.as_str(), claim.role.as_str(), claim.host), ("shop", "node", address(2)));
    assert!(!bench.is_installed(address(2)) && bench.is_installed(address(1)));
    assert!(matches!(clean(&bench, 2, true).await, Err(Error::NoMarker { .. })));
    assert_eq!(std::fs::read_dir(bench.sealer.state().root()).unwrap().count(), 0, "nothing is left here");
}

#[tokio::test(start_paused = true)]
async fn a_host_of_a_cluster_that_somebody_works_on_is_not_cleaned() {
    let (bench, api) = applied().await;
    std::fs::remove_dir_all(state(&bench)).unwrap();
    api.put(LEASE, lease("bob@desk/b0", 40, 0));
    let renewing = renew(&api, "bob@desk/b0");
    let refused = tokio::select! {
        refused = clean(&bench, 1, true) => refused.unwrap_err(),
        () = renewing => unreachable!("it goes on for ever"),
    };
    assert!(matches!(refused, Error::OperatorBusy { .. }) && bench.is_installed(address(1)));
}
