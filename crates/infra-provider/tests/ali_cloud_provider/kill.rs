//! Kills the run after each call; the same command finishes, makes no machine twice and leaves nothing behind.

use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

use cloud_double::Disconnect;
use clusterfile::Cluster;
use infra_provider::ali_cloud::annotations;
use infra_provider::{Release, Result};
use tokio::select;
use tokio::time::sleep;

use crate::scene::{Scene, cloud, wanted};

/// No operation has more calls.
const MOST: usize = 60;

/// What is done and killed, and what follows.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    /// What is there before.
    before: Option<(u32, u32)>,
    act: Act,
    then: Then,
    /// Machines that were made when all is done; nothing is said where that depends on the moment.
    made: Option<usize>,
}

#[derive(Clone, Copy)]
enum Act {
    Provision(u32, u32),
    /// The same as 2 + 1, into a network of the user's.
    Given,
    ReleaseNodes,
    Resize,
    Delete,
}

/// What follows the kill.
#[derive(Clone, Copy)]
enum Then {
    /// The same again.
    Again,
    /// The same again by the Clusterfile that was saved, but the record is gone.
    RecordLost,
    /// Another number of machines.
    Other(u32, u32),
    /// Nothing but deletion.
    Nothing,
    /// Nothing but deletion, by somebody who knows nothing but the name.
    StateLost,
}

impl Row {
    async fn act(&self, scene: &Scene, cluster: &Cluster) -> Result<()> {
        match self.act {
            Act::Provision(..) | Act::Given => scene.provision(cluster).await.map(drop),
            Act::Resize => scene.resize(cluster).await.map(drop),
            Act::ReleaseNodes => {
                let nodes = cluster.nodes().map(|host| host.address).take(2).collect();
                scene.release(cluster, Release::Hosts(nodes)).await
            }
            Act::Delete => scene.delete(cluster).await,
        }
    }

    fn wanted(&self, scene: &Scene, base: &Cluster) -> Cluster {
        match self.act {
            Act::Provision(masters, nodes) => wanted(masters, nodes),
            Act::Given => given(scene),
            Act::Resize => larger(base.clone()),
            Act::ReleaseNodes | Act::Delete => base.clone(),
        }
    }

    async fn follow(&self, scene: &mut Scene, asked: &Cluster) -> Result<()> {
        match self.then {
            Then::Again => self.act(scene, asked).await,
            Then::RecordLost => {
                scene.lose_record();
                let mut saved = scene.saved().unwrap_or_else(|| asked.clone());
                saved.machines.clone_from(&asked.machines);
                self.act(scene, &saved).await
            }
            Then::Other(masters, nodes) => scene.provision(&wanted(masters, nodes)).await.map(drop),
            Then::Nothing => Ok(()),
            Then::StateLost => {
                scene.lose_state();
                scene.find_and_delete(&asked.name).await
            }
        }
    }

    /// One kill; `None` when the operation has no such call.
    async fn kill(&self, after: usize, effect: bool) -> Option<()> {
        let when = format!("{}: killed after {after} calls, effect of the next one: {effect}", self.name);
        let mut scene = Scene::new(cloud());
        let base = match self.before {
            Some((masters, nodes)) => scene.provision(&wanted(masters, nodes)).await.unwrap(),
            None => wanted(0, 0),
        };
        let asked = self.wanted(&scene, &base);
        scene.double.disconnect(Disconnect { after: scene.double.calls().len() + after, effect });
        let survived = until_disconnected(&scene, self.act(&scene, &asked)).await;
        scene.double.reconnect();
        if let Some(result) = survived {
            result.unwrap();
            return None;
        }
        self.follow(&mut scene, &asked)
            .await
            .unwrap_or_else(|error| panic!("{when}: {error}\n{}", scene.log().join("\n")));
        self.check(&scene, &when).await;
        let known = scene.saved().unwrap_or(asked);
        scene
            .delete(&known)
            .await
            .unwrap_or_else(|error| panic!("{when}: delete: {error}\n{}", scene.log().join("\n")));
        // In a network that stays nobody waits for the machines to be gone.
        sleep(Duration::from_secs(10)).await;
        scene.assert_empty(&when);
        Some(())
    }

    async fn check(&self, scene: &Scene, when: &str) {
        if let Some(made) = self.made {
            assert_eq!(scene.double.instances_made(), made, "{when}:\n{}", scene.log().join("\n"));
        }
        let there = scene.double.counts()["instances"];
        match (self.then, self.act) {
            (Then::Again | Then::RecordLost, Act::Provision(masters, nodes)) | (Then::Other(masters, nodes), _) => {
                assert!(there >= (masters + nodes) as usize, "{when}: {there}")
            }
            _ => {}
        }
    }
}

