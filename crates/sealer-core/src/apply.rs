//! Makes a cluster match its Clusterfile.

use std::sync::Arc;
use std::time::Instant;

use clusterfile::{Cluster, Clusterfile};
use infra_provider::{Context, PendingUpdate, Provider};
use runtime::{Action, ExecuteOptions, Facts, Journal, Kubeconfig, Plan, Report, Request, Runtime, Secrets};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::binary;
use crate::change::{APPLIED, add_public_address, change, check_machines, finished};
use crate::connect::{connect, connect_new};
use crate::connector::Remotes;
use crate::content_delivery::ContentDelivery;
use crate::nodes::{Node, StepTimes, nodes};
use crate::payload::{Prepared, prepare};
use crate::plugins::RUNTIME_ANNOTATION;
use crate::workloads::Kubectl;
use crate::{ClusterState, Error, Event, Events, Sealer};

/// Name of the journal in a cluster's state: which steps of an unfinished change are done.
pub(crate) const JOURNAL: &str = "journal.jsonl";

/// How to apply.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// Hosts worked on at once.
    pub parallel: usize,
    /// Cancels between steps: running steps are finished, no new one is started.
    pub cancel: CancellationToken,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self { parallel: 32, cancel: CancellationToken::new() }
    }
}

/// What apply did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Applied {
    /// The cluster as it now is, with the addresses of its hosts.
    #[serde(skip)]
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
    /// Whether anything had to be done.
    pub outcome: Outcome,
    /// Steps done by this call.
    pub done: usize,
    /// Steps that an earlier, interrupted call had done.
    pub skipped: usize,
    /// Where the administrator's kubeconfig is.
    pub kubeconfig: std::path::PathBuf,
    /// Every host, as the cluster itself now calls it.
    pub nodes: Vec<Node>,
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The cluster was made or changed.
    Changed,
    /// It already was as wanted.
    Unchanged,
}

/// What apply would do.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Planned {
    /// What the provider would create first; empty when every host exists.
    pub provider: Vec<String>,
    /// The steps; empty when the provider would have to create hosts first.
    pub plan: Plan,
    /// What stands in the way.
    pub findings: Vec<runtime::Finding>,
    /// Why no plan can be made for the hosts that the provider would make.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub refused: Option<runtime::Error>,
}

fn as_text<S: serde::Serializer>(refused: &Option<runtime::Error>, serializer: S) -> Result<S::Ok, S::Error> {
    refused.as_ref().map(ToString::to_string).serialize(serializer)
}

