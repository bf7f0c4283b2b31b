//! Measures durations without the time in which this machine, busy with other work, let nobody run.
//!
//! Bounds are promises of the program on a machine that runs it. A thread that only sleeps shows when that was not so:
//! what it wakes too late by is left out of every duration. On a quiet machine nothing is left out.

use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

/// From one look at the clock to the next.
const NAP: Duration = Duration::from_millis(5);
/// So late a thread may wake on a machine with nothing else to do, also where the kernel is a process.
const USUAL: Duration = Duration::from_millis(10);

/// The times in which nobody ran.
static LOST: Mutex<Vec<(Instant, Instant)>> = Mutex::new(Vec::new());

/// Begins to watch; before that nothing is left out.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            loop {
                let due = Instant::now() + NAP + USUAL;
                std::thread::sleep(NAP);
                let now = Instant::now();
                if now > due {
                    LOST.lock().expect("no panic while it is written").push((due, now));
                }
            }
        });
    });
}

/// From `start` to `end` on a machine that runs us; zero when `end` came first.
pub fn between(start: Instant, end: Instant) -> Duration {
    let lost: Duration = LOST
        .lock()
        .expect("no panic while it is written")
        .iter()
        .map(|(from, to)| (*to).min(end).saturating_duration_since((*from).max(start)))
        .sum();
    end.saturating_duration_since(start).saturating_sub(lost)
}

/// From `start` until now on a machine that runs us.
pub fn since(start: Instant) -> Duration {
    between(start, Instant::now())
}
