//! Performs the steps of a plan that are done from here: content, changes of machines, and what vendors bring.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use clusterfile::Cluster;
use infra_provider::{Context, Provider};
use remote::{Command, Remote};
use runtime::{Action, ActionHandler, Custom, Facts, Progress, Step};
use tokio::time::{Instant, sleep};

use crate::connect::{BOOT_TIMEOUT, RETRY_INTERVAL, is_starting};
use crate::content_delivery::ContentDelivery;
use crate::run::Run;
use crate::{Error, Event};

/// What the steps of one plan are performed with.
pub(crate) struct Actions<'a> {
    run: Run<'a>,
    cluster: &'a Cluster,
    provider: &'a dyn Provider,
    state_dir: &'a Path,
    delivery: ContentDelivery,
}

impl<'a> Actions<'a> {
    pub(crate) fn new(
        run: Run<'a>,
        cluster: &'a Cluster,
        provider: &'a dyn Provider,
        state_dir: &'a Path,
        facts: &Facts,
    ) -> Result<Self, Error> {
        let delivery = ContentDelivery::new(run.sealer, &cluster.name, facts)?;
        Ok(Self { run, cluster, provider, state_dir, delivery })
    }

    /// Has the provider change a machine, and waits until its host can be asked again.
    async fn change_machine(&self, host: IpAddr, remote: &dyn Remote) -> Result<(), runtime::Error> {
        let tell = |provider| self.run.tell(Event::Provider { provider });
        let context = Context::new(self.state_dir, &tell).with_cancel(&self.run.options.cancel);
        let changed = self.provider.update(self.cluster, host, &context).await;
        changed.map_err(|error| runtime::Error::Step {
            host,
            step: "change the machine".to_owned(),
            status: "an error of its provider".to_owned(),
            detail: error_report::one_line(&error),
        })?;
        let deadline = Instant::now() + BOOT_TIMEOUT;
        loop {
            match remote.run(&Command::new("true").timeout(RETRY_INTERVAL * 5)).await {
                Err(error) if is_starting(&error) && Instant::now() < deadline => sleep(RETRY_INTERVAL).await,
                answered => return Ok(answered.map(drop)?),
            }
        }
    }
}

#[async_trait]
impl ActionHandler for Actions<'_> {
    async fn perform(
        &self,
        step: &Step,
        host: IpAddr,
        remote: Arc<dyn Remote>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), runtime::Error> {
        match &step.action {
            Action::Content(content) => self.delivery.deliver(content, remote, progress).await,
            Action::Custom(custom) if custom.name == Custom::MACHINE_CHANGE => {
                self.change_machine(host, remote.as_ref()).await
            }
            _ => match self.run.sealer.action_handler() {
                Some(handler) => handler.perform(step, host, remote, progress).await,
                None => Err(runtime::Error::Plan {
                    cluster: self.cluster.name.clone(),
                    reason: format!("nothing is registered that performs `{}`", step.title),
                }),
            },
        }
    }
}
