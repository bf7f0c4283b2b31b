//! Shows the progress of a change to a cluster: one line per host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealer_core::infra_provider::ProviderEvent;
use sealer_core::runtime::{self, Action, Plan, PlannedHost};
use sealer_core::{Event, runtime::execute::Progress};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::screen::Screen;
use super::transfer::Transfer;
use super::{Mode, commands};
use crate::interrupt;
use crate::output::layout::{RIGHT, bar, last_parts, pad, printable, shorten};
use crate::output::units;

/// A step that takes less is not worth a line that stays.
const NOTABLE: u64 = 1000;
/// Cells of a bar.
const CELLS: u64 = 14;
/// Columns of names: an IPv4 address fits.
const NAME: usize = 15;

/// Shows the progress of a change to a cluster.
#[derive(Debug)]
pub(crate) struct ClusterProgress {
    screen: Screen,
    verbose: bool,
    changes: Mutex<Changes>,
    pull: Transfer,
}

/// What is known of the change under way.
#[derive(Debug, Default)]
struct Changes {
    plan: Arc<Plan>,
    image: String,
    hosts: BTreeMap<IpAddr, HostLine>,
}

/// What one host does.
#[derive(Debug, Default)]
struct HostLine {
    role: String,
    finished: Vec<String>,
    current: Option<String>,
    /// How far its content is, and since when it moves.
    moving: Option<(Progress, Instant)>,
    /// Hosts that its content comes from, besides this machine.
    sources: Vec<IpAddr>,
}

impl ClusterProgress {
    pub(crate) fn new(mode: Mode, verbose: bool) -> Self {
        Self { screen: Screen::new(mode), verbose, changes: Mutex::default(), pull: Transfer::default() }
    }

    /// Takes an event, from any thread.
    pub(crate) fn event(&self, event: &Event) {
        if !self.screen.takes(event) {
            return;
        }
        match event {
            Event::Phase { name, detail, millis } => {
                self.screen.unset("waiting");
                self.row(name, detail, Some(*millis));
            }
            Event::Provider { provider } => self.provider(provider),
            Event::Waiting { hosts, reason } => self.waiting(hosts, reason),
            Event::HostKey { host, algorithm, fingerprint, contradicts: false, .. } => {
                self.row(host, &format!("new host key {algorithm} {fingerprint}"), None);
            }
            Event::HostKey { host, algorithm, fingerprint, .. } => self.screen.warning(&format!(
                "{host} shows the host key {algorithm} {fingerprint}, which known_hosts contradicts; it gets no password"
            )),
            Event::Planned { hosts, image, plan, .. } => self.planned(hosts, image, plan),
            Event::Step { step } => self.step(step),
            Event::Transfer { transfer } => self.pull.show(&self.screen, transfer),
            Event::Warning { message } => self.screen.warning(message),
            _ => {}
        }
    }

    /// The first interrupt cancels after the steps under way and says so, the second ends at once.
    pub(crate) fn cancel_on_interrupt(&self, token: CancellationToken) -> JoinHandle<()> {
        let tell = self.screen.teller();
        interrupt::cancel(token, move || tell("interrupted: finishing the steps under way; once more stops at once"))
    }

