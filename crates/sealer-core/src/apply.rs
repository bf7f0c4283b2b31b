//! Makes a cluster match its Clusterfile, in eight steps: parse, fetch, provision, gather, plan, execute, release, remember.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use infra_provider::Context;
use runtime::{Access, Custom, Drain, Journal, Kubeconfig, Plan, Request, Requirements, Secrets};
use tokio_util::sync::CancellationToken;

use crate::change::{self, APPLIED};
use crate::consent::{Agreed, Consent};
use crate::executor::{self, Executed, Executor, JOURNAL};
use crate::nodes::nodes;
use crate::observe::{Observed, gather, look_again};
use crate::provision::{existing, leaving, provision, release};
use crate::report::{Applied, Outcome, Planned, addresses, left, left_out};
use crate::run::Run;
use crate::target::{Target, fetch, parse};
use crate::{
    ClusterState, Error, Event, Events, Sealer, Wanted, applications, cluster_copy, external_registry, operator_lock,
    takeover,
};

/// How to apply.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ApplyOptions {
    /// Hosts worked on at once.
    pub parallel: usize,
    /// Cancels between steps: running steps are finished, no new one is started.
    pub cancel: CancellationToken,
    /// Whether hosts may leave; asked before anything is changed.
    pub consent: Consent,
    /// Leave out wanted hosts that cannot be reached, instead of stopping at them; the report names them.
    ///
    /// Hosts that leave never have to be reached: the cluster forgets them all the same.
    pub ignore_unreachable: bool,
    /// How pods are moved away from hosts that leave or change.
    pub drain: Drain,
    /// How long the script of a plugin may take.
    pub plugin_timeout: Duration,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            parallel: 32,
            cancel: CancellationToken::new(),
            consent: Consent::default(),
            ignore_unreachable: false,
            drain: Drain::default(),
            plugin_timeout: Duration::from_secs(600),
        }
    }
}

