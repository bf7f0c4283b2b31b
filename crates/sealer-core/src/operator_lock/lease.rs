//! The Lease object: who holds it, since when, and in which version.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Operator;

/// The Lease, as kubectl names it.
pub(crate) const LEASE: &str = "lease/sealer-operator";
/// The longest duration that is believed of another version's Lease.
const MAX_SECONDS: u64 = 600;

/// A Lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Changes with every renewal.
    pub(super) version: String,
    /// [`Operator::identity`]; `None` when it was released.
    holder: Option<String>,
    /// When the holder took it, by the holder's clock.
    since: String,
    seconds: u64,
    transitions: u64,
}

impl Lease {
    /// Reads an object of the API.
    pub(crate) fn parse(object: &Value) -> Self {
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            version: text(&object["metadata"]["resourceVersion"]),
            holder: Some(text(&spec["holderIdentity"])).filter(|holder| !holder.is_empty()),
            since: text(&spec["acquireTime"]),
            seconds: spec["leaseDurationSeconds"].as_u64().unwrap_or(MAX_SECONDS).clamp(1, MAX_SECONDS),
            transitions: spec["leaseTransitions"].as_u64().unwrap_or_default(),
        }
    }

    /// The object that replaces `known`: held by `operator`, or by nobody.
    pub(super) fn object(
        known: Option<&Self>,
        operator: Option<&Operator>,
        seconds: u64,
        now: OffsetDateTime,
    ) -> Value {
        let now = timestamp(now);
        let was_held = known.zip(operator).is_some_and(|(lease, operator)| lease.is_of(operator));
        let since = known.filter(|_| was_held).map_or(now.as_str(), |lease| lease.since.as_str());
        let transitions = known.map_or(0, |lease| lease.transitions) + u64::from(operator.is_some() && !was_held);
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "sealer-operator",
                "namespace": "kube-system",
                "labels": { "app.kubernetes.io/managed-by": "sealer" },
                "resourceVersion": known.map(|lease| lease.version.as_str()),
            },
            "spec": {
                "holderIdentity": operator.map(Operator::identity),
                "acquireTime": operator.map(|_| since),
                "renewTime": now,
                "leaseDurationSeconds": seconds,
                "leaseTransitions": transitions,
            },
        })
    }

    /// The object by which somebody else takes it.
    #[cfg(test)]
    pub(crate) fn taken_by(&self, operator: &Operator, seconds: u64) -> Value {
        Self::object(Some(self), Some(operator), seconds, OffsetDateTime::now_utc())
    }

    pub(super) fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    pub(super) fn is_of(&self, operator: &Operator) -> bool {
        self.holder.as_deref() == Some(operator.identity().as_str())
    }

    /// Who holds it, for people; without what tells state directories apart.
    pub(super) fn holder_name(&self) -> &str {
        let holder = self.holder.as_deref().unwrap_or("somebody else");
        holder.split('/').next().unwrap_or(holder)
    }

    pub(super) fn since(&self) -> &str {
        &self.since
    }

    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The same as the API stored it.
    pub(super) fn in_version(self, version: String) -> Self {
        Self { version, ..self }
    }

    /// The same version, held by nobody: its holder is gone.
    pub(super) fn left_behind(self) -> Self {
        Self { holder: None, ..self }
    }
}

/// A time as the API wants it: UTC with exactly six digits of a second. As texts they are ordered like times.
pub(crate) fn timestamp(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let (hour, minute, second, micros) = time.to_hms_micro();
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}
