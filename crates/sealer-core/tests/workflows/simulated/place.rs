//! A workstation with an image and simulated hosts, made as often as needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sealer_core::clusterfile::{Cluster, Clusterfile, Role};
use sealer_core::infra_provider::testing::Counting;
use sealer_core::infra_provider::{Context, Provider};
use sealer_core::testing::Directories;
use sealer_core::{Applied, BuildRequest, Connector, DeleteOptions, Error, Event, Sealer, Settings, build};
use tempfile::TempDir;

use super::{Fault, Machines, World};
use crate::lab::{address, agreed};

/// An image that the kubeadm runtime plans with, in a store.
pub(crate) struct Image(TempDir);

impl Image {
    pub(crate) fn new() -> Self {
        Self::with("bin/kubectl-more", b"true")
    }

    /// With one more file.
    pub(crate) fn with(name: &str, content: &[u8]) -> Self {
        let image = Self(quick_directory());
        for file in ["bin/kubeadm", "bin/kubectl", "bin/kubelet", "scripts/containerd.sh", "scripts/init-kube.sh"] {
            let path = image.path("context").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "true").unwrap();
        }
        let more = image.path("context").join(name);
        fs::create_dir_all(more.parent().unwrap()).unwrap();
        fs::write(more, content).unwrap();
        fs::write(image.path("binary"), "#!/bin/sh\n").unwrap();
        let kubefile = "FROM scratch\nLABEL cluster.alpha.sealer.io/cluster-runtime-version=v1.20.2\n\
                        COPY bin bin\nCOPY scripts scripts\nCMD kubectl apply -f network.yaml\n";
        let mut request = BuildRequest::new(kubefile.to_owned(), image.path("context"));
        request.options.tag = Some("shop:1".to_owned());
        let sealer = Sealer::open(Settings::new(image.path("root"), image.path("state"))).unwrap();
        run_to_end(async { build(&sealer, &request, &|_| ()).await.unwrap() });
        image.make_keys();
        image
    }

    /// The keys of a cluster, as a run leaves them that is killed before its first step: making them takes longer than
    /// all the rest of a cluster.
    fn make_keys(&self) {
        let begun = Place::new(self, None);
        let killed =
            begun.perform(&Act::apply(listed(&[1], &[])), Some(("claim@10.0.0.1 on 10.0.0.1 #0", Fault::KilledBefore)));
        assert!(killed.is_none());
        let state = begun.directory.path().join("state/shop");
        for file in fs::read_dir(&state).unwrap().map(|entry| entry.unwrap()) {
            if file.file_name() != "pki" && file.file_name() != "secrets.json" {
                fs::remove_file(file.path()).unwrap();
            }
        }
        copy(begun.directory.path(), &self.path("begun"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A workstation, and the hosts that it works on.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) world: World,
    pub(crate) sealer: Sealer,
    pub(crate) provider: Arc<Machines>,
}

impl Place {
    /// As `from` left it, or with nothing but the keys of a cluster.
    pub(crate) fn new(image: &Image, from: Option<&Place>) -> Self {
        let directory = quick_directory();
        let path = |name: &str| directory.path().join(name);
        let model = from.map(|from| from.world.state().model.copy()).unwrap_or_default();
        let begun = image.path("begun");
        let left = from.map(|from| from.directory.path()).or_else(|| begun.is_dir().then_some(&*begun));
        left.into_iter().for_each(|left| copy(left, directory.path()));
        let world = World::new(Directories::new(path("hosts")), model);
        let machines = Counting::default();
        let provider = Arc::new(Machines { machines, world: world.clone() });
        let sealer = Sealer::open(Settings::new(image.path("root"), path("state"))).unwrap();
        let sealer = sealer.with_connector(Arc::new(world.clone())).with_provider(provider.clone());
        let sealer = sealer.with_binary(image.path("binary"));
        let place = Self { directory, world, sealer, provider };
        if let Some(known) = from.and_then(Place::remembered).filter(|known| !known.machines.is_empty()) {
            // It has the machines of the cluster again.
            let tell = |_| ();
            let context = Context::new(place.directory.path(), &tell);
            run_to_end(async {
                let machines = &place.provider.machines;
                machines.provision(&known, None, &context).await.unwrap()
            });
        }
        place
    }

    /// The same workstation, which reaches hosts in another way.
    pub(crate) fn again(&self, connector: Arc<dyn Connector>) -> Sealer {
        let settings = self.sealer.settings();
        let sealer = Sealer::open(Settings::new(&settings.root, &settings.state)).unwrap();
        sealer.with_connector(connector).with_binary(settings.binary.clone().unwrap())
    }

    pub(crate) fn remembered(&self) -> Option<Cluster> {
        self.sealer.state().clusterfile("shop").unwrap().map(|file| file.cluster)
    }

    /// Does it once; `None` when the program was killed.
    pub(crate) fn perform(&self, act: &Act, fault: Option<(&str, Fault)>) -> Option<Result<Option<Applied>, Error>> {
        self.world.begin(fault);
        self.world.state().model.ends = matches!(act, Act::Delete);
        let tell = |event: Event| self.world.hear(&event);
        run_to_end(async {
            let performed = async {
                match act {
                    Act::Apply(wanted) => {
                        let applied = sealer_core::apply(&self.sealer, (**wanted).clone(), &agreed(), &tell).await;
                        applied.map(Some)
                    }
                    Act::Delete => {
                        let options = DeleteOptions { apply: agreed(), ..DeleteOptions::default() };
                        sealer_core::delete(&self.sealer, "shop", &options, &tell).await.map(|_| None)
                    }
                }
            };
            tokio::select! {
                biased;
                () = self.world.killed.notified() => None,
                ended = performed => Some(ended),
            }
        })
    }
}

/// What is done to a cluster.
pub(crate) enum Act {
    Apply(Box<Clusterfile>),
    Delete,
}

impl Act {
    pub(crate) fn apply(wanted: Clusterfile) -> Self {
        Self::Apply(Box::new(wanted))
    }
}

/// Runs something on a clock of its own that jumps over all waiting, and drops whatever it left running.
pub(crate) fn run_to_end<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// In memory where that is possible: every step makes sure that its files are on the disk.
fn quick_directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    directory.unwrap()
}

/// These masters and nodes.
pub(crate) fn listed(masters: &[u8], nodes: &[u8]) -> Clusterfile {
    let mut cluster = Cluster::new("shop", "shop:1");
    cluster.add_hosts(&Role::Master, masters.iter().map(|last| address(*last)));
    cluster.add_hosts(&Role::Node, nodes.iter().map(|last| address(*last)));
    cluster.into()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}
