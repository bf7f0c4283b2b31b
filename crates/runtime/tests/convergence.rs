//! Whatever a cluster is and whatever it shall be: its plan leads there, also when it is cut off at any step, and then there
//! is nothing to do. On the way etcd never loses its majority, and no step needs what is not there any more.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::OnceLock;

use clusterfile::{Cluster, Clusterfile, ExternalRegistry, Host, Role};
use proptest::prelude::*;
use runtime::facts::{ApiFacts, NodeFacts};
use runtime::{
    Action, Facts, HostFacts, ImageContents, Kubeadm, Marker, Payload, Plan, Request, Runtime, Secrets, Step,
};

/// How many hosts there are to choose from.
const HOSTS: u8 = 7;

/// What a host is in a cluster, and what else is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    None,
    Master,
    Node { labelled: bool },
}

/// Where a cluster has its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Images {
    Masters,
    OneMaster,
    PlainHttp,
    WithLogin(&'static str),
    Outside,
}

/// A cluster: the part of each host, whether its certificates have another name, and where its images are.
#[derive(Debug, Clone)]
struct Shape {
    parts: Vec<Part>,
    named: bool,
    images: Images,
}

fn address(index: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(index).unwrap() + 1])
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let part =
        prop_oneof![Just(Part::None), Just(Part::Master), any::<bool>().prop_map(|labelled| Part::Node { labelled }),];
    let images = prop_oneof![
        3 => Just(Images::Masters),
        1 => Just(Images::OneMaster),
        1 => Just(Images::PlainHttp),
        1 => Just(Images::WithLogin("one")),
        1 => Just(Images::WithLogin("another")),
        1 => Just(Images::Outside),
    ];
    (prop::collection::vec(part, usize::from(HOSTS)), any::<bool>(), images)
        .prop_map(|(parts, named, images)| Shape { parts, named, images })
        .prop_filter("a cluster has a master", |shape| shape.parts.contains(&Part::Master))
}

impl Shape {
    fn clusterfile(&self) -> Clusterfile {
        let mut cluster = Cluster::new("shop", "shop:1.4");
        if self.named {
            cluster.cert_sans = vec!["api.example.com".to_owned()];
        }
        let registry = &mut cluster.registry;
        match self.images {
            Images::Masters => {}
            Images::OneMaster => registry.high_availability = false,
            Images::PlainHttp => registry.insecure = true,
            Images::WithLogin(password) => {
                (registry.username, registry.password) = (Some("puller".to_owned()), Some(password.into()));
            }
            Images::Outside => registry.external = Some(ExternalRegistry::new("hub.example.com")),
        }
        for (index, part) in self.parts.iter().enumerate() {
            let mut host = match part {
                Part::None => continue,
                Part::Master => Host::new(address(index), Role::Master),
                Part::Node { .. } => Host::new(address(index), Role::Node),
            };
            if let Part::Node { labelled: true } = part {
                host.labels.insert("disk".to_owned(), "ssd".to_owned());
            }
            cluster.hosts.push(host);
        }
        cluster.into()
    }
}

/// The hosts and the API as they are.
#[derive(Debug, Clone, Default)]
struct World {
    markers: BTreeMap<IpAddr, Marker>,
    nodes: BTreeMap<IpAddr, NodeFacts>,
    members: BTreeSet<IpAddr>,
    labels: BTreeSet<IpAddr>,
    dead: BTreeSet<IpAddr>,
    /// A host that was installed anew: its member of etcd is dead.
    fresh: Option<IpAddr>,
}

