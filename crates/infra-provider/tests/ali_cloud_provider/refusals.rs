//! Checks that fatal refusals are reported at once, with what the user can do.

use std::time::Duration;

use cloud_double::{Fault, FaultKind, Key, Options, Quotas};
use clusterfile::Secret;
use infra_provider::ali_cloud::annotations;
use infra_provider::ali_cloud::api::{AccessKey, Credentials, WallClock};
use infra_provider::{Error, Provider};
use tokio::time::Instant;

use crate::faults::cloud_with;
use crate::scene::{Scene, cloud, start, wanted};

#[tokio::test(start_paused = true)]
async fn a_wrong_key_fails_at_once_and_says_what_to_do() {
    for (id, secret, hint) in [("nobody", "testsecret", "ACCESSKEYID"), ("testid", "wrong", "ACCESSKEYSECRET")] {
        let scene = Scene::new(cloud());
        let key = Some(Credentials::Key(AccessKey::new(id, secret)));
        let provider = scene.provider_with(|options| options.credentials = key);
        let began = Instant::now();
        let error = scene.provision_by(&provider, &wanted(3, 3)).await.unwrap_err().to_string();
        assert_eq!(scene.double.calls().len(), 1, "{:?}", scene.log());
        assert!(began.elapsed() < Duration::from_secs(1));
        assert!(error.contains(hint) && error.contains("request "), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_an_hour_off_does_no_harm() {
    let hour = Duration::from_secs(3600);
    for wrong in [start() - hour, start() + hour] {
        let scene = Scene::new(cloud());
        let provider = scene.provider_with(|options| options.clock = WallClock::starting_at(wrong));
        scene.provision_by(&provider, &wanted(3, 3)).await.unwrap();
        assert_eq!(scene.double.instances_made(), 6);
        assert!(scene.double.refused().len() < 6 + 7, "{:?}", scene.log());
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_told_and_a_new_one_goes_on() {
    let mut key = Key::new("sts", "secret");
    (key.token, key.expires) = (Some("token".to_owned()), Some(Duration::from_secs(5)));
    let scene = Scene::new(cloud_with(|options| options.keys.push(key)));
    let short = AccessKey::new("sts", "secret").with_token("token");
    let provider = scene.provider_with(|options| options.credentials = Some(Credentials::Key(short)));
    let error = scene.provision_by(&provider, &wanted(3, 3)).await.unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
    let made = scene.provision(&wanted(3, 3)).await.unwrap();
    assert_eq!(scene.double.instances_made(), 6);
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after an expired token");
}

async fn refused_by(quotas: Quotas, code: &str) {
    let scene = Scene::new(Options { quotas, ..cloud() });
    let began = Instant::now();
    let error = scene.provision(&wanted(3, 3)).await.unwrap_err().to_string();
    assert!(error.contains(code) && error.contains("quota"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10), "nobody waits for a quota");
    scene.delete(&wanted(3, 3)).await.unwrap();
    scene.assert_empty(code);
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_told_and_what_was_made_is_freed() {
    let quotas = Quotas::default();
    refused_by(Quotas { vpcs: 0, ..quotas }, "QuotaExceeded.Vpc").await;
    refused_by(Quotas { vswitches: 0, ..quotas }, "QuotaExceeded.VSwitch").await;
    refused_by(Quotas { security_groups: 0, ..quotas }, "QuotaExceed.SecurityGroup").await;
    refused_by(Quotas { eips: 0, ..quotas }, "QuotaExceeded.Eip").await;
    refused_by(Quotas { instances: 4, ..quotas }, "QuotaExceeded.Instance").await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_stays_in_its_region() {
    let scene = Scene::new(cloud());
    let made = scene.provision(&wanted(1, 0)).await.unwrap();
    let mut moved = wanted(1, 0);
    moved.annotations.insert(annotations::REGION.to_owned(), "cn-beijing".to_owned());
    let calls = scene.double.calls().len();
    let error = scene.provision(&moved).await.unwrap_err().to_string();
    assert!(error.contains("cn-chengdu") && error.contains("cn-beijing"), "{error}");
    assert_eq!(scene.double.calls().len(), calls);
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a wrong region");
}

#[tokio::test(start_paused = true)]
async fn a_password_opens_machines_and_stays_secret() {
    let scene = Scene::new(cloud());
    let mut with_password = wanted(1, 1);
    with_password.ssh.password = Some(Secret::from("Geheim-123".to_owned()));
    // The answer of the second order is lost: it is repeated with the same password, which is in no file.
    scene.double.fail(Fault::at("RunInstances", 2, FaultKind::LostReply));
    let made = scene.provision(&with_password).await.unwrap();
    assert_eq!((scene.double.instances_made(), scene.double.counts()["key pairs"]), (2, 0));
    assert!(made.hosts.iter().all(|host| host.ssh.private_key.is_none() && host.ssh.password.is_some()));
    let record = std::fs::read_to_string(scene.state.path().join("ali-cloud.json")).unwrap();
    assert!(!record.contains("Geheim"), "{record}");
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a password");
}

#[tokio::test(start_paused = true)]
async fn another_password_after_a_kill_makes_nothing_twice() {
    let scene = Scene::new(cloud());
    let with = |password: &str| {
        let mut wanted = wanted(3, 0);
        wanted.ssh.password = Some(Secret::from(password.to_owned()));
        wanted
    };
    scene.double.disconnect(cloud_double::Disconnect { after: 8, effect: true });
    let (one, other) = (with("Geheim-123"), with("Geheim-456"));
    for after in 0..30 {
        scene.double.disconnect(cloud_double::Disconnect { after: scene.double.calls().len() + after, effect: true });
        tokio::select! {
            _ = scene.provision(&one) => break,
            () = scene.double.disconnected() => {}
        }
        scene.double.reconnect();
        if scene.double.instances_made() > 0 {
            break;
        }
    }
    scene.double.reconnect();
    let made = scene.provision(&other).await.unwrap();
    assert_eq!(scene.double.instances_made(), 3, "{}", scene.log().join("\n"));
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after another password");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_for_everybody_by_guess() {
    let scene = Scene::new(cloud());
    let provider = scene.provider_with(|options| options.admin_cidrs.clear());
    let error = scene.provision_by(&provider, &wanted(1, 0)).await.unwrap_err();
    assert!(matches!(error, Error::OperatorUnknown { .. }) && scene.double.calls().is_empty(), "{error}");
    assert!(provider.describe(&wanted(1, 0)).last().unwrap().contains("--admin-cidr"));
}
