//! Makes a cluster match its Clusterfile, in eight steps: parse, fetch, provision, diff, gather, plan, execute, remember.

use std::path::PathBuf;
use std::sync::Arc;

use clusterfile::Cluster;
use infra_provider::Context;
use runtime::{Access, Custom, Journal, Kubeconfig, Plan, Request, Secrets};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::change::{APPLIED, diff, refuse};
use crate::executor::{self, Executed, Executor, JOURNAL};
use crate::nodes::{Node, nodes};
use crate::observe::{Observed, gather, look_again};
use crate::provision::{existing, provision, refuse_other_machines};
use crate::run::Run;
use crate::target::{Target, fetch, parse};
use crate::{ClusterState, Error, Event, Events, Sealer, Wanted};

/// How to apply.
#[derive(Debug, Clone)]
#[non_exhaustive]
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
    /// Where the administrator's kubeconfig is; `None` when the runtime gives none.
    pub kubeconfig: Option<PathBuf>,
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
/// [`Error::Unfinished`] when a plan was started; [`Error::Interrupted`] when it was cancelled before that.
pub async fn apply(
    sealer: &Sealer,
    wanted: impl Into<Wanted>,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Applied, Error> {
    let run = Run { sealer, options, events };
    let wanted = parse(&run, wanted.into())?;
    let target = fetch(&run, wanted).await?;
    target.check()?;
    let state = sealer.state().lock(&target.cluster().name)?;
    let target = provision(&run, &state, target).await?;
    let change = diff(&target);
    let observed = gather(&run, &state, &target, &change).await?;

    let secrets = Secrets::open(state.path(), target.cluster(), target.runtime.requirements().secrets)?;
    let (payload, kubeconfig) = (target.payload(&secrets), state.read("kubeconfig")?);
    let request = target.request(&observed.facts, &payload, kubeconfig.as_ref());
    refuse(&change, &request)?;
    let findings = target.runtime.preflight(&request);
    if !findings.is_empty() {
        return Err(Error::Preflight(findings));
    }
    let plan = Arc::new(plan_steps(&target, &request)?);

    let access = target.runtime.access(&request)?;
    let executed = execute(&run, &state, &target, &observed, &plan, &access).await?;
    remember(&run, &state, &target, &observed, &executed, &access).await
}

/// What [`apply`] would do: the same steps up to the plan, without having hosts made and without executing.
///
/// # Errors
///
/// As [`apply`]; findings of the preflight are part of the answer.
pub async fn plan(sealer: &Sealer, wanted: impl Into<Wanted>, events: Events<'_>) -> Result<Planned, Error> {
    let run = Run { sealer, options: &ApplyOptions::default(), events };
    let wanted = parse(&run, wanted.into())?;
    let target = fetch(&run, wanted).await?;
    let refused = target.runtime.supports(&target.wanted, &target.image).err();
    if !target.has_hosts() {
        return match refused {
            Some(refused @ runtime::Error::ApplicationImage { .. }) => Err(refused.into()),
            refused => Ok(not_made_yet(&target, refused)),
        };
    }
    refused.map_or(Ok(()), Err)?;
    let state = sealer.state().to_look_at().lock(&target.cluster().name)?;
    refuse_other_machines(&run, &state, &target).await?;
    let target = existing(target);
    let change = diff(&target);
    let observed = gather(&run, &state, &target, &change).await?;

    let secrets = kept_secrets(&state, &target)?;
    let (payload, kubeconfig) = (target.payload(&secrets), state.read("kubeconfig")?);
    let request = target.request(&observed.facts, &payload, kubeconfig.as_ref());
    refuse(&change, &request)?;
    let findings = target.runtime.preflight(&request);
    let plan = plan_steps(&target, &request)?;
    Ok(Planned { provider: Vec::new(), plan, findings, refused: None })
}

fn not_made_yet(target: &Target<'_>, refused: Option<runtime::Error>) -> Planned {
    let mut plan = Plan::new(&target.cluster().name);
    plan.notes.clone_from(&target.notes);
    Planned { provider: target.provider.describe(target.cluster()), plan, findings: Vec::new(), refused }
}

/// The runtime's plan. One that leaves out a machine that must change is refused.
fn plan_steps(target: &Target<'_>, request: &Request<'_>) -> Result<Plan, Error> {
    let mut plan = target.runtime.plan(request)?;
    plan.notes.splice(0..0, target.notes.iter().cloned());
    let changes = |host| {
        plan.steps.iter().any(|step| {
            let is_change = matches!(&step.action, runtime::Action::Custom(act) if act.name == Custom::MACHINE_CHANGE);
            is_change && step.hosts.contains(&host)
        })
    };
    if target.updates.iter().all(|update| changes(update.host)) {
        return Ok(plan);
    }
    Err(Error::NotSupported { what: format!("changing machines of a cluster of {}", target.runtime.name()) })
}

/// Saves what is about to be done, and executes the plan.
async fn execute(
    run: &Run<'_>,
    state: &ClusterState,
    target: &Target<'_>,
    observed: &Observed,
    plan: &Arc<Plan>,
    access: &Access,
) -> Result<Executed, Error> {
    executor::check(run, plan)?;
    // Hosts that exist anyway are saved only now, when something is about to be done to them: a mistyped address has no
    // consequences.
    state.remember(&target.wanted)?;
    if let Kubeconfig::New(kubeconfig) = &access.kubeconfig {
        state.write("kubeconfig", kubeconfig.expose().as_bytes())?;
    }
    let (cluster, provider) = (target.cluster(), target.provider);
    let executor = Executor { run: *run, state, cluster, provider, observed, journal: JOURNAL };
    executor.execute(plan).await
}

/// Saves that the cluster is as wanted, and tells what it looks like now.
async fn remember(
    run: &Run<'_>,
    state: &ClusterState,
    target: &Target<'_>,
    observed: &Observed,
    executed: &Executed,
    access: &Access,
) -> Result<Applied, Error> {
    let cluster = target.cluster();
    let tell = |provider| run.tell(Event::Provider { provider });
    for update in &target.updates {
        target.provider.updated(cluster, update.host, &Context::new(state.path(), &tell)).await?;
    }
    let mut wanted = target.wanted.clone();
    wanted.cluster.annotations.insert(APPLIED.to_owned(), target.image.digest.clone());
    state.remember(&wanted)?;
    // What is done is done; a host that has to be fixed later must not be skipped for having been made now.
    Journal::open(&state.file(JOURNAL))?.clear()?;

    let report = &executed.report;
    let unchanged = report.done + report.skipped == 0;
    let facts = if unchanged { None } else { Some(look_again(run, observed, target.runtime, &cluster.name).await) };
    Ok(Applied {
        name: cluster.name.clone(),
        outcome: if unchanged { Outcome::Unchanged } else { Outcome::Changed },
        done: report.done,
        skipped: report.skipped,
        kubeconfig: (!matches!(access.kubeconfig, Kubeconfig::None)).then(|| state.file("kubeconfig")),
        nodes: nodes(cluster, facts.as_ref().unwrap_or(&observed.facts), &executed.times),
        cluster: wanted.cluster,
    })
}

/// The secrets that the state holds, or ones that are forgotten again.
fn kept_secrets(state: &ClusterState, target: &Target<'_>) -> Result<Secrets, Error> {
    let specs = target.runtime.requirements().secrets;
    Ok(match Secrets::load(state.path(), specs)? {
        Some(secrets) => secrets,
        None => Secrets::make(target.cluster(), specs)?,
    })
}
