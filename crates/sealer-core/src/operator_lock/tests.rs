//! One operator at a time, on an API in memory and with paused time.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::*;
use crate::testing::KubernetesApi;
use crate::{Event, Sealer, Settings};

/// A workstation with a state directory of its own.
struct Desk {
    _directory: TempDir,
    sealer: Sealer,
    state: ClusterState,
    options: ApplyOptions,
    warnings: Mutex<Vec<String>>,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sealer =
            Sealer::open(Settings::new(directory.path().join("root"), directory.path().join("state"))).unwrap();
        let state = sealer.state().lock("shop").unwrap();
        Self { _directory: directory, sealer, state, options: ApplyOptions::default(), warnings: Mutex::default() }
    }

    async fn work(&self, api: &ClusterApi, seconds: u64) -> Result<&'static str, Error> {
        let seen = api.get(&[LEASE]).await?.first().map(Lease::parse);
        self.work_after(api, seen, seconds).await
    }

    async fn work_after(&self, api: &ClusterApi, seen: Option<Lease>, seconds: u64) -> Result<&'static str, Error> {
        let tell = |event| {
            if let Event::Warning { message } = event {
                self.warnings.lock().unwrap().push(message);
            }
        };
        let run = Run { sealer: &self.sealer, options: &self.options, events: &tell };
        let claim = Claim { api: Some(api), seen, cluster_ends: false };
        exclusively(&run, &self.state, claim, async |run| {
            let working = async {
                sleep(Duration::from_secs(seconds)).await;
                Ok::<_, Error>("done")
            };
            run.until_cancelled("working", working).await
        })
        .await
    }

    fn warned(&self, part: &str) -> usize {
        self.warnings.lock().unwrap().iter().filter(|message| message.contains(part)).count()
    }
}

fn through(api: &KubernetesApi, last: &[u8]) -> ClusterApi {
    ClusterApi::of(api.masters(last), "/etc/kubernetes/admin.conf").unwrap()
}

