//! Fails each call in each way; the same run finishes, makes no machine twice and leaves nothing behind.

use std::time::Duration;

use cloud_double::{Fault, FaultKind, Options, Throttle, Timing};
use infra_provider::{Error, ProviderEvent};

use crate::scene::{Scene, cloud, wanted};

/// Creates and deletes 3 + 3 while the given call of all goes wrong; whether there was such a call.
async fn survives(nth: usize, kind: FaultKind) -> bool {
    let scene = Scene::new(cloud());
    scene.double.fail(Fault::at_call(nth, kind.clone()));
    let when = format!("call {nth} goes wrong: {kind:?}");
    let made = scene.provision(&wanted(3, 3)).await;
    let made = made.unwrap_or_else(|error| panic!("{when}: {error}\n{}", scene.log().join("\n")));
    assert_eq!(scene.double.instances_made(), 6, "{when}:\n{}", scene.log().join("\n"));
    assert_eq!(made.hosts.len(), 6, "{when}");
    let freed = scene.delete(&made).await;
    freed.unwrap_or_else(|error| panic!("{when}: {error}\n{}", scene.log().join("\n")));
    scene.assert_empty(&when);
    assert_eq!(scene.double.too_early(), 0, "{when}");
    nth < scene.double.calls().len()
}

async fn at_every_call(kind: FaultKind) {
    let mut count = 0;
    while survives(count + 1, kind.clone()).await {
        count += 1;
        assert!(count < 60, "the list of calls does not end");
    }
    println!("{kind:?}: {} ok ({count} calls)", "•".repeat(count));
    assert!(count > 18);
}

macro_rules! at_every_call {
    ($($name:ident: $kind:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            at_every_call($kind).await;
        }
    )*};
}

at_every_call! {
    an_error_after_the_effect: FaultKind::ErrorAfter;
    a_lost_reply: FaultKind::LostReply;
    a_reset_connection: FaultKind::Reset;
    a_body_that_comes_too_late: FaultKind::SlowBody(Duration::from_secs(100));
    a_busy_server: FaultKind::Error { status: 503, code: "ServiceUnavailable".to_owned() };
    an_internal_error: FaultKind::Error { status: 500, code: "InternalError".to_owned() };
    a_conflict: FaultKind::Error { status: 409, code: "OperationConflict".to_owned() };
    a_throttled_call: FaultKind::Throttled(Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn every_action_may_be_throttled() {
    for tells in [true, false] {
        let throttle = Throttle { action: None, limit: 1, window: Duration::from_secs(11), tells };
        let scene = Scene::new(cloud_with(|options| options.throttles = vec![throttle]));
        let made = scene.provision(&wanted(3, 3)).await.unwrap();
        scene.delete(&made).await.unwrap();
        scene.assert_empty("throttled");
        assert_eq!(scene.double.too_early(), 0);
        assert!(!tells || scene.double.refused().iter().any(|call| call.action == "RunInstances"));
        assert_eq!(scene.double.instances_made(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_vanishes_is_replaced() {
    for after in [1, 5, 9] {
        let scene = Scene::new(cloud());
        scene.double.fail(Fault::at("RunInstances", 1, FaultKind::Vanish(Duration::from_secs(after))));
        let made = scene.provision(&wanted(3, 3)).await.unwrap();
        assert_eq!((made.hosts.len(), scene.double.instances_made()), (6, 7), "after {after} s");
        let lost = |event: &ProviderEvent| matches!(event, ProviderEvent::Lost { .. });
        assert_eq!(scene.events.lock().unwrap().iter().filter(|event| lost(event)).count(), 1);
        let again = scene.provision(&wanted(3, 3)).await.unwrap();
        assert_eq!(again, made);
        scene.delete(&made).await.unwrap();
        scene.assert_empty("after a machine vanished");
    }
}

#[tokio::test(start_paused = true)]
async fn machines_that_always_vanish_are_given_up_and_freed() {
    let scene = Scene::new(cloud());
    scene.double.fail(Fault::at("RunInstances", 0, FaultKind::Vanish(Duration::from_secs(2))));
    let error = scene.provision(&wanted(1, 0)).await.unwrap_err();
    assert!(matches!(error, Error::MachinesVanish { .. }), "{error}");
    scene.delete(&wanted(1, 0)).await.unwrap();
    scene.assert_empty("after machines vanished");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_get_bound_is_bound_by_the_next_run() {
    let scene = Scene::new(cloud());
    scene.double.fail(Fault::at("AssociateEipAddress", 1, FaultKind::BindFails));
    let made = scene.provision(&wanted(1, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(scene.provision(&wanted(1, 1)).await.unwrap(), made);
    let bound = scene.double.calls().into_iter().filter(|call| call.action == "AssociateEipAddress").count();
    assert_eq!(bound, 2);
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after a failed binding");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_was_never_bound_is_freed() {
    let scene = Scene::new(cloud());
    scene.double.fail(Fault::at("AssociateEipAddress", 0, FaultKind::BindFails));
    let made = scene.provision(&wanted(1, 1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = tokio::time::Instant::now();
    scene.delete(&made).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    scene.assert_empty("after failed bindings");
}

#[tokio::test(start_paused = true)]
async fn no_time_left_is_said_and_the_next_run_goes_on() {
    let scene = Scene::new(cloud_with(|options| options.timing = Timing::A.scaled(20.0)));
    let hasty = scene.provider_with(|options| options.deadline = Duration::from_secs(100));
    let error = scene.provision_by(&hasty, &wanted(3, 3)).await.unwrap_err();
    assert!(matches!(error, Error::OutOfTime { .. }) && error.to_string().contains("the same command"), "{error}");
    let mut rounds = 0;
    let made = loop {
        rounds += 1;
        assert!(rounds < 10, "it never ends");
        match scene.provision_by(&hasty, &wanted(3, 3)).await {
            Ok(made) => break made,
            Err(error) => assert!(matches!(error, Error::OutOfTime { .. }), "{error}"),
        }
    };
    assert_eq!(scene.double.instances_made(), 6);
    scene.delete(&made).await.unwrap();
    scene.assert_empty("after running out of time");
}

pub(crate) fn cloud_with(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = cloud();
    change(&mut options);
    options
}
