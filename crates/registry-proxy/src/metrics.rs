//! Counts what a registry does, in the text form of Prometheus.

use http::Method;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By method and status. Both are of a small set.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    sent: AtomicU64,
    received: AtomicU64,
    running: AtomicU64,
}

impl Metrics {
    pub(crate) fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, method: &Method, status: u16, sent: u64) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry((method, status)).or_default() += 1;
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lines =
            requests.iter().map(|((method, code), count)| (format!("{{method=\"{method}\",code=\"{code}\"}}"), *count));
        let one = |counter: &AtomicU64| [(String::new(), counter.load(Ordering::Relaxed))];
        metric("sealer_registry_requests_total", "counter", "Requests that were answered.", &lines.collect::<Vec<_>>());
        metric("sealer_registry_sent_bytes_total", "counter", "Bytes of answers that were sent.", &one(&self.sent));
        metric(
            "sealer_registry_received_bytes_total",
            "counter",
            "Bytes of blobs that were pushed.",
            &one(&self.received),
        );
        metric("sealer_registry_requests_running", "gauge", "Requests that are being answered.", &one(&self.running));
        text
    }
}