fn spec(api: &KubernetesApi) -> Value {
    api.object(LEASE).unwrap()["spec"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_held_while_work_goes_on_and_released_then_also_after_a_failure() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1]);
    let watching = async {
        sleep(Duration::from_secs(25)).await;
        spec(&api)
    };
    let (done, held) = tokio::join!(desk.work(&cluster, 30), watching);
    assert_eq!(done.unwrap(), "done");
    let operator = Operator::of(&desk.state).unwrap();
    assert_eq!(held["holderIdentity"], operator.identity());
    assert!(operator.identity().contains('@') && !operator.name().contains('/'));
    let times = [held["acquireTime"].as_str().unwrap(), held["renewTime"].as_str().unwrap()];
    assert!(times[0] < times[1] && times.iter().all(|time| time.len() == 27 && time.ends_with('Z')), "{times:?}");
    assert_eq!(spec(&api)["holderIdentity"], Value::Null, "released");
    assert_eq!(api.calls().iter().filter(|call| call.starts_with("replace")).count(), 3, "two heartbeats, one release");

    let (tell, failing) = (|_| (), Error::ChangedMeanwhile { cluster: "x".to_owned() });
    let run = Run { sealer: &desk.sealer, options: &desk.options, events: &tell };
    let seen = Some(Lease::parse(&api.object(LEASE).unwrap()));
    let claim = Claim { api: Some(&cluster), seen, cluster_ends: false };
    let failed = exclusively(&run, &desk.state, claim, async |_| Err::<(), _>(failing)).await;
    assert!(matches!(failed, Err(Error::ChangedMeanwhile { cluster }) if cluster == "x"));
    assert_eq!((spec(&api)["holderIdentity"].clone(), spec(&api)["leaseTransitions"].clone()), (Value::Null, json!(2)));
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_one_works_and_the_other_is_told_who_does() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::new());
    let (first, second) = (through(&api, &[1]), through(&api, &[2]));
    let (one, other) = tokio::join!(alice.work(&first, 100), bob.work(&second, 100));
    // Both saw that nobody was there; the Lease was made once.
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(won.unwrap(), "done");
    assert!(matches!(lost, Err(Error::OperatorBusy { ref cluster, .. }) if cluster == "shop"), "{lost:?}");
    let message = lost.unwrap_err().to_string();
    assert!(message.contains("@") && message.contains("since 20") && message.contains("wait"), "{message}");
    assert!(!message.contains(Operator::of(&alice.state).unwrap().id()), "{message}");
    assert_eq!(bob.work(&second, 1).await.unwrap(), "done", "afterwards it is free");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_renews_is_taken_over_after_its_duration_whatever_its_times_say() {
    for renewed in ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"] {
        let (api, desk) = (KubernetesApi::default(), Desk::new());
        let mut dead = Lease::object(None, Some(&Operator::test("bob@lost", "b0")), 40, OffsetDateTime::now_utc());
        dead["spec"]["renewTime"] = renewed.into();
        api.put(LEASE, dead);
        let started = Instant::now();
        assert_eq!(desk.work(&through(&api, &[1]), 0).await.unwrap(), "done");
        assert!((40..50).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        assert_eq!(desk.warned("bob@lost has been working on cluster shop since"), 1, "it is told once");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_who_take_over_one_gets_it() {
    let (api, alice, carol) = (KubernetesApi::default(), Desk::new(), Desk::new());
    api.put(LEASE, Lease::object(None, Some(&Operator::test("bob@lost", "b0")), 40, OffsetDateTime::now_utc()));
    let (first, second) = (through(&api, &[1]), through(&api, &[2]));
    let (one, other) = tokio::join!(alice.work(&first, 100), carol.work(&second, 100));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(won.unwrap(), "done");
    assert!(matches!(&lost, Err(Error::OperatorBusy { .. })), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_of_this_state_directory_held_is_taken_at_once() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let ours = Operator::of(&desk.state).unwrap();
    api.put(LEASE, Lease::object(None, Some(&ours), SECONDS, OffsetDateTime::now_utc()));
    let started = Instant::now();
    assert_eq!(desk.work(&through(&api, &[1]), 0).await.unwrap(), "done");
    assert_eq!(started.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_away_does_not_end_the_work() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1]);
    let outage = async {
        sleep(Duration::from_secs(15)).await;
        api.stop(1);
        sleep(Duration::from_secs(120)).await;
        api.start(1);
    };
    let (done, ()) = tokio::join!(desk.work(&cluster, 200), outage);
    assert_eq!(done.unwrap(), "done");
    assert_eq!(desk.warned("is not renewed for now"), 1, "once for each outage");
    assert_eq!(spec(&api)["holderIdentity"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_is_lost_is_not_taken_for_another_operators() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    // The first write is the acquisition itself, which the next master then tells of.
    api.lose_next_answer();
    let cluster = through(&api, &[1, 2]);
    let losing = async {
        sleep(Duration::from_secs(15)).await;
        api.lose_next_answer();
    };
    let (done, ()) = tokio::join!(desk.work(&cluster, 60), losing);
    assert_eq!(done.unwrap(), "done");
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_starts_nothing_more() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::new());
    let (first, second) = (through(&api, &[1]), through(&api, &[2]));
    // The network of the first is cut for longer than the Lease lasts.
    let cut = async {
        sleep(Duration::from_secs(5)).await;
        api.stop(1);
        let taken = bob.work(&second, 100);
        let back = async {
            sleep(Duration::from_secs(80)).await;
            api.start(1);
        };
        tokio::join!(taken, back).0
    };
    let started = Instant::now();
    let (lost, taken) = tokio::join!(alice.work(&first, 1000), cut);
    assert_eq!(taken.unwrap(), "done");
    assert!(matches!(&lost, Err(Error::LockLost { .. })), "{lost:?}");
    assert_eq!(lost.unwrap_err().class(), crate::Class::Partly);
    assert!(started.elapsed().as_secs() < 200);
    assert!(!alice.options.cancel.is_cancelled(), "the caller's own switch is not touched");
}

#[tokio::test(start_paused = true)]
async fn a_plan_from_before_somebody_elses_work_is_not_carried_out() {
    let (api, alice, bob) = (KubernetesApi::default(), Desk::new(), Desk::new());
    let cluster = through(&api, &[1]);
    // Nobody had ever worked on it, and it was free when it was looked at the second time.
    assert_eq!(bob.work(&cluster, 0).await.unwrap(), "done");
    let changed = alice.work_after(&cluster, None, 0).await;
    assert!(matches!(changed, Err(Error::ChangedMeanwhile { .. })), "{changed:?}");
    let seen = Some(Lease::parse(&api.object(LEASE).unwrap()));
    assert_eq!(bob.work(&cluster, 0).await.unwrap(), "done");
    assert!(matches!(alice.work_after(&cluster, seen, 0).await, Err(Error::ChangedMeanwhile { .. })));
    assert_eq!(alice.work(&cluster, 0).await.unwrap(), "done", "the same command again");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_by_hand_is_made_again() {
    let (api, desk) = (KubernetesApi::default(), Desk::new());
    let cluster = through(&api, &[1]);
    let deleting = async {
        sleep(Duration::from_secs(15)).await;
        api.remove(LEASE);
        sleep(Duration::from_secs(30)).await;
        spec(&api)["holderIdentity"].clone()
    };
    let (done, holder) = tokio::join!(desk.work(&cluster, 60), deleting);
    assert_eq!((done.unwrap(), holder.is_string()), ("done", true));
}

#[tokio::test]
async fn a_cluster_without_an_api_has_no_lease() {
    let desk = Desk::new();
    let tell = |_| ();
    let run = Run { sealer: &desk.sealer, options: &desk.options, events: &tell };
    let claim = Claim { api: None, seen: None, cluster_ends: false };
    assert_eq!(exclusively(&run, &desk.state, claim, async |_| Ok(7)).await.unwrap(), 7);
}

#[test]
fn times_are_written_as_the_api_reads_them() {
    let time = OffsetDateTime::UNIX_EPOCH + Duration::from_micros(1_796_000_000_000_042);
    assert_eq!(timestamp(time), "2026-11-30T00:53:20.000042Z");
}
