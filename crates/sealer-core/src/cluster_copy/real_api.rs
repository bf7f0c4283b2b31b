//! Copy and lock on a real API server, by a real kubectl on this machine.
//!
//! `SEALER_TEST_KUBECONFIG` names the kubeconfig of an administrator of a cluster that keeps nothing of sealer yet.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use remote::Local;
use tokio::time::{Instant, sleep};

use super::tests::{Desk, noise};
use super::*;
use crate::cluster_api::{Verb, Written};
use crate::operator_lock::{Claim, LEASE, exclusively};

async fn work(desk: &Desk, api: &ClusterApi, seconds: u64) -> Result<(), Error> {
    let seen = look(api).await?.lease;
    let claim = Claim { api: Some(api), seen, cluster_ends: false };
    let work = async |_: Run<'_>| {
        sleep(Duration::from_secs(seconds)).await;
        Ok(())
    };
    desk.with_run(async |run| exclusively(&run, &desk.state, claim, work).await).await
}

#[tokio::test]
#[ignore = "needs an API server, see above"]
async fn a_real_api_server_keeps_the_copy_and_lets_one_operator_work() {
    #[expect(clippy::disallowed_methods, reason = "a test is told where its API server is")]
    let path = std::env::var("SEALER_TEST_KUBECONFIG").unwrap();
    let here = Arc::new(Local::new(IpAddr::from([127, 0, 0, 1])));
    let api = ClusterApi::of(vec![here], Box::leak(path.into_boxed_str())).unwrap();
    let (alice, bob) = (Desk::new(), Desk::new());
    assert!(fetch(&api).await.unwrap().is_none());

    for known_hosts in [noise(1_450_000), "10.0.0.1 ssh-ed25519 AAAA\n".to_owned()] {
        alice.state.write("known_hosts", known_hosts.as_bytes()).unwrap();
        alice.save(&api).await.unwrap();
        let (index, content) = fetch(&api).await.unwrap().unwrap();
        assert_eq!(content.digest(), Content::of(&alice.state).unwrap().unwrap().digest());
        assert_eq!(api.secrets_labelled("sealer.io/state=part").await.unwrap().len(), index.parts);
    }
    let (index, content) = fetch(&api).await.unwrap().unwrap();
    let packed = content.pack(PART).unwrap();
    let stale = Some((index.clone(), "1".to_owned()));
    let other = Index::new(3, &content, &packed, &Operator::test("c@d", "c0"), OffsetDateTime::now_utc());
    assert!(!store::write(&api, stale.as_ref(), &other, &packed).await.unwrap(), "another version is not replaced");
    let started = Instant::now();
    alice.save(&api).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "unchanged: {:?}", started.elapsed());
    assert!(alice.warnings().is_empty());

    let watching = async {
        sleep(Duration::from_secs(2)).await;
        work(&bob, &api, 0).await
    };
    let (worked, busy) = tokio::join!(work(&alice, &api, 16), watching);
    worked.unwrap();
    assert!(matches!(busy, Err(Error::OperatorBusy { .. })), "{busy:?}");
    work(&bob, &api, 0).await.unwrap();
    // Left behind by somebody who is gone.
    let lease = look(&api).await.unwrap().lease.unwrap();
    let dead = lease.taken_by(&Operator::test("c@d", "c0"), 5);
    assert!(matches!(api.write(Verb::Replace, &dead).await.unwrap(), Written::Done(_)));
    let started = Instant::now();
    work(&alice, &api, 0).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(5), "{:?}", started.elapsed());
    let mut left = api.secrets_labelled("sealer.io/state=part").await.unwrap();
    left.extend([LEASE.to_owned(), "secret/sealer-state".to_owned()]);
    api.delete(&left).await.unwrap();
}