/// Runs `act` until the double stops to answer; what it came to if it was done before.
async fn until_disconnected<T>(scene: &Scene, act: impl Future<Output = T>) -> Option<T> {
    select! {
        result = act => Some(result),
        () = scene.double.disconnected() => None,
    }
}

/// Two masters and a node in a VPC, on a vSwitch and in a security group of the user's.
fn given(scene: &Scene) -> Cluster {
    let vpc = scene.double.seed_vpc("cn-chengdu", "10.0.0.0/16");
    let vswitch = scene.double.seed_vswitch(&vpc, "cn-chengdu-a", "10.0.7.0/24");
    let group = scene.double.seed_security_group("cn-chengdu", &vpc);
    let mut cluster = wanted(2, 1);
    for (name, id) in [(annotations::VPC, vpc), (annotations::VSWITCH, vswitch), (annotations::SECURITY_GROUP, group)] {
        cluster.annotations.insert(name.to_owned(), id);
    }
    cluster
}

/// Nodes of another size.
fn larger(mut cluster: Cluster) -> Cluster {
    if let Some(nodes) = &mut cluster.machines.nodes {
        (nodes.cpu, nodes.memory_gib) = (Some(4), Some(16));
    }
    cluster
}

/// Kills after every call; a line of the matrix.
async fn enumerate(row: Row) {
    let mut line = String::new();
    for effect in [false, true] {
        let mut cells = 0;
        for after in 0..MOST {
            if row.kill(after, effect).await.is_none() {
                break;
            }
            cells += 1;
        }
        assert!((1..MOST).contains(&cells), "{}: {cells} calls", row.name);
        let effect = if effect { "the next call had its effect" } else { "the next call had none" };
        writeln!(line, "{:<44} {:<30} {} ok ({cells})", row.name, effect, "•".repeat(cells)).unwrap();
    }
    print!("{line}");
}

macro_rules! rows {
    ($($name:ident: $title:literal, $before:expr, $act:expr, $then:expr, $made:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            enumerate(Row { name: $title, before: $before, act: $act, then: $then, made: $made }).await;
        }
    )*};
}

rows! {
    create: "create 3+3, again", None, Act::Provision(3, 3), Then::Again, Some(6);
    create_without_record: "create 3+3, record lost, again", None, Act::Provision(3, 3), Then::RecordLost, Some(6);
    create_then_more: "create 3+3, then 3+5", None, Act::Provision(3, 3), Then::Other(3, 5), Some(8);
    create_then_fewer: "create 3+3, then 1+1", None, Act::Provision(3, 3), Then::Other(1, 1), None;
    create_then_delete: "create 3+3, then delete", None, Act::Provision(3, 3), Then::Nothing, None;
    create_then_lost: "create 3+3, state lost, delete", None, Act::Provision(3, 3), Then::StateLost, None;
    grow: "scale 3+3 to 3+5, again", Some((3, 3)), Act::Provision(3, 5), Then::Again, Some(8);
    grow_without_record: "scale 3+3 to 3+5, record lost, again", Some((3, 3)), Act::Provision(3, 5), Then::RecordLost, Some(8);
    grow_then_lost: "scale 3+3 to 3+5, state lost, delete", Some((3, 3)), Act::Provision(3, 5), Then::StateLost, None;
    shrink: "release two nodes of 3+3, again", Some((3, 3)), Act::ReleaseNodes, Then::Again, Some(6);
    shrink_then_lost: "release two nodes, state lost, delete", Some((3, 3)), Act::ReleaseNodes, Then::StateLost, None;
    resize: "resize the nodes of 3+3, again", Some((3, 3)), Act::Resize, Then::Again, Some(6);
    resize_then_delete: "resize the nodes, then delete", Some((3, 3)), Act::Resize, Then::Nothing, None;
    delete: "delete 3+3, again", Some((3, 3)), Act::Delete, Then::Again, Some(6);
    given_network: "create in a given network, again", None, Act::Given, Then::Again, Some(3);
    given_network_without_record: "create in a given network, record lost", None, Act::Given, Then::RecordLost, Some(3);
    given_network_then_delete: "create in a given network, then delete", None, Act::Given, Then::Nothing, None;
    delete_then_create: "delete 3+3, then create 3+3", Some((3, 3)), Act::Delete, Then::Other(3, 3), None;
    delete_then_lost: "delete 3+3, state lost, delete", Some((3, 3)), Act::Delete, Then::StateLost, Some(6);
}
