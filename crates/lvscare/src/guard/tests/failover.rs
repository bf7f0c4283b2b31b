//! Tests of how soon a dead server is out, and that a living one stays in.

use super::*;
use crate::UnhealthyKind;

const INTERVAL: Duration = Duration::from_millis(400);

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_is_out_in_less_than_300_ms() {
    for phase in (0..400).step_by(7) {
        let scene = Scene::begin().await;
        millis(1000 + phase).await;
        scene.switch.set(server(2), FakeBehavior::Refuse);
        let gap = scene.until(&[server(1), server(3)], INTERVAL).await.expect("it is taken out");
        assert!(gap < Duration::from_millis(50), "phase {phase}: {gap:?}");
        scene.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_under_a_probe_without_alarms_is_out_after_one_interval() {
    for phase in (0..400).step_by(7) {
        let scene = Scene::over(FakeDataplane::new(), FakeProbe::without_alarms(), desired(&[1, 2, 3])).await;
        millis(1000 + phase).await;
        scene.switch.set(server(2), FakeBehavior::Refuse);
        let gap = scene.until(&[server(1), server(3)], 2 * INTERVAL).await.expect("it is taken out");
        assert!(gap < Duration::from_millis(480), "phase {phase}: {gap:?}");
        scene.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_freezes_is_out_in_less_than_a_second_at_every_phase() {
    let mut longest = Duration::ZERO;
    for answer in [0, 3, 120, 390, 430] {
        for phase in (0..900).step_by(13) {
            let scene = Scene::begin().await;
            for n in 1..=3 {
                scene.switch.set(server(n), well(answer));
            }
            millis(1000 + phase).await;
            scene.switch.set(server(2), FakeBehavior::Freeze);
            let gap = scene.until(&[server(1), server(3)], Duration::from_secs(2)).await.expect("it is taken out");
            assert!(gap < Duration::from_millis(950), "answers in {answer}, phase {phase}: {gap:?}");
            longest = longest.max(gap);
            scene.end().await;
        }
    }
    assert!(longest > Duration::from_millis(800), "the worst phase was met: {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_wrongly_is_out_after_one_interval() {
    for kind in [UnhealthyKind::Answer, UnhealthyKind::Closed, UnhealthyKind::Tls] {
        let scene = Scene::begin().await;
        millis(1234).await;
        scene.switch.set(server(2), FakeBehavior::Badly(kind, Duration::from_millis(2)));
        let gap = scene.until(&[server(1), server(3)], Duration::from_secs(2)).await.expect("it is taken out");
        assert!(gap < Duration::from_millis(510), "{kind:?}: {gap:?}");
        scene.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_wrong_answer_takes_nobody_out() {
    let scene = Scene::over(FakeDataplane::new(), FakeProbe::without_alarms(), desired(&[1, 2, 3])).await;
    scene.told();
    for kind in [UnhealthyKind::Answer, UnhealthyKind::Closed, UnhealthyKind::Refused] {
        scene.switch.set(server(2), FakeBehavior::Badly(kind, Duration::ZERO));
        let checks = scene.switch.checks(server(2));
        while scene.switch.checks(server(2)) == checks {
            millis(1).await;
        }
        scene.switch.set(server(2), well(0));
        millis(2000).await;
    }
    assert_eq!(scene.told(), []);
    assert_eq!(scene.handle.status().servers[1].failures, 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_comes_back_after_two_good_checks() {
    let scene = Scene::begin().await;
    scene.switch.set(server(2), FakeBehavior::Refuse);
    millis(5000).await;
    scene.switch.set(server(2), well(1));
    let gap = scene.until(&[server(1), server(2), server(3)], Duration::from_secs(2)).await.expect("it comes back");
    assert!(gap > Duration::from_millis(300) && gap < Duration::from_millis(900), "{gap:?}");
    let (reason, all) = ("connection refused".to_owned(), 3);
    let started = Event::Started { service: service().address, healthy: all, servers: all };
    let expected = [started, Event::Down { server: server(2), reason }, Event::Up { server: server(2) }];
    assert_eq!(scene.told(), expected, "one line per change of state");
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_delays_no_other() {
    let scene = Scene::begin().await;
    scene.switch.set(server(1), well(440));
    scene.switch.set(server(3), FakeBehavior::Freeze);
    millis(4000).await;
    let checks = scene.switch.checks(server(2));
    millis(4000).await;
    let checks = scene.switch.checks(server(2)) - checks;
    assert!((9..=11).contains(&checks), "{checks} checks in ten intervals");
    scene.switch.set(server(2), FakeBehavior::Refuse);
    let gap = scene.until(&[server(1)], INTERVAL).await.expect("it is taken out");
    assert!(gap < Duration::from_millis(50), "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_flaps_changes_seldom_and_comes_back() {
    for alarms in [true, false] {
        let switch = if alarms { FakeProbe::new() } else { FakeProbe::without_alarms() };
        let scene = Scene::over(FakeDataplane::new(), switch, desired(&[1, 2, 3])).await;
        for _ in 0..150 {
            scene.switch.set(server(2), FakeBehavior::Refuse);
            millis(200).await;
            scene.switch.set(server(2), well(0));
            millis(200).await;
        }
        let transitions = scene.handle.status().servers[1].transitions;
        // It flaps 150 times; how often two good checks in a row meet a good phase depends on the jitter.
        assert!((2..=40).contains(&transitions), "{transitions} transitions in a minute");
        let checks = scene.switch.checks(server(2));
        assert!(checks < 500, "{checks} checks in a minute");
        let gap = scene.until(&[server(1), server(2), server(3)], Duration::from_secs(40)).await;
        assert!(gap.is_some(), "it comes back when it no longer flaps");
    }
}

/// Servers of which one answer in a hundred is slow, but in time, and one request in a hundred is lost. Misfortunes
/// come alone: the request after one fares well.
#[derive(Debug, Default)]
struct Lossy(Mutex<(u64, std::collections::BTreeSet<SocketAddr>)>);

#[async_trait::async_trait]
impl Probe for Lossy {
    async fn check(&self, server: SocketAddr) -> Result<(), crate::Unhealthy> {
        let luck = {
            let (seed, unlucky) = &mut *self.0.lock().unwrap();
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let luck = (*seed >> 33) % 100;
            if unlucky.remove(&server) || luck > 1 || !unlucky.insert(server) { 2 } else { luck }
        };
        match luck {
            0 => std::future::pending().await,
            1 => millis(430).await,
            _ => millis(2).await,
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_hour_is_silent() {
    let probe = Arc::new(Lossy::default());
    let scene = Scene::with_probe(FakeDataplane::new(), FakeProbe::new(), probe, desired(&[1, 2, 3])).await;
    millis(500).await;
    scene.told();
    millis(3_600_000).await;
    assert_eq!(scene.told(), []);
    let status = scene.handle.status();
    assert!(status.servers.iter().all(|server| server.transitions == 1 && server.checks > 8500), "{status:?}");
    assert!(status.servers.iter().all(|server| server.check_seconds > 20.0), "misfortunes were met: {status:?}");
    assert_eq!(scene.table.log().len(), 4, "a service and three servers were added, and nothing else");
}

#[tokio::test(start_paused = true)]
async fn alarms_without_end_cost_no_more_than_a_check_in_half_an_interval() {
    let scene = Scene::begin().await;
    let ringing = scene.switch.clone();
    let ringer = tokio::spawn(async move {
        loop {
            ringing.alarm(server(2));
            millis(1).await;
        }
    });
    millis(10_000).await;
    let checks = scene.switch.checks(server(2));
    assert!(checks < 60, "{checks} checks in 25 intervals");
    ringer.abort();
}