    /// Whether programs read what is told: a person cannot be asked between the lines.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.screen.is_for_programs()
    }

    /// Does something on the terminal while nothing else is shown there.
    pub(crate) fn suspender(&self) -> impl Fn(&mut dyn FnMut()) + Send + Sync + 'static {
        self.screen.suspender()
    }

    /// Removes what is still shown.
    pub(crate) fn finish(&self) {
        self.screen.clear();
    }

    fn provider(&self, event: &ProviderEvent) {
        match event {
            ProviderEvent::Creating { host, address } => self.alive(*address, &format!("making {host}")),
            ProviderEvent::Restarting { host, address } => self.alive(*address, &format!("starting {host}")),
            ProviderEvent::Ready { host, address, failed_units } => {
                self.alive(*address, &format!("{host} is ready"));
                if !failed_units.is_empty() {
                    self.screen.warning(&format!("on {host} these units fail: {}", failed_units.join(" ")));
                } else if !self.screen.is_terminal() {
                    self.row(&address.to_string(), &format!("{host} is ready"), None);
                }
            }
            ProviderEvent::Unclaimed { host, address } => {
                self.screen.warning(&format!("{host} ({address}) is not asked for any more"));
            }
            ProviderEvent::Released { host, address } => {
                let address = address.map(|address| address.to_string()).unwrap_or_default();
                self.row(&address, &format!("{host} is gone"), None);
            }
            ProviderEvent::Ordering { role, count, instance_type } => {
                self.row("machines", &format!("ordering {} of {instance_type}", units::count(*count, role)), None);
            }
            ProviderEvent::Resizing { host, instance_type } => {
                self.row("machines", &format!("{host} becomes {instance_type}"), None);
            }
            ProviderEvent::Waiting { what, milliseconds, reason } => self.pause(what, *milliseconds, reason.as_deref()),
            ProviderEvent::Lost { machine, .. } => {
                self.screen.warning(&format!("machine {machine} vanished while it was made; another is ordered"));
            }
            ProviderEvent::Made { what, id } => self.row("made", &format!("{what} {id}"), None),
            ProviderEvent::Freed { what, id } => self.row("freed", &format!("{what} {id}"), None),
            _ => {}
        }
    }

    /// A wait that a refusal caused stays to be read; one that is planned is only seen while it lasts.
    fn pause(&self, what: &str, milliseconds: u64, reason: Option<&str>) {
        let time = units::duration(Duration::from_millis(milliseconds));
        match reason {
            Some(reason) => {
                let line = format!("{what} again in {time}: {}", printable(reason));
                let refused = milliseconds >= NOTABLE || self.verbose;
                if refused { self.row("waiting", &line, None) } else { self.say_now("waiting", &line) }
            }
            None if self.verbose => self.row("waiting", &format!("{time} for {what}"), None),
            None => self.say_now("waiting", &format!("{time} for {what}")),
        }
    }

    /// Hosts that are still starting.
    fn waiting(&self, hosts: &[IpAddr], reason: &str) {
        let line = format!("for SSH on {}: {}", units::count(hosts.len(), "host"), printable(reason));
        if self.screen.is_terminal() { self.say_now("waiting", &line) } else { self.row("waiting", &line, None) }
    }

    /// A line that is replaced by the next one of this name.
    fn say_now(&self, name: &str, text: &str) {
        self.screen.set(name, &format!(" {} {text}", pad(name, NAME)));
    }

    fn planned(&self, hosts: &[PlannedHost], image: &str, plan: &Arc<Plan>) {
        self.screen.clear();
        let line = |host: &PlannedHost| HostLine { role: host.role.clone(), ..HostLine::default() };
        let lines = hosts.iter().map(|host| (host.address, line(host)));
        *self.changes() = Changes { plan: Arc::clone(plan), image: image.to_owned(), hosts: lines.collect() };
        for host in hosts {
            self.refresh(host.address);
        }
    }

    fn step(&self, event: &runtime::Event) {
        match event {
            runtime::Event::Resuming { done, total } => {
                self.screen.line(&format!("resuming: {done} of {total} steps are done"));
            }
            runtime::Event::Started { host, step, title } => self.started(*host, step, title),
            runtime::Event::Moving { host, progress, .. } => {
                if let Some(line) = self.changes().hosts.get_mut(host) {
                    let since = line.moving.map_or_else(Instant::now, |(_, since)| since);
                    line.moving = Some((*progress, since));
                }
                self.refresh(*host);
            }
            runtime::Event::Output { line, .. } => self.row(&self.image(), &format!("| {}", printable(line)), None),
            runtime::Event::Finished { host, step, title, millis } => self.finished(*host, step, title, *millis),
            runtime::Event::Failed { host, title, .. } => {
                self.row(&host.to_string(), &format!("{}: failed", printable(title)), None);
            }
            _ => {}
        }
    }

    fn started(&self, host: IpAddr, step: &str, title: &str) {
        let plan = Arc::clone(&self.changes().plan);
        let action = plan.steps.iter().find(|known| known.id == step).map(|known| &known.action);
        if let Some(line) = self.changes().hosts.get_mut(&host) {
            line.current = Some(printable(title));
            line.moving = None;
            line.sources = match action {
                Some(Action::Content(content)) => content.sources.iter().map(|source| source.ip()).collect(),
                _ => Vec::new(),
            };
        }
        if self.verbose {
            self.row(&host.to_string(), &format!("> {}", printable(title)), None);
            for command in action.map(|action| commands::of(action, &plan)).unwrap_or_default() {
                self.screen.line(&format!("      {command}"));
            }
        }
        self.refresh(host);
    }

    fn finished(&self, host: IpAddr, step: &str, title: &str, millis: u64) {
        if let Some(line) = self.changes().hosts.get_mut(&host) {
            line.current = None;
            line.moving = None;
            line.finished.push(printable(title));
        }
        // What the image launches belongs to the cluster, not to the host on which it happens to run.
        if self.is_launch(step) {
            self.row(&self.image(), title, Some(millis));
        } else if self.verbose || (!self.screen.is_terminal() && millis >= NOTABLE) {
            self.row(&host.to_string(), title, Some(millis));
        }
        self.refresh(host);
    }

    fn is_launch(&self, step: &str) -> bool {
        let plan = Arc::clone(&self.changes().plan);
        let action = plan.steps.iter().find(|known| known.id == step).map(|known| &known.action);
        matches!(action, Some(Action::Run(run)) if run.show_output)
    }

    /// Shows what a host does now.
    fn refresh(&self, host: IpAddr) {
        let text = {
            let board = self.changes();
            let Some(line) = board.hosts.get(&host) else { return };
            line.text(self.screen.room().saturating_sub(NAME + 2))
        };
        self.alive(host, &text);
    }

    fn alive(&self, host: IpAddr, text: &str) {
        self.screen.set(&host.to_string(), &format!(" {} {text}", pad(&host.to_string(), NAME)));
    }

    /// A line that stays: what it concerns, what happened, and how long it took on the right.
    fn row(&self, name: &str, text: &str, millis: Option<u64>) {
        let name = pad(&shorten(name, NAME.max(24)), NAME);
        let Some(millis) = millis else {
            return self.screen.line(&format!(" {name} {text}"));
        };
        let time = units::duration(Duration::from_millis(millis));
        let room = self.screen.width().saturating_sub(name.chars().count() + RIGHT + 3);
        self.screen.line(&format!(" {name} {} {time:>RIGHT$}", pad(&shorten(&printable(text), room), room)));
    }

    fn image(&self) -> String {
        self.changes().image.clone()
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostLine {
    /// What was done, and what is under way.
    fn text(&self, room: usize) -> String {
        let role = pad(&self.role, "master".len());
        let room = room.saturating_sub(role.len() + 2);
        // What another host sends does not pass here; what does is only talk about it.
        let talk = |progress: &Progress| if self.sources.is_empty() { 0 } else { progress.total / 100 };
        if let Some((progress, since)) = self.moving.filter(|(progress, _)| progress.done > talk(progress)) {
            let Progress { done, total } = progress;
            let far = units::progress(done, total);
            return format!(
                "{role}  content {}  {far}  {}",
                bar(done, total, CELLS),
                units::rate(done, since.elapsed())
            );
        }
        let mut parts = self.finished.clone();
        match (&self.current, self.sources.first()) {
            (Some(title), Some(source)) => parts.push(format!("{title} from {source} …")),
            (Some(title), None) => parts.push(format!("{title} …")),
            (None, _) => parts.push("waiting".to_owned()),
        }
        format!("{role}  {}", last_parts(&parts, room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_shows_what_it_does() {
        let mut line = HostLine { role: "node".to_owned(), ..HostLine::default() };
        assert_eq!(line.text(60), "node    waiting");
        line.current = Some("content 412 MB".to_owned());
        line.sources = vec![IpAddr::from([10, 0, 0, 1])];
        assert_eq!(line.text(60), "node    content 412 MB from 10.0.0.1 …");
        line.moving = Some((Progress { done: 206_000_000, total: 412_000_000 }, Instant::now()));
        assert!(line.text(60).starts_with("node    content ███████░░░░░░░  206/412 MB"), "{}", line.text(60));
        line.moving = None;
        line.sources.clear();
        line.finished = vec!["claim".to_owned(), "content 412 MB".to_owned()];
        line.current = Some("kubeadm join".to_owned());
        assert_eq!(line.text(60), "node    claim · content 412 MB · kubeadm join …");
        assert_eq!(line.text(30), "node    … · kubeadm join …");
    }
}
