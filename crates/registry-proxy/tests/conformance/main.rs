//! The cases of the OCI distribution specification's conformance programme, in our own words: what a registry must answer to whom.
//!
//! Run in read-write and read-only mode over a content store; each prints its counts. The data sets are those of the programme: images,
//! indexes, nested, empty and sparse ones, artifacts, subjects, unknown fields, SHA-512, tags as parameters.
#![allow(clippy::needless_pass_by_value, clippy::print_stdout, clippy::unwrap_used)]
#![allow(missing_debug_implementations, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod blobs;
mod client;
mod data;
mod manifests;

use client::Client;
use std::collections::BTreeMap;

/// What was checked, by the part of the API.
#[derive(Default)]
pub struct Report {
    counts: BTreeMap<&'static str, (u32, u32)>,
    failures: Vec<String>,
}

impl Report {
    /// Counts a case; what went wrong is told at the end, so that one failure hides no other.
    pub fn check(&mut self, part: &'static str, case: &str, result: Result<(), String>) {
        let (passed, failed) = self.counts.entry(part).or_default();
        match result {
            Ok(()) => *passed += 1,
            Err(reason) => {
                *failed += 1;
                self.failures.push(format!("{part}: {case}: {reason}"));
            }
        }
    }

    fn end(self, mode: &str, least: u32) {
        let mut total = 0;
        for (part, (passed, failed)) in &self.counts {
            println!("{mode}: {part:<22} {passed:>4} passed {failed:>3} failed");
            total += passed;
        }
        println!("{mode}: {:<22} {total:>4} passed {:>3} failed", "all", self.failures.len());
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        assert!(total >= least, "only {total} cases were checked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_pushes() {
    let (client, _server) = Client::read_write().await;
    let mut report = Report::default();
    client.empty(&mut report).await;
    for is_sha512 in [false, true] {
        blobs::all(&client, &mut report, is_sha512).await;
    }
    for set in data::sets() {
        manifests::life(&client, &mut report, &set).await;
    }
    manifests::errors(&client, &mut report).await;
    report.end("read-write", 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_only_read() {
    let (writer, server) = Client::read_write().await;
    let mut report = Report::default();
    let mut sets = data::sets();
    sets.retain(|set| set.name != "bad digest");
    for set in &sets {
        manifests::push(&writer, &mut Report::default(), set).await;
    }
    let client = server.read_only().await;
    client.empty(&mut report).await;
    for set in &sets {
        manifests::read(&client, &mut report, set).await;
    }
    manifests::errors(&client, &mut report).await;
    client.refuses_changes(&mut report, &sets[0]).await;
    report.end("read-only", 200);
}
