//! Writes metrics in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;

use crate::{ServerState, ServerStatus, Status, Traffic};

/// A metric: its name without the prefix, its type, what it means, and its value.
type Metric<T> = (&'static str, &'static str, &'static str, fn(&T) -> f64);

const SERVER: [Metric<ServerStatus>; 5] = [
    ("server_up", "gauge", "Whether the server counts as healthy.", |of| (of.state == ServerState::Up).into()),
    ("server_weight", "gauge", "The server's weight when healthy.", |of| of.weight.into()),
    ("checks_total", "counter", "Checks of the server.", |of| of.checks as f64),
    ("check_failures_total", "counter", "Checks that failed.", |of| of.failures as f64),
    ("transitions_total", "counter", "Changes between up and down.", |of| of.transitions as f64),
];

const SERVICE: [Metric<Status>; 5] = [
    ("all_down", "gauge", "Whether every server looks dead.", |of| of.all_down.into()),
    ("rounds_total", "counter", "Rounds of checks.", |of| of.rounds as f64),
    ("repairs_total", "counter", "Repairs of rules that others had changed.", |of| of.repairs as f64),
    ("dataplane_errors_total", "counter", "Failed reads or changes of the rules.", |of| of.errors as f64),
    ("dataplane_failing", "gauge", "Whether the rules cannot be read or changed.", |of| of.failing.is_some().into()),
];

const TRAFFIC: [Metric<Traffic>; 7] = [
    ("connections_total", "counter", "Connections given to the server.", |of| of.connections as f64),
    ("packets_in_total", "counter", "Packets from clients.", |of| of.packets_in as f64),
    ("packets_out_total", "counter", "Packets to clients.", |of| of.packets_out as f64),
    ("bytes_in_total", "counter", "Bytes from clients.", |of| of.bytes_in as f64),
    ("bytes_out_total", "counter", "Bytes to clients.", |of| of.bytes_out as f64),
    ("active_connections", "gauge", "Open connections.", |of| of.active.into()),
    ("inactive_connections", "gauge", "Closed connections still known.", |of| of.inactive.into()),
];

/// A guard's status, and what went through its servers, in Prometheus' text format (version 0.0.4).
///
/// Servers that the dataplane does not count have no traffic rather than none of it.
pub fn prometheus(status: &Status, traffic: &BTreeMap<SocketAddr, Traffic>) -> String {
    let service = format!("service=\"{}\"", status.service);
    let labels = |server: &SocketAddr| format!("{service},server=\"{server}\"");
    let servers: Vec<_> = status.servers.iter().map(|server| (labels(&server.server), server)).collect();
    let mut page = Page::default();
    page.metrics(&SERVER, &servers);
    page.head("check_duration_seconds", "summary", "How long checks took.");
    for (labels, server) in &servers {
        page.line("check_duration_seconds_sum", labels, server.check_seconds);
        page.line("check_duration_seconds_count", labels, server.checks);
    }
    page.head("check_last_duration_seconds", "gauge", "How long the last check took.");
    for (labels, server) in &servers {
        if let Some(seconds) = server.last_check_seconds {
            page.line("check_last_duration_seconds", labels, seconds);
        }
    }
    page.metrics(&SERVICE, &[(service.clone(), status)]);
    if !traffic.is_empty() {
        let traffic: Vec<_> = traffic.iter().map(|(server, traffic)| (labels(server), traffic)).collect();
        page.metrics(&TRAFFIC, &traffic);
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn metrics<T>(&mut self, metrics: &[Metric<T>], all: &[(String, &T)]) {
        for (name, kind, help, value) in metrics {
            self.head(name, kind, help);
            for (labels, of) in all {
                self.line(name, labels, value(of));
            }
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP lvscare_{name} {help}\n# TYPE lvscare_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "lvscare_{name}{{{labels}}} {value}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Scheduler;

    fn server(address: &str, state: ServerState, reason: Option<&str>, checks: u64) -> ServerStatus {
        ServerStatus {
            server: address.parse().unwrap(),
            weight: 1,
            state,
            reason: reason.map(str::to_owned),
            seconds: 12.5,
            checks,
            failures: checks / 10,
            transitions: 1,
            last_check_seconds: (checks > 0).then_some(0.001_25),
            check_seconds: 0.25,
        }
    }

    fn status() -> Status {
        Status {
            service: "[fd00::2]:6443".parse().unwrap(),
            scheduler: Scheduler::Rr,
            dataplane: "table".to_owned(),
            servers: vec![
                server("[fd00::11]:6443", ServerState::Up, None, 120),
                server("[fd00::12]:6443", ServerState::Down, Some("connection \"refused\"\n"), 120),
                server("[fd00::13]:6443", ServerState::Unknown, None, 0),
            ],
            all_down: false,
            rounds: 120,
            repairs: 2,
            errors: 3,
            failing: Some("operation not permitted".to_owned()),
        }
    }

    #[test]
    fn the_page_is_as_recorded() {
        let traffic = Traffic { connections: 7, packets_in: 70, packets_out: 60, bytes_in: 7000, ..Traffic::default() };
        let traffic = [("[fd00::11]:6443".parse().unwrap(), Traffic { active: 3, ..traffic })].into();
        let page = prometheus(&status(), &traffic);
        assert_eq!(page, include_str!("../tests/metrics.prom"), "{page}");
    }

    #[test]
    fn every_line_is_one_that_prometheus_reads() {
        for line in prometheus(&status(), &BTreeMap::new()).lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                assert!(comment.starts_with("HELP lvscare_") || comment.starts_with("TYPE lvscare_"), "{line}");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = series.split_once('{').unwrap();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            assert!(labels.starts_with("service=\"[fd00::2]:6443\"") && labels.ends_with("\"}"), "{line}");
        }
    }

    #[test]
    fn what_is_not_counted_is_not_told() {
        let page = prometheus(&status(), &BTreeMap::new());
        assert!(!page.contains("lvscare_connections_total"));
        assert!(!page.contains("lvscare_check_last_duration_seconds{service=\"[fd00::2]:6443\",server=\"[fd00::13]"));
    }
}
