//! Measures how long clients are affected when a server is killed, freezes, or becomes unreachable.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::backend::Backends;
use super::client::{Clients, ask_afresh};
use super::contender::{Contender, Orders};
use super::world::{World, within};
use crate::error::{Error, Result};

/// So long a fault is looked at.
pub(super) const WINDOW: Duration = Duration::from_secs(8);
/// All is over when nothing failed for so long.
const CALM: Duration = Duration::from_millis(1600);
/// The time before the fault: checks have found their rhythm.
const SETTLING: Duration = Duration::from_millis(900);
/// How long a start may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The server that is hurt.
const VICTIM: u8 = 2;

/// What happens to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL: its kernel refuses connections.
    Killed,
    /// SIGSTOP: its kernel accepts connections, nobody answers.
    Frozen,
    /// Its cable is pulled: packets vanish.
    BlackHoled,
}

impl Fault {
    /// All of them.
    pub(super) const ALL: [Fault; 3] = [Fault::Killed, Fault::Frozen, Fault::BlackHoled];

    /// In a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::Killed => "killed",
            Fault::Frozen => "frozen",
            Fault::BlackHoled => "black-holed",
        }
    }

    fn strike(self, world: &World, backends: &mut Backends) -> Result<()> {
        match self {
            Fault::Killed => backends.kill(VICTIM),
            Fault::Frozen => backends.signal(VICTIM, Signal::SIGSTOP),
            Fault::BlackHoled => world.wire(VICTIM, false)?,
        }
        Ok(())
    }

    fn undo(self, world: &World, backends: &mut Backends) -> Result<()> {
        match self {
            Fault::Killed => backends.again(world, VICTIM)?,
            Fault::Frozen => backends.signal(VICTIM, Signal::SIGCONT),
            Fault::BlackHoled => world.wire(VICTIM, true)?,
        }
        Ok(())
    }
}

/// What clients noticed of one fault; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suffering {
    /// Requests in the rhythm that failed.
    pub(super) failed: u64,
    /// From the fault to the last of them.
    pub(super) until: u64,
    /// The longest time without an answer of one who asks one after the other.
    pub(super) gap: u64,
    /// The same of one with a kept connection.
    pub(super) kept: u64,
}

/// A figure with its contender and fault, as a line that the user-mode Linux hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    /// Name of the contender.
    pub(super) contender: String,
    /// Name of the fault.
    pub(super) fault: String,
    /// What was noticed.
    pub(super) suffering: Suffering,
}

/// Has every contender meet every fault, `repetitions` times, and tells each figure.
pub(super) fn suffer(
    contenders: &[Contender],
    orders: &Orders,
    rhythm: Duration,
    repetitions: u32,
    mut tell: impl FnMut(Figure),
) -> Result<()> {
    for _ in 0..repetitions {
        for contender in contenders {
            let world = World::new(3)?;
            let mut backends = Backends::start(&world, &orders.directory, None)?;
            for fault in Fault::ALL {
                let suffering = one(*contender, fault, &world, &mut backends, orders, rhythm)?;
                let (contender, fault) = (contender.name().to_owned(), fault.name().to_owned());
                tell(Figure { contender, fault, suffering });
            }
        }
    }
    Ok(())
}

fn one(
    contender: Contender,
    fault: Fault,
    world: &World,
    backends: &mut Backends,
    orders: &Orders,
    rhythm: Duration,
) -> Result<Suffering> {
    let mut process = contender.start(world, orders)?;
    await_all(world, contender)?;
    let clients = Clients::start(&world.host(), contender.service(), rhythm);
    std::thread::sleep(SETTLING);
    let begun = clients.fault();
    fault.strike(world, backends)?;
    while begun.elapsed() < WINDOW && !clients.log().is_calm(CALM) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = clients.log();
    clients.stop()?;
    if !process.runs() {
        return Err(Error::Shape { what: format!("the run of {}", contender.name()), found: "its end".into() });
    }
    drop(process);
    fault.undo(world, backends)?;
    let [until, gap, kept] = [log.until(), log.gap(), log.kept_gap()].map(milliseconds);
    Ok(Suffering { failed: log.failed, until, gap, kept })
}

/// Waits until a contender hands connections to all servers, again and again.
pub(super) fn await_all(world: &World, contender: Contender) -> Result<()> {
    let service = contender.service();
    let reached = within(&world.host(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let (start, mut names) = (Instant::now(), Vec::new());
            while start.elapsed() < TIMEOUT {
                match ask_afresh(service, Duration::from_millis(300)).await {
                    Some(name) => names.push(name),
                    None => names.clear(),
                }
                let last = &names[names.len().saturating_sub(9)..];
                if last.len() == 9 && world.places().all(|place| last.contains(&format!("s{place}"))) {
                    return Some(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            None
        })
    })?;
    reached.ok_or_else(|| Error::Shape {
        what: format!("what {} leads to", contender.name()),
        found: format!("not all servers within {} s", TIMEOUT.as_secs()),
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Suffering { failed, until, gap, kept } = self.suffering;
        write!(formatter, "figure\t{}\t{}\t{failed}\t{until}\t{gap}\t{kept}", self.contender, self.fault)
    }
}

impl FromStr for Figure {
    type Err = Error;

    fn from_str(line: &str) -> Result<Figure> {
        let odd = || Error::Shape { what: "a line of the user-mode Linux".into(), found: line.to_owned() };
        let words: Vec<&str> = line.trim_end().split('\t').collect();
        let ["figure", contender, fault, numbers @ ..] = words.as_slice() else { return Err(odd()) };
        let numbers: Vec<u64> = numbers.iter().filter_map(|word| word.parse().ok()).collect();
        let [failed, until, gap, kept] = numbers.as_slice() else { return Err(odd()) };
        let suffering = Suffering { failed: *failed, until: *until, gap: *gap, kept: *kept };
        Ok(Figure { contender: (*contender).to_owned(), fault: (*fault).to_owned(), suffering })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn figures_come_through_as_lines() {
        let suffering = Suffering { failed: 3, until: 12, gap: 9, kept: 20 };
        let figure = Figure { contender: "haproxy tuned".into(), fault: "killed".into(), suffering };
        assert_eq!(figure.to_string().parse::<Figure>().unwrap(), figure);
        assert!("figure\tx\ty\t1".parse::<Figure>().is_err());
    }
}