/// Brings the cluster described by `wanted` into being, or says that it already is.
///
/// After any failure or kill, the same call again finishes the job.
///
/// # Errors
///
/// [`Error::Unsupported`] for what cannot be done yet; [`Error::Preflight`] and [`Error::NotConfirmed`] before anything
/// is changed; [`Error::Unfinished`] when a plan was started; [`Error::Interrupted`] when it was cancelled before that.
pub async fn apply(
    sealer: &Sealer,
    wanted: impl Into<Wanted>,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Applied, Error> {
    let run = Run { sealer, options, events };
    let wanted = parse(&run, wanted.into())?;
    let target = fetch(&run, wanted, false).await?;
    if target.is_application {
        return applications::run(&run, target).await;
    }
    target.check()?;
    takeover::of_listed_machines(&run, &target).await?;
    let state = sealer.state().lock(&target.cluster().name)?;
    let mut agreed = Agreed::default();
    let mut target = provision(&run, &state, target, &mut agreed).await?;
    let observed = gather(&run, &state, &target).await?;
    let mut observed = takeover::renew(&run, &state, &mut target, observed).await?;
    target.settle(&state, &mut observed.facts)?;
    target.read_for(&run, &observed.facts).await?;
    let missing = external_registry::look_for(&run, &target).await?;

    let secrets = Secrets::open(state.path(), target.cluster(), target.runtime.requirements().secrets)?;
    let (payload, kubeconfig) = (target.payload(&secrets), state.read("kubeconfig")?);
    let request = target.request(&observed.facts, &payload, kubeconfig.as_ref(), options);
    change::refuse_other_roles(&request)?;
    let findings = target.runtime.preflight(&request);
    if !findings.is_empty() {
        return Err(Error::Preflight(findings));
    }
    let plan = Arc::new(plan_steps(&target, &request, &observed)?);
    agreed.ask(&run, &plan).await?;
    if let Some(missing) = missing {
        missing.push(&run, &target).await?;
    }

    let access = target.runtime.access(&request)?;
    operator_lock::exclusively(&run, &state, observed.shared.claim(&plan), async |run| {
        let executed = execute(&run, &state, &target, &observed, &plan, &access).await?;
        remember(&run, &state, &target, &observed, &plan, &executed, &access).await
    })
    .await
}

/// What [`apply`] would do: the same steps up to the plan, without having hosts made and without executing. Consent is
/// not asked for.
///
/// # Errors
///
/// As [`apply`]; findings of the preflight are part of the answer.
pub async fn plan(
    sealer: &Sealer,
    wanted: impl Into<Wanted>,
    options: &ApplyOptions,
    events: Events<'_>,
) -> Result<Planned, Error> {
    let run = Run { sealer, options, events };
    let wanted = parse(&run, wanted.into())?;
    let target = fetch(&run, wanted, true).await?;
    if target.is_application {
        return applications::plan(&run, target).await;
    }
    let refused = target.runtime.supports(&target.wanted, &target.image).err();
    if !target.has_hosts() {
        return match refused {
            Some(refused @ runtime::Error::ApplicationImage { .. }) => Err(refused.into()),
            refused => Ok(not_made_yet(&target, refused)),
        };
    }
    refused.map_or(Ok(()), Err)?;
    let state = sealer.state().to_look_at().lock(&target.cluster().name)?;
    let (mut target, provider) = existing(target)?;
    let observed = gather(&run, &state, &target).await?;
    let mut observed = takeover::renew(&run, &state, &mut target, observed).await?;
    target.settle(&state, &mut observed.facts)?;
    target.read_for(&run, &observed.facts).await?;
    let missing = external_registry::look_for(&run, &target).await?;
    target.notes.extend(missing.map(|missing| missing.note()));

    let secrets = kept_secrets(&state, &target)?;
    let (payload, kubeconfig) = (target.payload(&secrets), state.read("kubeconfig")?);
    let request = target.request(&observed.facts, &payload, kubeconfig.as_ref(), options);
    change::refuse_other_roles(&request)?;
    let findings = target.runtime.preflight(&request);
    let plan = plan_steps(&target, &request, &observed)?;
    let unreachable = left_out(target.cluster(), &observed.facts);
    Ok(Planned { provider, plan, findings, refused: None, given_back: machines_left(&target, &observed), unreachable })
}

fn not_made_yet(target: &Target<'_>, refused: Option<runtime::Error>) -> Planned {
    let mut plan = Plan::new(&target.cluster().name);
    plan.notes.extend(target.notes.iter().chain(&target.launch.notes).cloned());
    let provider = target.provider.describe(target.cluster());
    Planned { provider, refused, ..Planned::of(plan) }
}

/// The runtime's plan, with all hosts that leave. One that leaves out a machine that must change is refused.
fn plan_steps(target: &Target<'_>, request: &Request<'_>, observed: &Observed) -> Result<Plan, Error> {
    let mut plan = target.runtime.plan(request)?;
    plan.notes.splice(0..0, target.notes.iter().chain(&target.launch.notes).cloned());
    let changes = |host| {
        plan.steps.iter().any(|step| {
            let is_change = matches!(&step.action, runtime::Action::Custom(act) if act.name == Custom::MACHINE_CHANGE);
            is_change && step.hosts.contains(&host)
        })
    };
    if !target.updates.iter().all(|update| changes(update.host)) {
        return Err(Error::NotSupported {
            what: format!("changing machines of a cluster of {}", target.runtime.name()),
        });
    }
    let mut hosts = plan.steps.iter().flat_map(|step| &step.hosts);
    if let Some(host) = hosts.find(|host| !observed.remotes.contains_key(host)) {
        let what = format!("going on without {host} in a cluster of {}", target.runtime.name());
        return Err(Error::NotSupported { what });
    }
    // A machine may have left the cluster, or never have been part of it, and still have to be given back.
    for address in machines_left(target, observed) {
        if !plan.hosts.iter().any(|host| host.address == address) {
            let known = observed.others.iter().find(|host| host.address == address);
            let host = known.cloned().unwrap_or_else(|| clusterfile::Host::new(address, clusterfile::Role::Node));
            plan.hosts.push(leaving(&host));
        }
    }
    // Those that an earlier request lets go may go on leaving.
    let known = |host: &IpAddr| target.current.as_ref().is_some_and(|current| change::is_leaving(current, *host));
    let hosts: Vec<IpAddr> = plan.leaving().map(|host| host.address).filter(|host| !known(host)).collect();
    if target.keeps_hosts && !hosts.is_empty() {
        return Err(Error::HostsNotNamed { cluster: plan.cluster, hosts });
    }
    Ok(plan)
}

/// The hosts whose machines their provider takes back in the end.
fn machines_left(target: &Target<'_>, observed: &Observed) -> Vec<IpAddr> {
    if !target.provider.owns_hosts() {
        return Vec::new();
    }
    let mut hosts = addresses(&observed.others);
    hosts.extend(&target.unclaimed);
    hosts.sort_unstable();
    hosts.dedup();
    hosts.retain(|host| target.cluster().host(*host).is_none());
    hosts
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
    executor::check(run, plan, observed)?;
    // Hosts that exist anyway are saved only now, when something is about to be done to them: a mistyped address has no
    // consequences.
    state.remember(&change::under_way(target.current.as_ref(), &target.wanted, &observed.others))?;
    cluster_copy::check(state)?;
    if !plan.is_empty() {
        // Whoever goes on after this machine is lost must know what was begun.
        observed.shared.save(run, state, target.cluster(), &requirements(target), &observed.remotes, None).await?;
    }
    if let Kubeconfig::New(kubeconfig) = &access.kubeconfig {
        state.write("kubeconfig", kubeconfig.expose().as_bytes())?;
    }
    let (cluster, provider) = (target.cluster(), target.provider);
    let executor = Executor { run: *run, state, cluster, provider, observed, journal: JOURNAL };
    executor.execute(plan).await
}

/// Gives back what left, saves that the cluster is as wanted, and tells what it looks like now.
async fn remember(
    run: &Run<'_>,
    state: &ClusterState,
    target: &Target<'_>,
    observed: &Observed,
    plan: &Plan,
    executed: &Executed,
    access: &Access,
) -> Result<Applied, Error> {
    let cluster = target.cluster();
    let tell = |provider| run.tell(Event::Provider { provider });
    for update in &target.updates {
        target.provider.updated(cluster, update.host, &Context::new(state.path(), &tell)).await?;
    }
    let given_back = machines_left(target, observed);
    let report = &executed.report;
    let unchanged = report.done + report.skipped == 0 && given_back.is_empty();
    // Before machines go: one of them may be the way to the others.
    let facts = if unchanged { None } else { Some(look_again(run, observed, target.runtime, cluster).await) };
    release(run, state, target, &given_back).await?;

    let mut wanted = target.wanted.clone();
    wanted.cluster.annotations.insert(APPLIED.to_owned(), target.image.digest.clone());
    state.remember(&wanted)?;
    // What is done is done; a host that has to be fixed later must not be skipped for having been made now.
    Journal::open(&state.file(JOURNAL))?.clear()?;
    let gone: Vec<IpAddr> = plan.leaving().map(|host| host.address).collect();
    state.forget_host_keys(&gone)?;
    applications::remember(state, target)?;
    observed.shared.save(run, state, cluster, &requirements(target), &observed.remotes, facts.as_ref()).await?;

    let unreachable = left_out(cluster, &observed.facts);
    Ok(Applied {
        name: cluster.name.clone(),
        outcome: match (unreachable.is_empty(), unchanged) {
            (false, _) => Outcome::Partly,
            (true, true) => Outcome::Unchanged,
            (true, false) => Outcome::Changed,
        },
        done: report.done,
        skipped: report.skipped,
        kubeconfig: (!matches!(access.kubeconfig, Kubeconfig::None)).then(|| state.file("kubeconfig")),
        nodes: nodes(cluster, facts.as_ref().unwrap_or(&observed.facts), &executed.times),
        left: left(plan, &observed.facts, &given_back),
        unreachable,
        cluster: wanted.cluster,
    })
}

fn requirements(target: &Target<'_>) -> Requirements {
    target.runtime.requirements()
}

/// The secrets that the state holds, or ones that are forgotten again.
fn kept_secrets(state: &ClusterState, target: &Target<'_>) -> Result<Secrets, Error> {
    let specs = target.runtime.requirements().secrets;
    Ok(match Secrets::load(state.path(), specs)? {
        Some(secrets) => secrets,
        None => Secrets::make(target.cluster(), specs)?,
    })
}
