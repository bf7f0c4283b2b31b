//! The fake itself: what goes in, what comes out, and what can be queried afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::decide::{Decision, Moment, State};
use crate::fault::{Disconnect, Fault};
use crate::hook::{Addresses, InstanceHook, InstanceSeed};
use crate::log::Call;
use crate::options::Options;
use crate::stock::StockRule;
use crate::world::{Phase, Task, World};

/// One account of a cloud. Clones are the same account.
#[derive(Clone)]
pub struct Double {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    options: Arc<Options>,
    hook: Option<Arc<dyn InstanceHook>>,
    state: Mutex<State>,
    disconnected: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// The caller gets no answer: the connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Whether the call did what it should all the same. A real caller cannot know.
    pub effect: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection broke before the answer")
    }
}

impl std::error::Error for Lost {}

impl Double {
    /// An empty account. Must be called inside a tokio runtime: its time starts to count now.
    #[must_use]
    pub fn new(options: Options) -> Double {
        Double::build(options, None)
    }

    /// An empty account whose instances are made real.
    #[must_use]
    pub fn with_hook(options: Options, hook: Arc<dyn InstanceHook>) -> Double {
        Double::build(options, Some(hook))
    }

    fn build(options: Options, hook: Option<Arc<dyn InstanceHook>>) -> Double {
        let options = Arc::new(options);
        let state = State::new(Arc::clone(&options), hook.is_some());
        let inner = Inner {
            clock: Clock::starting_at(options.wall_start),
            options,
            hook,
            state: Mutex::new(state),
            disconnected: watch::Sender::new(false),
            tasks: Mutex::default(),
        };
        Double { inner: Arc::new(inner) }
    }