impl World {
    /// What an operator observes.
    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for index in 0..usize::from(HOSTS) {
            let host = address(index);
            if self.dead.contains(&host) {
                facts.unreachable.insert(host, "no route to host".to_owned());
                continue;
            }
            let mut observed = HostFacts::default();
            observed.hostname = format!("host-{index}");
            observed.machine_id = "now".to_owned();
            observed.marker = self.markers.get(&host).cloned();
            observed.cluster = observed.marker.as_ref().map(|marker| marker.cluster.clone());
            facts.hosts.insert(host, observed);
        }
        let answers = |master: &&IpAddr| self.nodes.contains_key(*master) && !self.is_dead(master);
        let through = self.members.iter().find(answers);
        if let Some(through) = through {
            let mut api = ApiFacts::default();
            api.nodes = self.nodes.clone();
            for (host, node) in &mut api.nodes {
                node.ready = !self.is_dead(host);
                node.machine_id = if self.fresh == Some(*host) { "before" } else { "now" }.to_owned();
            }
            api.through = Some(*through);
            facts.api = Some(api);
        }
        facts
    }

    fn plan(&self, wanted: &Clusterfile) -> Result<Plan, runtime::Error> {
        let (facts, image) = (self.facts(), image());
        let payload = Payload::new(&image, secrets()).with_launch(vec!["kubectl apply -f network.yaml".to_owned()]);
        let plan = Kubeadm.plan(&Request::new(wanted, &facts, &payload))?;
        expect_members_change_in_turn(&plan, wanted);
        Ok(plan)
    }

    /// Does the steps of a plan in an order that it allows, chosen by `choices`, and stops before the step `cut`.
    fn perform(&mut self, plan: &Plan, wanted: &Clusterfile, choices: &[usize], cut: usize) {
        let mut left: Vec<&Step> = plan.steps.iter().collect();
        for turn in 0..cut.min(plan.steps.len()) {
            let waits = |step: &&Step| {
                let before = |other: &&Step| other.id == step.id;
                let earlier = left.iter().take_while(|other| !before(other));
                let same_host = earlier.clone().any(|other| other.hosts == step.hosts);
                let named = |id: &String| left.iter().any(|other| other.id == *id);
                same_host || step.after.iter().chain(&step.after_end_of).any(named)
            };
            let ready: Vec<usize> = (0..left.len()).filter(|place| !waits(&left[*place])).collect();
            assert!(!ready.is_empty(), "steps wait for each other");
            let step = left.remove(ready[choices[turn % choices.len()] % ready.len()]);
            self.step(step, wanted);
            self.expect_majority(&step.id);
        }
    }

    fn step(&mut self, step: &Step, wanted: &Clusterfile) {
        let on = step.hosts[0];
        assert!(!self.dead.contains(&on), "{} happens on a dead host", step.id);
        let (what, of) =
            step.id.split_once('@').map_or((step.id.as_str(), on), |(what, of)| (what, of.parse().unwrap()));
        if let Action::Write { files } = &step.action {
            let marker = files.iter().find(|file| file.path.ends_with("/host.json"));
            self.markers.extend(marker.map(|file| (on, serde_json::from_slice(&file.content).unwrap())));
        }
        let stands = self.members.contains(&on) && self.nodes.contains_key(&on) && !self.is_dead(&on);
        match what {
            "kubeadm-init" if !stands => {
                assert!(self.members.is_empty(), "a second control plane is made");
                self.register(on, true);
            }
            "kubeadm-join" => {
                assert!(!self.members.is_empty(), "{} joins nothing", step.id);
                let fresh = self.fresh.take_if(|fresh| *fresh == on);
                assert!(fresh.is_none() || !self.nodes.contains_key(&on), "{on} is still known as what it was");
                let master = wanted.cluster.host(on).unwrap().is_master();
                let dead = self.members.iter().any(|member| self.is_dead(member));
                assert!(!(master && dead), "a member of etcd is dead");
                self.register(on, master);
            }
            "bootstrap-token" | "drain" | "certificate" | "launch-1" => assert!(stands, "{} on {on}", step.id),
            "label" => {
                assert!(stands && self.nodes.contains_key(&of), "{} on {on}", step.id);
                let Action::Run(run) = &step.action else { panic!("that runs") };
                match run.env["SEALER_LABELS"].expose() {
                    "disk=ssd" => self.labels.insert(of),
                    "disk-" => self.labels.remove(&of),
                    other => panic!("labels {other}"),
                };
            }
            "remove-member" => {
                assert!(stands && on != of, "{} on {on}", step.id);
                self.members.remove(&of);
            }
            "remove-node" => {
                assert!(stands && on != of && !self.members.contains(&of), "{} on {on}", step.id);
                self.nodes.remove(&of);
                self.labels.remove(&of);
            }
            "reset" => assert!(!self.members.contains(&on), "{on} is still a member of etcd"),
            "forget" => {
                assert!(!self.nodes.contains_key(&on), "{on} is still known to the API");
                self.markers.remove(&on);
            }
            _ => {}
        }
    }

    fn is_dead(&self, host: &IpAddr) -> bool {
        self.dead.contains(host) || self.fresh == Some(*host)
    }

    fn register(&mut self, host: IpAddr, control_plane: bool) {
        let mut node = NodeFacts::default();
        node.name = format!("host-{host}");
        node.ready = true;
        node.control_plane = control_plane;
        self.nodes.insert(host, node);
        if control_plane {
            self.members.insert(host);
        }
    }

    fn expect_majority(&self, step: &str) {
        let alive = self.members.iter().filter(|member| !self.is_dead(member)).count();
        assert!(self.members.is_empty() || alive * 2 > self.members.len(), "no majority after {step}: {self:?}");
    }

    /// Expects just the wanted hosts with their settings, and that there is nothing to do.
    fn expect(&self, shape: &Shape) {
        let wanted = shape.clusterfile();
        let addresses: BTreeSet<IpAddr> = wanted.cluster.hosts.iter().map(|host| host.address).collect();
        let masters: BTreeSet<IpAddr> = wanted.cluster.masters().map(|host| host.address).collect();
        let labelled = wanted.cluster.hosts.iter().filter(|host| !host.labels.is_empty()).map(|host| host.address);
        assert_eq!(self.nodes.keys().copied().collect::<BTreeSet<_>>(), addresses);
        assert_eq!(self.members, masters);
        assert_eq!(self.labels, labelled.collect());
        let marked = self.markers.keys().filter(|host| !self.dead.contains(*host)).copied();
        assert_eq!(marked.collect::<BTreeSet<_>>(), addresses);
        assert!(self.plan(&wanted).unwrap().is_empty(), "{}", self.plan(&wanted).unwrap().to_text());
    }
}

