//! Checks that ambiguous states are looked up: nothing is made twice, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cloud_double::{Fault, FaultKind, Timing};
use http::{Request, Response};
use infra_provider::ali_cloud::annotations;
use infra_provider::ali_cloud::api::{Transport, TransportFailure};
use infra_provider::{Context, Error, Provider, Release};
use tokio::time::{sleep, timeout};

use crate::faults::cloud_with;
use crate::scene::{Scene, cloud, wanted};

/// Answers one call of those whose query holds a text as if nothing were there.
#[derive(Debug)]
struct Blind {
    wire: Arc<dyn Transport>,
    /// The action, and a parameter that the call has.
    about: [&'static str; 2],
    /// Which of those calls, from 1.
    nth: usize,
    seen: AtomicUsize,
}

impl Blind {
    fn new(scene: &Scene, about: [&'static str; 2], nth: usize) -> Arc<Self> {
        Arc::new(Self { wire: scene.wire(), about, nth, seen: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Transport for Blind {
    async fn send(&self, request: Request<Bytes>, after: Duration) -> Result<Response<Bytes>, TransportFailure> {
        let action = request.headers()["x-acs-action"].to_str().unwrap().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let answer = self.wire.send(request, after).await?;
        let meant = action == self.about[0] && query.contains(self.about[1]);
        if meant && self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.nth {
            return Ok(Response::new(Bytes::from_static(br#"{"RequestId":"r","TotalCount":0}"#)));
        }
        Ok(answer)
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_left_out_of_one_list_is_not_replaced() {
    let scene = Scene::new(cloud_with(|options| options.timing = Timing::A.scaled(4.0)));
    let blind = Blind::new(&scene, ["DescribeInstances", "InstanceIds"], 4);
    let provider = scene.provider_with(|options| options.transport = blind.clone());
    let made = scene.provision_by(&provider, &wanted(1, 1)).await.unwrap();
    assert!(blind.seen.load(Ordering::Relaxed) > 4, "{}", scene.log().join("\n"));
    assert_eq!(scene.double.instances_made(), 2, "{}", scene.log().join("\n"));
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a list that was empty once");
}

#[tokio::test(start_paused = true)]
async fn machines_of_the_clusterfile_are_awaited_also_without_the_record() {
    let scene = Scene::new(cloud());
    let saved = scene.provision(&wanted(3, 3)).await.unwrap();
    scene.lose_record();
    let blind = Blind::new(&scene, ["DescribeInstances", "Tag.1"], 1);
    let provider = scene.provider_with(|options| options.transport = blind.clone());
    let made = scene.provision_by(&provider, &saved).await.unwrap();
    assert!(blind.seen.load(Ordering::Relaxed) > 1, "{}", scene.log().join("\n"));
    assert_eq!(scene.double.instances_made(), 6, "{}", scene.log().join("\n"));
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a lost record with a list that was empty once");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_left_out_of_one_list_is_not_replaced() {
    let scene = Scene::new(cloud());
    scene.double.fail(Fault::at("AssociateEipAddress", 1, FaultKind::BindFails));
    scene.provision(&wanted(1, 1)).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let blind = Blind::new(&scene, ["DescribeEipAddresses", "AllocationId"], 1);
    let provider = scene.provider_with(|options| options.transport = blind.clone());
    let made = scene.provision_by(&provider, &wanted(1, 1)).await.unwrap();
    assert!(blind.seen.load(Ordering::Relaxed) > 1);
    assert_eq!(scene.double.calls_made_of("AllocateEipAddress"), 1);
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a list that was empty once");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_made_before_a_refusal_is_looked_for() {
    for action in ["AllocateEipAddress", "CreateVpc", "CreateSecurityGroup", "RunInstances"] {
        for again in [true, false] {
            let scene = Scene::new(cloud());
            scene.double.fail(Fault::at(action, 1, FaultKind::ErrorAfter));
            let refusal = FaultKind::Error { status: 403, code: "QuotaExceeded.Test".to_owned() };
            scene.double.fail(Fault::at(action, 2, refusal));
            let error = scene.provision(&wanted(1, 1)).await.unwrap_err();
            assert!(error.to_string().contains("QuotaExceeded.Test"), "{error}");
            if again {
                scene.provision(&wanted(1, 1)).await.unwrap();
                assert_eq!(scene.double.instances_made(), 2);
            }
            scene.delete(&wanted(1, 1)).await.unwrap();
            scene.assert_empty(&format!("{action}, again: {again}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_pair_whose_making_was_never_answered_is_freed() {
    let scene = Scene::new(cloud());
    let vpc = scene.double.seed_vpc("cn-chengdu", "10.0.0.0/16");
    let vswitch = scene.double.seed_vswitch(&vpc, "cn-chengdu-a", "10.0.0.0/24");
    scene.double.fail(Fault::at("ImportKeyPair", 1, FaultKind::SlowBody(Duration::from_secs(15))));
    let mut asked = wanted(1, 0);
    asked.annotations.insert(annotations::VSWITCH.to_owned(), vswitch);
    timeout(Duration::from_secs(10), scene.provision(&asked)).await.unwrap_err();
    assert_eq!(scene.double.counts()["key pairs"], 1);
    scene.delete(&asked).await.unwrap();
    scene.assert_empty("after a key pair");
}

#[tokio::test(start_paused = true)]
async fn a_search_in_the_wrong_region_does_not_hide_what_is_in_the_right_one() {
    let mut scene = Scene::new(cloud());
    let right = |scene: &Scene| scene.provider_with(|options| options.region = Some("cn-hangzhou".to_owned()));
    scene.provision_by(&right(&scene), &wanted(1, 1)).await.unwrap();
    scene.lose_state();
    // Broken off where nothing is; then again, with the right region.
    let calls = scene.double.calls_made();
    scene.double.fail(Fault::at_call(calls + 1, FaultKind::Error { status: 403, code: "Forbidden.RAM".to_owned() }));
    scene.find_and_delete("shop").await.unwrap_err();
    let (provider, events) = (right(&scene), |_| ());
    let context = Context::new(scene.state.path(), &events);
    let found = provider.find("shop", &context).await.unwrap().unwrap();
    assert_eq!(found.annotations[annotations::REGION], "cn-hangzhou");
    provider.release(&found, Release::All, &context).await.unwrap();
    scene.assert_empty("after looking in two regions");
}

#[tokio::test(start_paused = true)]
async fn who_may_come_in_is_checked_before_anything_is_made() {
    let scene = Scene::new(cloud());
    let provider = scene.provider_with(|options| options.admin_cidrs = vec!["everyone".to_owned()]);
    let error = scene.provision_by(&provider, &wanted(1, 0)).await.unwrap_err();
    assert!(matches!(&error, Error::Setting { value, .. } if value == "everyone"), "{error}");
    assert_eq!(scene.double.calls_made(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_the_same_name_that_somebody_else_made_is_neither_taken_over_nor_freed() {
    let mut scene = Scene::new(cloud());
    let theirs = scene.provision(&wanted(1, 1)).await.unwrap();
    let their_state = std::mem::replace(&mut scene.state, tempfile::tempdir().unwrap());
    for password in [None, Some("Geheim-123")] {
        let mut asked = wanted(1, 2);
        asked.ssh.password = password.map(Into::into);
        for _ in 0..2 {
            let error = scene.provision(&asked).await.unwrap_err();
            assert!(matches!(error, Error::ClusterExists { .. }), "{error}");
        }
        scene.delete(&asked).await.unwrap();
    }
    assert_eq!((scene.double.instances_made(), scene.double.counts()["instances"]), (2, 2));
    scene.state = their_state;
    assert_eq!(scene.provision(&wanted(1, 1)).await.unwrap(), theirs);
    scene.delete(&theirs).await.unwrap();
    scene.assert_empty("after a namesake");
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_days_ago_is_found_and_not_asked_for_again() {
    for action in ["AllocateEipAddress", "CreateVpc", "CreateVSwitch", "CreateSecurityGroup"] {
        let scene = Scene::new(cloud());
        scene.double.fail(Fault::at(action, 1, FaultKind::SlowBody(Duration::from_secs(15))));
        let cut = Duration::from_secs(12);
        timeout(cut, scene.provision(&wanted(1, 1))).await.unwrap_err();
        sleep(Duration::from_secs(2 * 24 * 3600)).await;
        // A token is good for a day.
        let before = scene.double.calls_made_of(action);
        let made = scene.provision(&wanted(1, 1)).await.unwrap();
        assert_eq!(scene.double.calls_made_of(action), before, "{action}\n{}", scene.log().join("\n"));
        scene.delete(&made).await.unwrap();
        scene.assert_empty(action);
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_key_of_another_account_nothing_counts_as_freed() {
    let (scene, other) = (Scene::new(cloud()), Scene::new(cloud()));
    let made = scene.provision(&wanted(1, 1)).await.unwrap();
    let stranger = scene.provider_with(|options| options.transport = other.wire());
    let context = Context::new(scene.state.path(), &|_| ());
    let error = stranger.release(&made, Release::All, &context).await.unwrap_err();
    assert!(matches!(error, Error::NothingVisible { .. }), "{error}");
    scene.delete(&made).await.unwrap();
    scene.assert_empty("by its own key");
}