/// Brings the cluster described by `wanted` into being, or says that it already is.
///
/// After any failure or kill, the same call again finishes the job.
///
/// # Errors
///
/// [`Error::Unsupported`] for what cannot be done yet; [`Error::Preflight`] before anything is changed;
/// [`Error::Unfinished`] when a plan was begun; [`Error::Interrupted`] when it was cancelled before that.
pub async fn apply(
    sealer: &Sealer,
    wanted: Clusterfile,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Applied, Error> {
    let prepared = prepare(sealer, wanted, events).await?;
    let runtime = sealer.runtime_for(&prepared.image)?;
    let provider = sealer.provider_for(&prepared.wanted.cluster)?;
    runtime.supports(&prepared.wanted.cluster, &prepared.contents)?;
    provider.check(&prepared.wanted.cluster)?;

    let started = Instant::now();
    let state = sealer.state().lock(&prepared.wanted.cluster.name)?;
    let current = state.clusterfile()?;
    let mut wanted = prepared.wanted.clone();
    wanted.cluster.annotations.insert(RUNTIME_ANNOTATION.to_owned(), runtime.name().to_string());
    let known = current.as_ref().map(|clusterfile| &clusterfile.cluster);
    check_machines(provider, known, &wanted.cluster)?;
    if provider.owns_hosts() && known.is_none() {
        state.remember(&wanted)?; // What is made from here on can be deleted by the cluster's name.
    }
    wanted.cluster = provisioned(sealer, provider, &state, (&wanted, known), options, events).await?;
    if provider.owns_hosts() {
        events(phase("hosts", &wanted.cluster, started));
    }
    let change = change(known, &wanted.cluster)?;
    if provider.owns_hosts() {
        remember(&state, &wanted, known)?; // From here on a crash must not leak hosts.
    }

    let secrets = Secrets::open(state.path(), &wanted.cluster, runtime.requirements().secrets)?;
    let new = provider.owns_hosts() && finished(known).is_none();
    let observed = observe(sealer, &state, runtime, &change.wanted, new, events);
    let (remotes, mut facts) = until(options, "asking the hosts", observed).await?;
    let payload = prepared.payload(&wanted, &secrets);
    let kept = state.read("kubeconfig")?;
    let request = Request::new(&wanted, &facts, &payload)
        .with_public_address(provider.public_address(&wanted.cluster))
        .with_kubeconfig(kept.as_ref());
    let findings = runtime.preflight(&request);
    if !findings.is_empty() {
        return Err(Error::Preflight(findings));
    }
    let plan = Arc::new(runtime.plan(&request)?);
    let access = runtime.access(&request)?;
    if plan.steps.iter().any(|step| matches!(step.action, Action::Content(_))) {
        binary::check(&sealer.binary()?)?;
    }
    // Hosts that exist anyway are remembered only now, when something is about to be done to them: an address that
    // was mistyped binds nobody.
    remember(&state, &wanted, known)?;
    if let Kubeconfig::New(kubeconfig) = &access.kubeconfig {
        state.write("kubeconfig", kubeconfig.expose().as_bytes())?;
    }

    let times = StepTimes::default();
    let mut report = Report::default();
    if !plan.is_empty() {
        let image = &wanted.cluster.image;
        let work = Work { plan: &plan, image, remotes: &remotes, facts: &facts, journal: JOURNAL, times: &times };
        report = work.perform(sealer, &state, options, events).await?;
        facts = look_again(&remotes, runtime, &wanted.cluster, events).await;
    }
    let nodes = nodes(&wanted.cluster, &facts, &times);
    finish(&state, wanted, &prepared, &plan, &report, nodes)
}

/// The wanted cluster with the hosts that its provider gives.
async fn provisioned(
    sealer: &Sealer,
    provider: &dyn Provider,
    state: &ClusterState,
    (wanted, known): (&Clusterfile, Option<&Cluster>),
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Cluster, Error> {
    let tell = |provider| events(Event::Provider { provider });
    let context = Context::new(state.path(), &tell).with_cancel(&options.cancel);
    until(options, "making hosts", async {
        let provisioned = provider.provision(&wanted.cluster, known, &context).await?;
        let work = finished(known).map(|cluster| Kubectl { sealer, state, cluster, events });
        for pending in &provisioned.updates {
            update(provider, &provisioned.cluster, pending, work.as_ref(), &context).await?;
        }
        Ok::<_, Error>(provisioned.cluster)
    })
    .await
}

/// Changes one machine; its host is drained before, and gets its pods back after.
async fn update(
    provider: &dyn Provider,
    cluster: &Cluster,
    pending: &PendingUpdate,
    work: Option<&Kubectl<'_>>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let host = pending.host;
    if pending.needs_change {
        if let Some(work) = work {
            work.drain(host).await?;
        }
        provider.update(cluster, host, context).await?;
    }
    if let Some(work) = work {
        work.resume(host).await?;
    }
    Ok(provider.updated(cluster, host, context).await?)
}

/// What [`apply`] would do, without changing anything.
///
/// # Errors
///
/// As [`apply`]; findings of the preflight are part of the answer.
pub async fn plan(sealer: &Sealer, wanted: Clusterfile, events: Events<'_>) -> Result<Planned, Error> {
    let prepared = prepare(sealer, wanted, events).await?;
    let runtime = sealer.runtime_for(&prepared.image)?;
    let provider = sealer.provider_for(&prepared.wanted.cluster)?;
    let refused = runtime.supports(&prepared.wanted.cluster, &prepared.contents).err();
    if let Some(error @ runtime::Error::ApplicationImage { .. }) = refused {
        return Err(error.into());
    }

    let name = prepared.wanted.cluster.name.clone();
    let current = sealer.state().clusterfile(&name)?;
    let known = current.as_ref().map(|clusterfile| &clusterfile.cluster);
    let there = known.filter(|known| !known.hosts.is_empty());
    let mut wanted = prepared.wanted.clone();
    if wanted.cluster.hosts.is_empty() && there.is_none() {
        let plan = Plan::new(name);
        return Ok(Planned { provider: provider.describe(&wanted.cluster), plan, findings: Vec::new(), refused });
    }
    if let Some(refused) = refused {
        return Err(refused.into());
    }
    check_machines(provider, known, &wanted.cluster)?;
    if let (true, Some(there)) = (wanted.cluster.hosts.is_empty(), there) {
        wanted.cluster.hosts.clone_from(&there.hosts);
        add_public_address(provider, there, &mut wanted.cluster);
    }
    let change = change(known, &wanted.cluster)?;
    let state = sealer.state().lock(&name)?;
    let secrets = secrets(&state, runtime, &wanted.cluster)?;
    let (_, facts) = observe(sealer, &state, runtime, &change.wanted, false, events).await?;
    let payload = prepared.payload(&wanted, &secrets);
    let request = Request::new(&wanted, &facts, &payload);
    let findings = runtime.preflight(&request);
    let plan = runtime.plan(&request)?;
    Ok(Planned { provider: Vec::new(), plan, findings, refused: None })
}

/// Remembers what is wanted, keeping the mark of a finished cluster until it is known to differ.
fn remember(state: &ClusterState, wanted: &Clusterfile, known: Option<&Cluster>) -> Result<(), Error> {
    let mut wanted = wanted.clone();
    if let Some(mark) = known.and_then(|cluster| cluster.annotations.get(APPLIED)) {
        wanted.cluster.annotations.insert(APPLIED.to_owned(), mark.clone());
    }
    state.remember(&wanted)
}

async fn observe(
    sealer: &Sealer,
    state: &ClusterState,
    runtime: &dyn Runtime,
    wanted: &Cluster,
    new: bool,
    events: Events<'_>,
) -> Result<(Remotes, Facts), Error> {
    let started = Instant::now();
    let remotes = match new {
        true => connect_new(sealer, state, wanted, events).await?,
        false => connect(sealer, state, wanted).await?,
    };
    let facts = runtime::gather(&remotes, &wanted.name, &runtime.requirements()).await?;
    events(phase("preflight", wanted, started));
    Ok((remotes, facts))
}

/// What the finished cluster says about itself. The cluster is already up, so failing to read it is only a warning.
async fn look_again(remotes: &Remotes, runtime: &dyn Runtime, cluster: &Cluster, events: Events<'_>) -> Facts {
    match runtime::gather(remotes, &cluster.name, &runtime.requirements()).await {
        Ok(facts) => facts,
        Err(error) => {
            events(Event::Warning { message: format!("the state of the nodes is not known: {error}") });
            Facts::default()
        }
    }
}

/// Runs work that can be dropped at any time without harm, and drops it on cancellation.
pub(crate) async fn until<T, E: Into<Error>>(
    options: &ApplyOptions,
    act: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match options.cancel.run_until_cancelled(work).await {
        Some(done) => done.map_err(Into::into),
        None => Err(Error::Interrupted { act }),
    }
}

fn phase(name: &str, cluster: &Cluster, started: Instant) -> Event {
    let count = cluster.hosts.len();
    let detail = format!("{count} host{}", if count == 1 { "" } else { "s" });
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Event::Phase { name: name.to_owned(), detail, millis }
}

/// A plan and what it is performed with.
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a Arc<Plan>,
    pub(crate) image: &'a str,
    pub(crate) remotes: &'a Remotes,
    pub(crate) facts: &'a Facts,
    /// Name of the journal in the cluster's state.
    pub(crate) journal: &'static str,
    pub(crate) times: &'a StepTimes,
}

impl Work<'_> {
    pub(crate) async fn perform(
        &self,
        sealer: &Sealer,
        state: &ClusterState,
        options: &ApplyOptions,
        events: Events<'_>,
    ) -> Result<Report, Error> {
        events(Event::Planned {
            steps: self.plan.steps.len(),
            hosts: self.plan.hosts.clone(),
            image: self.image.to_owned(),
            plan: Arc::clone(self.plan),
        });
        for note in &self.plan.notes {
            events(Event::Warning { message: note.clone() });
        }
        let delivery = ContentDelivery::new(sealer, &self.plan.cluster)?;
        // A machine that was installed anew has another id: what was done on the old one says nothing about it.
        let machines = self.facts.hosts.iter().map(|(address, host)| (*address, host.machine_id.clone())).collect();
        let journal = Journal::open(&state.file(self.journal))?.with_machines(machines);
        let execute = ExecuteOptions::new(options.parallel, options.cancel.clone());
        let total = self.plan.steps.iter().map(|step| step.hosts.len()).sum();
        let tell = |step: runtime::Event| {
            self.times.note(&step);
            events(Event::Step { step });
        };
        let failed = |source| Error::Unfinished { done: journal.len().min(total), total, source };
        runtime::execute(self.plan, self.remotes, &delivery, &journal, &execute, &tell).await.map_err(failed)
    }
}

/// The secrets that the state holds, or ones that are forgotten again.
pub(crate) fn secrets(state: &ClusterState, runtime: &dyn Runtime, cluster: &Cluster) -> Result<Secrets, Error> {
    let specs = runtime.requirements().secrets;
    Ok(match Secrets::load(state.path(), specs)? {
        Some(secrets) => secrets,
        None => Secrets::make(cluster, specs)?,
    })
}

fn finish(
    state: &ClusterState,
    mut wanted: Clusterfile,
    prepared: &Prepared,
    plan: &Plan,
    report: &Report,
    nodes: Vec<Node>,
) -> Result<Applied, Error> {
    wanted.cluster.annotations.insert(APPLIED.to_owned(), prepared.image_digest());
    state.remember(&wanted)?;
    // What is done is done; a host that has to be mended later must not be skipped for having been made now.
    Journal::open(&state.file(JOURNAL))?.clear()?;
    Ok(Applied {
        name: wanted.cluster.name.clone(),
        outcome: if plan.steps.is_empty() { Outcome::Unchanged } else { Outcome::Changed },
        done: report.done,
        skipped: report.skipped,
        kubeconfig: state.file("kubeconfig"),
        nodes,
        cluster: wanted.cluster,
    })
}