/// Etcd takes one change of its members at a time.
fn expect_members_change_in_turn(plan: &Plan, wanted: &Clusterfile) {
    let joins_master = |step: &Step| {
        let master = wanted.cluster.host(step.hosts[0]).is_some_and(Host::is_master);
        step.id.starts_with("kubeadm-join@") && master
    };
    let changes = plan.steps.iter().filter(|step| step.id.starts_with("remove-member@") || joins_master(step));
    let changes: Vec<&Step> = changes.collect();
    for two in changes.windows(2) {
        assert!(is_before(plan, two[0], two[1]), "{} and {} may happen at once", two[0].id, two[1].id);
    }
}

/// Whether a step cannot start before another has ended.
fn is_before(plan: &Plan, first: &Step, second: &Step) -> bool {
    let place = |step: &Step| plan.steps.iter().position(|other| other.id == step.id).unwrap();
    let mut reached: BTreeSet<usize> = BTreeSet::new();
    let mut open = vec![place(second)];
    while let Some(index) = open.pop() {
        let step = &plan.steps[index];
        let named = step.after.iter().chain(&step.after_end_of);
        let named = named.map(|id| plan.steps.iter().position(|other| other.id == *id).unwrap());
        let before = plan.steps[..index].iter().rposition(|other| other.hosts == step.hosts);
        open.extend(named.chain(before).filter(|index| reached.insert(*index)).collect::<Vec<_>>());
    }
    reached.contains(&place(first))
}