    /// Answers one request, whole: method, path and query, headers with the signed ones, body.
    /// A caller who stops waiting does not stop the call.
    ///
    /// # Errors
    ///
    /// [`Lost`] when a fault breaks the connection.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Lost> {
        let (response, slow) = self.answer(request).await?;
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        Ok(response)
    }

    /// The answer, and how much later than its head its body comes.
    pub(crate) async fn answer(&self, request: Request<Bytes>) -> Result<(Response<Bytes>, Duration), Lost> {
        let double = self.clone();
        let task = tokio::spawn(async move { double.perform(request).await });
        match task.await {
            Ok(Decision::Answer { response, slow }) => Ok((*response, slow)),
            Ok(Decision::Lost { effect }) => Err(Lost { effect }),
            Ok(Decision::Withheld) => {
                self.inner.disconnected.send_replace(true);
                std::future::pending().await
            }
            Err(_) => Err(Lost { effect: false }),
        }
    }

    async fn perform(&self, request: Request<Bytes>) -> Decision {
        let half = self.inner.options.timing.call / 2;
        let arrived = self.inner.clock.now();
        let concurrency = self.state().enter();
        tokio::time::sleep(half).await;
        let now = self.inner.clock.now();
        let moment = Moment { arrived, now, wall: self.inner.clock.wall(now), answered: now + half, concurrency };
        let decision = self.state().decide(request, moment);
        self.run_tasks();
        tokio::time::sleep(half).await;
        self.state().leave();
        decision
    }

    /// All calls so far, in the order in which they took effect.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many calls were ever made, forgotten ones included: where [`Double::disconnect`] and [`Fault::at_call`] count on.
    #[must_use]
    pub fn calls_made(&self) -> usize {
        self.state().decided
    }

    /// How many calls of one action were ever let in: where [`Fault::at`] counts on.
    #[must_use]
    pub fn calls_made_of(&self, action: &str) -> usize {
        self.state().faults.count(action)
    }

    /// Forgets the calls so far, and the peak; states and counters of faults stay.
    pub fn forget_calls(&self) {
        self.state().forget_calls();
    }

    /// Calls that were refused.
    #[must_use]
    pub fn refused(&self) -> Vec<Call> {
        self.calls().into_iter().filter(Call::is_refused).collect()
    }

    /// The most calls that were ever under way at the same time.
    #[must_use]
    pub fn peak_concurrency(&self) -> usize {
        self.state().peak
    }

    /// Calls that came although an answer had said to come later.
    #[must_use]
    pub fn too_early(&self) -> usize {
        self.state().throttled.too_early()
    }

    /// Everything that still exists and was not there before; empty after a good delete.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.settled().world.leftovers()
    }

    /// What must never be done and was tried: to delete what belongs to the user.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Instances that were ever made, whether they still exist or not.
    #[must_use]
    pub fn instances_made(&self) -> usize {
        self.state().world.instances_made
    }

    /// How many of each exist: `vpcs`, `vswitches`, `security groups`, `instances`, `eips`, `key pairs`.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.settled().world.counts()
    }

    /// The rules of a security group as `TCP 22/22 from 192.0.2.0/24`.
    #[must_use]
    pub fn rules(&self, security_group: &str) -> Vec<String> {
        let state = self.state();
        let group = state.world.groups.iter().find(|group| group.id == security_group);
        let rules = group.map(|group| group.rules.as_slice()).unwrap_or_default();
        rules.iter().map(|rule| format!("{} {} from {}", rule.protocol, rule.ports, rule.source)).collect()
    }

    /// Time since the double was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.inner.clock.now()
    }

    /// The double's time of day.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.inner.clock.wall(self.now())
    }

    /// Plans a fault.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.plan(fault);
    }

    /// Sells from now on by these rules.
    pub fn set_stock(&self, rules: Vec<StockRule>) {
        self.state().set_stock(rules);
    }

    /// From some call on, callers wait in vain. Calls are counted from the making of the double.
    pub fn disconnect(&self, disconnect: Disconnect) {
        self.inner.disconnected.send_replace(false);
        self.state().disconnect = Some(disconnect);
    }

    /// Waits until the first caller waits in vain.
    pub async fn disconnected(&self) {
        // The sender lives as long as `self`.
        let _ = self.inner.disconnected.subscribe().wait_for(|disconnected| *disconnected).await;
    }

    /// Answers everybody again.
    pub fn reconnect(&self) {
        self.state().disconnect = None;
    }

    /// Waits until everything that the hook was asked to do is done.
    pub async fn quiesce(&self) {
        drop(self.settled());
        self.run_tasks();
        loop {
            let tasks: Vec<JoinHandle<()>> =
                self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
            if tasks.is_empty() {
                return;
            }
            for task in tasks {
                if let Err(error) = task.await {
                    self.state().violations.push(format!("the hook failed: {error}"));
                }
            }
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as it is now.
    pub(crate) fn settled(&self) -> MutexGuard<'_, State> {
        let now = self.inner.clock.now();
        let mut state = self.state();
        state.world.settle(now);
        state
    }

    fn run_tasks(&self) {
        let tasks = std::mem::take(&mut self.state().world.tasks);
        let Some(hook) = &self.inner.hook else { return };
        for task in tasks {
            let (double, hook) = (self.clone(), Arc::clone(hook));
            let handle = tokio::spawn(async move { double.run_task(hook.as_ref(), task).await });
            self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
    }

    async fn run_task(&self, hook: &dyn InstanceHook, task: Task) {
        match task {
            Task::Release(id) => hook.released(&id).await,
            Task::Bind { instance, eip } => hook.bound(&instance, eip).await,
            Task::Start(id) => {
                let Some(seed) = seed(&self.state().world, &id) else { return };
                let started = hook.started(&seed).await;
                self.state().host_made(&id, started);
            }
        }
    }
}

impl fmt::Debug for Double {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Double").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

fn seed(world: &World, id: &str) -> Option<InstanceSeed> {
    let instance = world.instances.iter().find(|instance| instance.id == id)?;
    let pair = world
        .key_pairs
        .iter()
        .find(|pair| Some(&pair.name) == instance.key_pair.as_ref() && pair.region == instance.region);
    Some(InstanceSeed {
        id: id.to_string(),
        host_name: instance.host_name.clone(),
        private_ip: instance.private_ip,
        user_data: instance.user_data.clone(),
        public_key: pair.and_then(|pair| pair.public_key.clone()),
        password: instance.password.clone(),
    })
}

impl State {
    /// A machine is real now, or never will be.
    fn host_made(&mut self, id: &str, made: Result<Addresses, String>) {
        let Some(instance) = self.world.instances.iter_mut().find(|instance| instance.id == id) else { return };
        match made {
            Ok(addresses) => {
                instance.awaits_host = false;
                instance.private_ip = addresses.private.unwrap_or(instance.private_ip);
                instance.hook_public = addresses.public;
            }
            Err(reason) => {
                instance.phase = Phase::Releasing { until: Duration::ZERO };
                self.violations.push(format!("no machine for {id}: {reason}"));
            }
        }
    }
}
