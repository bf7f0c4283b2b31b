//! A managed Kubernetes without hosts fits the trait: no hosts, a kubeconfig, a registry to push images to.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use clusterfile::{Cluster, Clusterfile, MachineSpec};
use remote::Remote;
use remote::transcript::Transcript;
use runtime::{
    Access, Action, ActionHandler, Custom, Error, ExecuteOptions, Facts, Finding, ImageContents, ImageTarget, Journal,
    Kubeconfig, ManagedCluster, OPERATOR_HOST, Payload, Plan, Progress, Request, Requirements, Run, Runtime,
    RuntimeName, Secrets, Step, execute, gather,
};

/// Runs applications on a Kubernetes whose control plane and nodes are its provider's.
#[derive(Debug)]
struct Managed {
    name: RuntimeName,
}

impl Runtime for Managed {
    fn name(&self) -> &RuntimeName {
        &self.name
    }

    fn requirements(&self) -> Requirements {
        Requirements::new(&["etc/ack.yaml"], &[]).without_hosts()
    }

    fn supports(&self, wanted: &Clusterfile, _image: &ImageContents) -> Result<(), Error> {
        let reason = "the provider keeps the masters: leave them out".to_owned();
        let cluster = &wanted.cluster;
        let named = cluster.masters().next().is_some() || cluster.machines.masters.is_some();
        if named { Err(Error::InvalidCluster { cluster: cluster.name.clone(), reason }) } else { Ok(()) }
    }

    fn preflight(&self, _request: &Request<'_>) -> Vec<Finding> {
        Vec::new()
    }

    fn plan(&self, request: &Request<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::new(&request.cluster().name);
        if request.is_delete() {
            return Ok(plan);
        }
        let image = request.payload.image;
        let push = Step::custom("push-images", [OPERATOR_HOST], Custom::new("push-images", &image.digest));
        plan.steps.push(push);
        for (index, command) in request.payload.launch.iter().enumerate() {
            let step =
                Step::run(format!("launch-{}", index + 1), [OPERATOR_HOST], Run::new(&command.command).show_output());
            plan.steps.push(step.after(["push-images"]));
        }
        Ok(plan)
    }

    fn access(&self, request: &Request<'_>) -> Result<Access, Error> {
        let absent = || Error::InvalidCluster { cluster: request.cluster().name.clone(), reason: "is not made".into() };
        let managed = request.managed.ok_or_else(absent)?;
        let images = ImageTarget::Registry { prefix: "registry.example.com/shop".to_owned() };
        Ok(Access::new(&managed.endpoint, Kubeconfig::New(managed.kubeconfig.clone())).with_images(images))
    }
}

/// Remembers what it was asked to do.
#[derive(Default)]
struct Pushes(Mutex<Vec<String>>);

#[async_trait]
impl ActionHandler for Pushes {
    async fn perform(
        &self,
        step: &Step,
        host: IpAddr,
        _remote: Arc<dyn Remote>,
        _progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Error> {
        let Action::Custom(custom) = &step.action else { panic!("{step:?}") };
        self.0.lock().unwrap().push(format!("{} {} on {host}", custom.name, custom.detail));
        Ok(())
    }
}

#[tokio::test]
async fn a_cluster_without_hosts_is_planned_performed_and_reached() {
    let managed = Managed { name: "ack".parse().unwrap() };
    let mut cluster = Cluster::new("shop", "shop:1.4");
    cluster.machines.nodes = Some(MachineSpec::of(3));
    let mut image = ImageContents::named("shop:1.4");
    image.digest = "sha256:1".to_owned();
    managed.supports(&Clusterfile::from(cluster.clone()), &image).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let requirements = managed.requirements();
    assert!(requirements.without_hosts);
    let secrets = Secrets::open(directory.path(), &cluster, requirements.secrets).unwrap();
    let facts = gather(&BTreeMap::new(), "shop", &requirements).await.unwrap();
    assert_eq!(facts, Facts::default());

    let wanted = Clusterfile::from(cluster);
    let payload = Payload::new(&image, &secrets).with_launch(vec!["kubectl apply -f shop.yaml".to_owned()]);
    let given = ManagedCluster::new("https://shop.example.com:6443", "a kubeconfig".into());
    let mut request = Request::new(&wanted, &facts, &payload);
    request.managed = Some(&given);
    assert!(managed.preflight(&request).is_empty());
    let plan = managed.plan(&request).unwrap();

    let here = Arc::new(Transcript::new(OPERATOR_HOST));
    let remotes = BTreeMap::from([(OPERATOR_HOST, here.clone() as Arc<dyn Remote>)]);
    let (handler, journal) = (Pushes::default(), Journal::open(&directory.path().join("journal")).unwrap());
    let report = execute(&plan, &remotes, &handler, &journal, &ExecuteOptions::default(), &|_| {}).await.unwrap();
    assert_eq!(report.done, 2);
    assert_eq!(*handler.0.lock().unwrap(), ["push-images sha256:1 on 127.0.0.1"]);
    assert!(here.ran("kubectl apply -f shop.yaml"));

    let access = managed.access(&request).unwrap();
    assert_eq!(access.endpoint.as_deref(), Some("https://shop.example.com:6443"));
    assert!(matches!(&access.kubeconfig, Kubeconfig::New(text) if text.expose() == "a kubeconfig"));
    assert!(matches!(access.images, ImageTarget::Registry { .. }));

    let nothing = Clusterfile::from(wanted.cluster.without_hosts());
    assert!(managed.plan(&Request::new(&nothing, &facts, &payload)).unwrap().is_empty());
}

/// Whatever a program does with a workflow, it can do on several threads.
#[test]
fn futures_can_be_sent_to_other_threads() {
    fn is_send<T: Send>(_: impl FnOnce() -> T) {}
    is_send(|| gather(Box::leak(Box::default()), "c", Box::leak(Box::default())));
    is_send(|| {
        let plan: &Plan = Box::leak(Box::default());
        let journal: &Journal = Box::leak(Box::new(Journal::open("/dev/null".as_ref()).unwrap()));
        let handler: &Pushes = Box::leak(Box::default());
        execute(plan, Box::leak(Box::default()), handler, journal, Box::leak(Box::default()), &|_| {})
    });
}
