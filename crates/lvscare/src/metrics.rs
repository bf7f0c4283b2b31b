//! Writes metrics in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;

use crate::{ServerState, ServerStatus, Status, Traffic};

/// A guard's status, and what went through its servers, in Prometheus' text format (version 0.0.4).
///
/// Servers that the dataplane does not count have no traffic rather than none of it.
#[must_use]
pub fn prometheus(status: &Status, traffic: &BTreeMap<SocketAddr, Traffic>) -> String {
    let mut page = Page { text: String::new(), status };
    page.servers("lvscare_server_up", "gauge", "Whether the server counts as healthy.", |server| {
        u8::from(server.state == ServerState::Up)
    });
    page.servers("lvscare_server_weight", "gauge", "The server's weight when healthy.", |server| server.weight);
    page.servers("lvscare_checks_total", "counter", "Checks of the server.", |server| server.checks);
    page.servers("lvscare_check_failures_total", "counter", "Checks that failed.", |server| server.failures);
    page.servers("lvscare_transitions_total", "counter", "Changes between up and down.", |server| server.transitions);
    page.head("lvscare_check_duration_seconds", "summary", "How long checks took.");
    for server in &status.servers {
        page.line("lvscare_check_duration_seconds_sum", Some(server.server), server.check_seconds);
        page.line("lvscare_check_duration_seconds_count", Some(server.server), server.checks);
    }
    page.head("lvscare_check_last_duration_seconds", "gauge", "How long the last check took.");
    for server in &status.servers {
        if let Some(seconds) = server.last_check_seconds {
            page.line("lvscare_check_last_duration_seconds", Some(server.server), seconds);
        }
    }
    page.service("lvscare_all_down", "gauge", "Whether every server looks dead.", u8::from(status.all_down));
    page.service("lvscare_rounds_total", "counter", "Rounds of checks.", status.rounds);
    page.service("lvscare_repairs_total", "counter", "Repairs of rules that others had changed.", status.repairs);
    page.service("lvscare_dataplane_errors_total", "counter", "Failed reads or changes of the rules.", status.errors);
    let failing = u8::from(status.failing.is_some());
    page.service("lvscare_dataplane_failing", "gauge", "Whether the rules cannot be read or changed.", failing);
    page.traffic(traffic);
    page.text
}

struct Page<'a> {
    text: String,
    status: &'a Status,
}

impl Page<'_> {
    fn servers<V: Display>(&mut self, name: &str, kind: &str, help: &str, value: impl Fn(&ServerStatus) -> V) {
        self.head(name, kind, help);
        for server in &self.status.servers {
            self.line(name, Some(server.server), value(server));
        }
    }

    fn service(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, None, value);
    }

    fn traffic(&mut self, traffic: &BTreeMap<SocketAddr, Traffic>) {
        type Count = (&'static str, &'static str, &'static str, fn(&Traffic) -> u64);
        let counts: [Count; 7] = [
            ("lvscare_connections_total", "counter", "Connections given to the server.", |of| of.connections),
            ("lvscare_packets_in_total", "counter", "Packets from clients.", |of| of.packets_in),
            ("lvscare_packets_out_total", "counter", "Packets to clients.", |of| of.packets_out),
            ("lvscare_bytes_in_total", "counter", "Bytes from clients.", |of| of.bytes_in),
            ("lvscare_bytes_out_total", "counter", "Bytes to clients.", |of| of.bytes_out),
            ("lvscare_active_connections", "gauge", "Open connections.", |of| of.active.into()),
            ("lvscare_inactive_connections", "gauge", "Closed connections still known.", |of| of.inactive.into()),
        ];
        if traffic.is_empty() {
            return;
        }
        for (name, kind, help, count) in counts {
            self.head(name, kind, help);
            for (server, traffic) in traffic {
                self.line(name, Some(*server), count(traffic));
            }
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, server: Option<SocketAddr>, value: impl Display) {
        let service = self.status.service;
        match server {
            Some(server) => self.write(format_args!("{name}{{service=\"{service}\",server=\"{server}\"}} {value}\n")),
            None => self.write(format_args!("{name}{{service=\"{service}\"}} {value}\n")),
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes everything");
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
