//! How hosts are connected to: at once, and again while their machines are starting.

use std::sync::Arc;

use sealer_core::clusterfile::Host;
use sealer_core::remote::{AcceptedHostKey, KnownHostsPolicy, StrictHostKey};
use sealer_core::testing::Directories;
use sealer_core::{Connections, Connector, Error, Event};

use crate::lab::{Bench, address, counted, listed, made};

#[tokio::test(start_paused = true)]
async fn machines_that_were_just_made_are_waited_for() {
    let bench = Bench::new().await;
    bench.hosts.unreachable(made(2), 5);
    bench.apply(&counted(1)).await.unwrap();
    let waiting = |event: &Event| matches!(event, Event::Waiting { hosts, .. } if *hosts == [made(2)]);
    assert_eq!(bench.events.lock().unwrap().iter().filter(|event| waiting(event)).count(), 1, "it is told once");
}

#[tokio::test(start_paused = true)]
async fn machines_that_do_not_start_are_given_up() {
    let bench = Bench::new().await;
    bench.hosts.unreachable(made(1), usize::MAX);
    assert!(matches!(bench.apply(&counted(1)).await, Err(Error::Connect(failures)) if failures[0].0 == made(1)));
    assert!((50..70).contains(&bench.hosts.connects()), "{}", bench.hosts.connects());
    assert_eq!(bench.hosts.ran(""), 0);
}

#[tokio::test]
async fn hosts_that_exist_are_not_waited_for_and_all_failures_are_told() {
    let bench = Bench::new().await;
    bench.hosts.unreachable(address(1), 1);
    bench.hosts.unreachable(address(2), 1);
    assert!(matches!(bench.apply(&listed()).await, Err(Error::Connect(failures)) if failures.len() == 2));
    assert!(bench.remembered().is_none(), "a mistyped address has no consequences");
}

/// Says of every host that its key was met for the first time.
#[derive(Debug)]
struct Strangers(Directories);

#[async_trait::async_trait]
impl Connector for Strangers {
    async fn connect(&self, hosts: &[Host], known_hosts: &KnownHostsPolicy) -> Result<Connections, Error> {
        assert_eq!(known_hosts.strict, StrictHostKey::AcceptNew);
        for host in hosts {
            known_hosts.observer.tell(AcceptedHostKey {
                host: host.address.to_string(),
                algorithm: "ssh-ed25519".to_owned(),
                fingerprint: "SHA256:abc".to_owned(),
                recorded: Some(known_hosts.record.clone()),
                contradicts: false,
            });
        }
        self.0.connect(hosts, known_hosts).await
    }
}

#[tokio::test]
async fn the_first_contact_with_a_host_is_an_event_with_its_fingerprint() {
    let mut bench = Bench::new().await;
    let connector = Arc::new(Strangers(bench.hosts.clone()));
    bench.sealer = bench.sealer.with_connector(connector);
    bench.apply(&listed()).await.unwrap();
    let events = bench.events.lock().unwrap();
    let met = |event: &&Event| matches!(event, Event::HostKey { fingerprint, .. } if fingerprint == "SHA256:abc");
    assert_eq!(events.iter().filter(met).count(), 2);
    let json = serde_json::to_value(events.iter().find(met).unwrap()).unwrap();
    assert_eq!((&json["kind"], &json["host"]), (&"host-key".into(), &address(1).to_string().into()));
    let (met, planned) =
        (events.iter().position(|event| met(&event)), |event: &Event| matches!(event, Event::Planned { .. }));
    assert!(met < events.iter().position(planned), "before anything is done");
}
