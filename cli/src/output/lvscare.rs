//! Prints events of the load-balancing daemon and the status of virtual addresses.

use std::time::Duration;

use sealer_core::lvscare::daemon::{Member, Overview};
use sealer_core::lvscare::{Event, ServerState};
use serde_json::{Value, json};

use super::images::{right, table, write_table};
use super::progress::Mode;
use super::{Printer, units, write_out};
use crate::exit::Failure;

/// What is printed of an event; nothing where nothing shall be.
pub(super) fn event_line(event: &Event, mode: Mode) -> Option<String> {
    match mode {
        Mode::Silent => None,
        Mode::Json => Some(json!({ "kind": "lvscare", "lvscare": as_json(event) }).to_string()),
        Mode::Terminal | Mode::Lines => Some(as_text(event)),
    }
}

fn as_text(event: &Event) -> String {
    match event {
        Event::Started { service, healthy, servers } => {
            format!("{service}: {healthy} of {} healthy", units::count(*servers, "server"))
        }
        Event::Down { server, reason } => format!("{server} is out: {reason}"),
        Event::Up { server } => format!("{server} is in"),
        Event::AllDown { kept } => format!("all servers look dead: the last good {kept} stay in"),
        Event::Repaired { changes } => {
            format!("the rules were changed by somebody else: {} put right", units::count(*changes, "difference"))
        }
        Event::Reloaded { added, removed } => {
            let signed = |sign, list: &[std::net::SocketAddr]| -> String {
                list.iter().map(|server| format!(" {sign}{server}")).collect()
            };
            format!("configuration changed{}{}", signed('+', added), signed('-', removed))
        }
        Event::ConfigRefused { reason } => format!("the configuration stays as it was: {reason}"),
        Event::Failed { reason } => format!("failed, tried again: {reason}"),
        Event::Degraded { reason } => format!("works, but {reason}"),
        Event::Recovered => "works again".to_owned(),
        other => format!("{other:?}"),
    }
}

fn as_json(event: &Event) -> Value {
    match event {
        Event::Started { service, healthy, servers } => {
            json!({ "event": "started", "service": service, "healthy": healthy, "servers": servers })
        }
        Event::Down { server, reason } => json!({ "event": "down", "server": server, "reason": reason }),
        Event::Up { server } => json!({ "event": "up", "server": server }),
        Event::AllDown { kept } => json!({ "event": "all-down", "kept": kept }),
        Event::Repaired { changes } => json!({ "event": "repaired", "changes": changes }),
        Event::Reloaded { added, removed } => json!({ "event": "reloaded", "added": added, "removed": removed }),
        Event::ConfigRefused { reason } => json!({ "event": "config-refused", "reason": reason }),
        Event::Failed { reason } => json!({ "event": "failed", "reason": reason }),
        Event::Degraded { reason } => json!({ "event": "hampered", "reason": reason }),
        Event::Recovered => json!({ "event": "recovered" }),
        other => json!({ "event": "other", "text": format!("{other:?}") }),
    }
}

impl Printer {
    /// Virtual addresses and their servers.
    pub(crate) fn overview(&self, found: &[Overview]) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&found);
        }
        if found.is_empty() {
            self.note(
                "no daemon runs, and none ran since this machine started; `--vs` asks the kernel about an address",
            );
        }
        for (index, service) in found.iter().enumerate() {
            let space = if index > 0 { "\n" } else { "" };
            write_out(&format!("{space}{}\n", head(service)))?;
            if !service.servers.is_empty() {
                write_table(&members(&service.servers))?;
            }
        }
        Ok(())
    }
}

fn head(found: &Overview) -> String {
    let rules = match (&found.dataplane, found.scheduler) {
        (Some(dataplane), Some(scheduler)) => format!("{dataplane} {scheduler}"),
        _ => "no rules in the kernel".to_owned(),
    };
    let Some(daemon) = &found.daemon else {
        return format!("{}  {rules}  no daemon runs: nobody checks the servers", found.service);
    };
    let status = &daemon.status;
    let kept = if status.all_down { ", the last good ones stay in" } else { "" };
    let health = format!("{} of {} healthy{kept}", status.healthy(), units::count(status.servers.len(), "server"));
    let failing = status.failing.as_ref().map(|reason| format!("\n  failing: {reason}")).unwrap_or_default();
    format!("{}  {rules}  {health}  daemon {} for {}{failing}", found.service, daemon.pid, span(daemon.seconds))
}

