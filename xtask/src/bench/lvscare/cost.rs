//! Measures memory and CPU time of an idle load balancer.

use std::time::{Duration, Instant};

use super::backend::{Backends, identity};
use super::contender::{Contender, Orders};
use super::process::{Process, Weight};
use super::table::{Table, ratio};
use super::world::World;
use crate::error::{Error, Result};

/// Servers that are checked.
const SERVERS: u8 = 5;
/// The start is not measured.
const START: Duration = Duration::from_secs(3);

/// Weighs processes that check five HTTPS servers, over this time.
pub(super) fn weigh(contenders: &[Contender], orders: &Orders, time: Duration) -> Result<Vec<Row>> {
    let world = World::new(SERVERS)?;
    let identity = identity(&world, &orders.directory)?;
    let _backends = Backends::start(&world, &orders.directory, Some(identity.clone()))?;
    let orders = Orders { authority: Some(identity.authority), ..orders.clone() };
    std::thread::sleep(Duration::from_millis(500));
    let mut running = Vec::new();
    for contender in contenders {
        running.push((*contender, contender.start(&world, &orders)?));
    }
    std::thread::sleep(START);
    let weigh = |running: &[(Contender, Process)]| -> Vec<Weight> {
        running.iter().map(|(_, process)| process.weight()).collect()
    };
    let (begun, before) = (Instant::now(), weigh(&running));
    std::thread::sleep(time);
    let (took, after) = (begun.elapsed(), weigh(&running));
    for (contender, process) in &mut running {
        if !process.runs() {
            return Err(Error::Shape { what: format!("the run of {}", contender.name()), found: "its end".into() });
        }
    }
    let weights = before.iter().zip(&after);
    Ok(contenders.iter().zip(weights).map(|(one, (before, after))| Row::new(*one, before, after, took)).collect())
}

/// What one contender costs.
pub(super) struct Row {
    contender: Contender,
    weight: Weight,
    /// Share of one core, per cent.
    share: f64,
}

impl Row {
    fn new(contender: Contender, before: &Weight, after: &Weight, took: Duration) -> Row {
        let time = after.time.saturating_sub(before.time);
        Row { contender, weight: *after, share: 100.0 * time.as_secs_f64() / took.as_secs_f64() }
    }

    fn megabytes(&self) -> [f64; 2] {
        [self.weight.resident, self.weight.anonymous].map(|kibibytes| kibibytes as f64 * 1024.0 / 1e6)
    }
}

/// The table of these; the first is ours.
pub(super) fn lines(rows: &[Row]) -> Vec<String> {
    let head = ["5 HTTPS servers", "processes", "RSS MB", "to ours", "own MB", "to ours", "CPU %", "to ours"];
    let mut table = Table::new(&head);
    let Some(ours) = rows.first() else { return Vec::new() };
    let [resident, anonymous] = ours.megabytes();
    for row in rows {
        let [rss, own] = row.megabytes();
        table.row(vec![
            row.contender.name().to_owned(),
            row.weight.processes.to_string(),
            format!("{rss:.1}"),
            ratio(rss, resident),
            format!("{own:.1}"),
            ratio(own, anonymous),
            format!("{:.3}", row.share),
            ratio(row.share, ours.share),
        ]);
    }
    table.lines()
}
