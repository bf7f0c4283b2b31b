//! A managed Kubernetes without hosts of ours, applied and deleted: its provider's kubeconfig is kept, images go away.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sealer_core::clusterfile::{Cluster, Clusterfile, MachineSpec, ProviderName};
use sealer_core::infra_provider::{self, Context, ManagedControlPlane, Provider, Provisioned, Release};
use sealer_core::remote::Remote;
use sealer_core::runtime::{
    self, Access, ActionHandler, Custom, Finding, ImageContents, ImageTarget, Kubeconfig, OPERATOR_HOST, Plan,
    Progress, Request, Requirements, Runtime, RuntimeName, Step,
};
use sealer_core::{ApplyOptions, DeleteOptions, apply, delete, plan};

use crate::lab::{Bench, agreed};

/// Runs images on a cluster that its provider keeps.
#[derive(Debug)]
struct Managed(RuntimeName);

impl Runtime for Managed {
    fn name(&self) -> &RuntimeName {
        &self.0
    }
    fn requirements(&self) -> Requirements {
        Requirements::default().without_hosts()
    }
    fn supports(&self, _: &Clusterfile, _: &ImageContents) -> Result<(), runtime::Error> {
        Ok(())
    }
    fn preflight(&self, _: &Request<'_>) -> Vec<Finding> {
        Vec::new()
    }
    fn plan(&self, request: &Request<'_>) -> Result<Plan, runtime::Error> {
        let mut plan = Plan::new(&request.cluster().name);
        let push = Custom::new("push-images", &request.payload.image.name);
        plan.steps.push(Step::custom("push-images", [OPERATOR_HOST], push));
        Ok(plan)
    }
    fn access(&self, request: &Request<'_>) -> Result<Access, runtime::Error> {
        let managed = request.managed.expect("the provider described its cluster");
        let kubeconfig = Kubeconfig::New(managed.kubeconfig.clone());
        let images = ImageTarget::Registry { prefix: "registry.example.com/shop".to_owned() };
        Ok(Access::new(&managed.endpoint, kubeconfig).with_images(images))
    }
}

/// A cloud that keeps control planes; remembers whether this one is there.
#[derive(Debug)]
struct Cloud {
    name: ProviderName,
    made: Mutex<bool>,
}

#[async_trait]
impl Provider for Cloud {
    fn name(&self) -> &ProviderName {
        &self.name
    }
    fn owns_hosts(&self) -> bool {
        true
    }
    async fn provision(
        &self,
        wanted: &Cluster,
        _: Option<&Cluster>,
        _: &Context<'_>,
    ) -> infra_provider::Result<Provisioned> {
        *self.made.lock().unwrap() = true;
        let managed = ManagedControlPlane::new("https://shop.example.com:6443", "a kubeconfig".into());
        Ok(Provisioned::new(wanted.clone()).with_managed(managed))
    }
    async fn release(&self, _: &Cluster, _: Release, _: &Context<'_>) -> infra_provider::Result<()> {
        *self.made.lock().unwrap() = false;
        Ok(())
    }
    fn describe(&self, wanted: &Cluster) -> Vec<String> {
        vec![format!("a managed cluster {}", wanted.name)]
    }
}

/// Remembers which images were pushed.
#[derive(Debug, Default)]
struct Pushes(Mutex<Vec<String>>);

#[async_trait]
impl ActionHandler for Pushes {
    async fn perform(
        &self,
        step: &Step,
        host: IpAddr,
        _: Arc<dyn Remote>,
        _: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), runtime::Error> {
        self.0.lock().unwrap().push(format!("{} on {host}", step.title));
        Ok(())
    }
}

#[tokio::test]
async fn a_cluster_without_hosts_is_applied_and_deleted() {
    let (cloud, pushes) =
        (Arc::new(Cloud { name: "SHOP_CLOUD".parse().unwrap(), made: Mutex::default() }), Arc::new(Pushes::default()));
    let bench = Bench::with_image("managed").await;
    let runtime = Arc::new(Managed("managed".parse().unwrap()));
    let sealer = bench.sealer.with_runtime(runtime).with_provider(cloud.clone()).with_action_handler(pushes.clone());
    let mut cluster = Cluster::new("shop", "lab:1");
    cluster.provider = cloud.name.clone();
    cluster.machines.nodes = Some(MachineSpec::of(3));
    let wanted = Clusterfile::from(cluster);

    let planned = plan(&sealer, wanted.clone(), &ApplyOptions::default(), &|_| ()).await.unwrap();
    assert_eq!(planned.plan.steps.len(), 1);
    assert!(!*cloud.made.lock().unwrap(), "a dry run makes nothing");

    let applied = apply(&sealer, wanted, &ApplyOptions::default(), &|_| ()).await.unwrap();
    assert_eq!((applied.done, applied.nodes.len(), bench.hosts.connects()), (1, 0, 0));
    assert_eq!(std::fs::read_to_string(applied.kubeconfig.unwrap()).unwrap(), "a kubeconfig");
    assert_eq!(*pushes.0.lock().unwrap(), ["push-images on 127.0.0.1"]);

    let options = DeleteOptions { apply: agreed(), ..DeleteOptions::default() };
    delete(&sealer, "shop", &options, &|_| ()).await.unwrap();
    assert!(!*cloud.made.lock().unwrap() && sealer.state().clusterfile("shop").unwrap().is_none());
}