fn members(members: &[Member]) -> comfy_table::Table {
    let mut table = table(&["SERVER", "STATE", "WEIGHT", "ACTIVE", "CHECK", "SINCE", "REASON"]);
    for member in members {
        let health = member.health.as_ref();
        let state = match (member.state, health) {
            (ServerState::Up, _) => "up",
            (ServerState::Down, _) => "down",
            (ServerState::Unknown, Some(_)) => "unknown",
            (ServerState::Unknown, None) => "-",
        };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            member.server.to_string(),
            state.to_owned(),
            member.weight.map_or_else(|| "out".to_owned(), |weight| weight.to_string()),
            or_dash(member.traffic.map(|traffic| traffic.active.to_string())),
            or_dash(health.and_then(|health| health.last_check_seconds).map(check_time)),
            or_dash(health.map(|health| span(health.seconds))),
            health.and_then(|health| health.reason.clone()).unwrap_or_default(),
        ]);
    }
    right(&mut table, &[2, 3, 4, 5]);
    table
}

/// How long a check took: `0.4 ms`, `12 ms`, `1.3s`.
fn check_time(seconds: f64) -> String {
    let millis = seconds * 1000.0;
    match millis {
        0.0..9.95 => format!("{millis:.1} ms"),
        9.95..999.5 => format!("{millis:.0} ms"),
        _ => span(seconds),
    }
}

/// A span of time that may be long: `41s`, `2m05s`, `5h12m`, `3d04h`.
fn span(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let minutes = time.as_secs() / 60;
    match minutes {
        0..60 => units::duration(time),
        60..1440 => format!("{}h{:02}m", minutes / 60, minutes % 60),
        _ => format!("{}d{:02}h", minutes / 1440, minutes / 60 % 24),
    }
}

#[cfg(test)]
mod tests {
    use sealer_core::lvscare::daemon::Daemon;
    use sealer_core::lvscare::{Scheduler, ServerStatus, Status};

    use super::*;

    fn server(address: &str, state: ServerState, reason: Option<&str>) -> ServerStatus {
        ServerStatus {
            server: address.parse().unwrap(),
            weight: 1,
            state,
            reason: reason.map(str::to_owned),
            seconds: 18_725.0,
            checks: 3,
            failures: 0,
            transitions: 1,
            last_check_seconds: Some(0.0123),
            check_seconds: 0.03,
        }
    }

    fn found() -> Overview {
        let status = Status {
            service: "10.103.97.2:6443".parse().unwrap(),
            scheduler: Scheduler::Rr,
            dataplane: "nftables".to_owned(),
            servers: vec![
                server("10.0.0.1:6443", ServerState::Up, None),
                server("10.0.0.2:6443", ServerState::Down, Some("refused the connection")),
            ],
            all_down: false,
            rounds: 1,
            repairs: 0,
            errors: 0,
            failing: None,
        };
        let member = |index: usize, weight| Member {
            server: status.servers[index].server,
            weight,
            traffic: None,
            state: status.servers[index].state,
            health: Some(status.servers[index].clone()),
        };
        Overview {
            service: status.service,
            dataplane: Some("nftables".to_owned()),
            scheduler: Some(Scheduler::Rr),
            servers: vec![member(0, Some(1)), member(1, None)],
            daemon: Some(Daemon { pid: 812, seconds: 59.9, status }),
        }
    }

    #[test]
    fn an_address_and_its_servers_read_at_a_glance() {
        let found = found();
        assert_eq!(head(&found), "10.103.97.2:6443  nftables rr  1 of 2 servers healthy  daemon 812 for 1m00s");
        let lines: Vec<String> = members(&found.servers).lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(
            lines,
            [
                "SERVER          STATE   WEIGHT   ACTIVE   CHECK   SINCE   REASON",
                "10.0.0.1:6443   up           1        -   12 ms   5h12m",
                "10.0.0.2:6443   down       out        -   12 ms   5h12m   refused the connection",
            ]
        );
    }

    #[test]
    fn a_missing_daemon_and_missing_rules_are_said() {
        let found = Overview { daemon: None, dataplane: None, scheduler: None, servers: Vec::new(), ..found() };
        assert_eq!(head(&found), "10.103.97.2:6443  no rules in the kernel  no daemon runs: nobody checks the servers");
    }

    #[test]
    fn events_are_one_line_each() {
        let server = "10.0.0.1:6443".parse().unwrap();
        let events = [
            (Event::Down { server, reason: "no answer in time".to_owned() }, "10.0.0.1:6443 is out: no answer in time"),
            (Event::Up { server }, "10.0.0.1:6443 is in"),
            (Event::Reloaded { added: vec![server], removed: Vec::new() }, "configuration changed +10.0.0.1:6443"),
            (Event::AllDown { kept: 2 }, "all servers look dead: the last good 2 stay in"),
        ];
        for (event, line) in events {
            assert_eq!(event_line(&event, Mode::Lines).as_deref(), Some(line));
            let json: Value = serde_json::from_str(&event_line(&event, Mode::Json).unwrap()).unwrap();
            assert!(json["kind"] == "lvscare" && json["lvscare"]["event"].is_string(), "{json}");
            assert_eq!(event_line(&event, Mode::Silent), None);
        }
    }
}