fn secrets() -> &'static Secrets {
    static SECRETS: OnceLock<Secrets> = OnceLock::new();
    SECRETS.get_or_init(|| Secrets::make(&Cluster::new("shop", "shop:1.4"), Kubeadm::REQUIREMENTS.secrets).unwrap())
}

fn image() -> ImageContents {
    let mut image = ImageContents::named("shop:1.4");
    image.digest = "sha256:1".to_owned();
    image.labels.insert("cluster.alpha.sealer.io/cluster-runtime-version".to_owned(), "v1.20.2".to_owned());
    let files = ["bin/kubeadm", "bin/kubectl", "bin/kubelet", "scripts/containerd.sh", "scripts/init-kube.sh"];
    image.files = files.map(str::to_owned).into();
    image
}

/// A cluster of this shape, made without disturbance.
fn made(shape: &Shape, choices: &[usize]) -> World {
    let mut world = World::default();
    let wanted = shape.clusterfile();
    let plan = world.plan(&wanted).unwrap();
    world.perform(&plan, &wanted, choices, usize::MAX);
    world.expect(shape);
    world
}

/// The same shape with the roles that hosts of `from` have already: a change of role is refused.
fn with_roles_of(from: &Shape, mut to: Shape) -> Shape {
    for (before, after) in from.parts.iter().zip(&mut to.parts) {
        match (before, *after) {
            (Part::Master, Part::Node { .. }) => *after = Part::Master,
            (Part::Node { .. }, Part::Master) => *after = Part::Node { labelled: true },
            _ => {}
        }
    }
    to
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_change_cut_off_anywhere_ends_as_wanted(
        from in any_shape(),
        to in any_shape(),
        choices in prop::collection::vec(any::<usize>(), 40),
        cuts in prop::collection::vec(0_usize..60, 0..4),
        // Of the hosts that leave, the first so many are dead.
        dead in 0_usize..3,
        // One that stays may have been installed anew.
        fresh in prop::option::of(0_usize..usize::from(HOSTS)),
    ) {
        let to = with_roles_of(&from, to);
        prop_assume!(to.parts.contains(&Part::Master));
        let mut world = made(&from, &choices);
        let leaves = |index: &usize| from.parts[*index] != Part::None && to.parts[*index] == Part::None;
        world.dead.extend((0..usize::from(HOSTS)).filter(leaves).take(dead).map(address));
        if let Some(index) = fresh.filter(|index| from.parts[*index] != Part::None && to.parts[*index] != Part::None) {
            world.markers.remove(&address(index));
            world.fresh = Some(address(index));
        }
        let alive = |member: &&IpAddr| !world.dead.contains(*member) && world.fresh != Some(**member);
        let masters = world.members.iter().filter(alive).count();
        // Without a majority there is no API that could be asked.
        prop_assume!(masters * 2 > world.members.len());
        let wanted = to.clusterfile();
        // What would cost etcd its majority is refused.
        prop_assume!(world.plan(&wanted).is_ok());
        for cut in cuts {
            let plan = world.plan(&wanted).unwrap();
            world.perform(&plan, &wanted, &choices, cut);
        }
        let plan = world.plan(&wanted).unwrap();
        world.perform(&plan, &wanted, &choices, usize::MAX);
        world.expect(&to);
    }

    /// A cluster that is given up in the middle of its creation leaves nothing on its hosts.
    #[test]
    fn a_partial_creation_is_continued(
        shape in any_shape(),
        choices in prop::collection::vec(any::<usize>(), 40),
        cuts in prop::collection::vec(0_usize..60, 1..4),
    ) {
        let mut world = World::default();
        let wanted = shape.clusterfile();
        for cut in cuts {
            let plan = world.plan(&wanted).unwrap();
            world.perform(&plan, &wanted, &choices, cut);
        }
        let plan = world.plan(&wanted).unwrap();
        world.perform(&plan, &wanted, &choices, usize::MAX);
        world.expect(&shape);
    }
}
