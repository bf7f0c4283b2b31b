//! Tests of the guard under random events in any order.

use std::collections::BTreeMap;

use super::*;
use crate::UnhealthyKind;

/// A server that was bad for so long must be out; rules that were let alone for so long must be right.
const SOON: Duration = Duration::from_millis(1500);
/// A server that was good for so long must be in, however often it fell before.
const LATE: Duration = Duration::from_secs(40);

/// What the world does, and since when.
struct World {
    scene: Scene,
    seed: u64,
    wanted: Vec<u8>,
    good: BTreeMap<u8, (bool, Instant)>,
    disturbed: Instant,
    failing: bool,
}

impl World {
    async fn new(seed: u64) -> Self {
        let scene = Scene::begin().await;
        let now = Instant::now();
        let good = (1..=6).map(|n| (n, (true, now))).collect();
        Self { scene, seed, wanted: vec![1, 2, 3], good, disturbed: now, failing: false }
    }

    /// A number below `limit`.
    fn draw(&mut self, limit: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % limit
    }

    fn act(&mut self) {
        let now = Instant::now();
        match self.draw(12) {
            0..7 => self.switch(),
            7 | 8 => {
                self.disturbed = now;
                let n = 1 + self.draw(6) as u8;
                let table = self.scene.table.clone();
                match self.draw(4) {
                    0 => table.interfere(|all| drop(all.remove(&service().address))),
                    1 => table.interfere(|all| all.values_mut().for_each(|rules| rules.servers.clear())),
                    2 => table
                        .interfere(|all| all.values_mut().for_each(|rules| rules.service.scheduler = Scheduler::Sh)),
                    _ => table.interfere(|all| {
                        all.values_mut().for_each(|rules| rules.servers.extend([(server(n), 9)]));
                    }),
                }
            }
            9 => {
                self.failing = !self.failing && self.draw(2) == 0;
                self.scene.table.fail(self.failing.then_some("operation not permitted"));
                self.disturbed = now;
            }
            10 => {
                let delay = Duration::from_millis([0, 0, 0, 5, 150][self.draw(5) as usize]);
                self.scene.table.delay(delay);
            }
            _ => self.want(),
        }
    }

    /// Another server behaves otherwise.
    fn switch(&mut self) {
        let n = 1 + self.draw(6) as u8;
        let manner = match self.draw(8) {
            0 | 1 => FakeBehavior::Refuse,
            2 => FakeBehavior::Freeze,
            3 => FakeBehavior::Badly(UnhealthyKind::Answer, Duration::from_millis(self.draw(300))),
            _ => well(self.draw(200)),
        };
        let good = matches!(manner, FakeBehavior::Well(_));
        self.scene.switch.set(server(n), manner);
        if self.good[&n].0 != good {
            self.good.insert(n, (good, Instant::now()));
        }
    }

    /// Other servers are wanted.
    fn want(&mut self) {
        let mask = 1 + self.draw(63);
        let wanted: Vec<u8> = (1..=6).filter(|n| mask >> (n - 1) & 1 == 1).collect();
        let now = Instant::now();
        for n in &wanted {
            if !self.wanted.contains(n) {
                let (good, _) = self.good[n];
                self.good.insert(*n, (good, now));
            }
        }
        self.scene.want(desired(&wanted)).unwrap();
        self.wanted = wanted;
        self.disturbed = now;
    }

    /// The promises that hold at any time.
    fn check(&self) {
        let now = Instant::now();
        if self.failing || now - self.disturbed < SOON {
            return;
        }
        let rules = self.scene.table.rules(service().address).expect("the service is there");
        assert!(!rules.servers.is_empty(), "somebody is in");
        assert_eq!(rules.service, service());
        let lasted = |n: &u8, wanted: bool, long: Duration| {
            let (good, since) = self.good[n];
            good == wanted && now - since > long
        };
        let living = self.wanted.iter().any(|n| lasted(n, true, LATE));
        for n in &self.wanted {
            let held = rules.servers.get(&server(*n));
            assert!(held.is_none_or(|held| *held == 1), "{n}: {held:?}");
            assert!(held.is_some() || !lasted(n, true, LATE), "{n} is good and out: {:?}", self.scene.handle.status());
            assert!(held.is_none() || !living || !lasted(n, false, SOON), "{n} is bad and in: {rules:?}");
        }
        let strangers = rules.servers.keys().filter(|address| !self.wanted.iter().any(|n| server(*n) == **address));
        // Servers that left stay while none of those that came has answered yet.
        assert!(strangers.count() == 0, "{rules:?}, wanted {:?}", self.wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_the_rules_follow() {
    for seed in 0..40 {
        let mut world = World::new(seed).await;
        // Sometimes much happens at once, sometimes nothing for a while.
        let pace = [100, 1000, 8000][seed as usize % 3];
        for _ in 0..120 {
            world.act();
            let mut left = 1 + world.draw(pace);
            while left > 0 {
                let step = left.min(97);
                millis(step).await;
                left -= step;
                world.check();
            }
        }
        world.scene.table.fail(None);
        world.scene.table.delay(Duration::ZERO);
        for n in 1..=6 {
            world.scene.switch.set(server(n), well(1));
        }
        millis(45_000).await;
        let wanted = rules(&world.wanted);
        assert_eq!(world.scene.table.rules(service().address), Some(wanted), "seed {seed}: all is well in the end");
        world.scene.end().await;
    }
}
