//! Repeats orders of machines whose response was never read.

use super::api::ecs::{RUN, Started};
use super::api::{Class, Parameters, Product, Request};
use super::cloud::{Cloud, Prerequisite, class};
use super::record::{Machine, Record, Resources};
use super::settings::Role;
use crate::Result;

/// Sends one order, or repeats it as recorded; returns how many machines it made.
pub(super) async fn place(
    cloud: &Cloud<'_>,
    step: &Step,
    prerequisite: Option<Prerequisite>,
    request: Request<Started>,
) -> Result<usize> {
    let name = step.to_string();
    let made = cloud.make(&name, prerequisite, request, |resources, answer| {
        let stored = resources.intents.get(&name).and_then(|intent| intent.parameters.get("InstanceType"));
        let instance_type = stored.cloned().unwrap_or_default();
        for (id, index) in answer.instance_ids.iter().zip(step.numbers.iter().copied()) {
            let machine = Machine { role: step.role, index, address: None, instance_type: instance_type.clone() };
            resources.machines.entry(id.clone()).or_insert(machine);
        }
    });
    Ok(made.await?.instance_ids.len())
}

/// Repeats orders whose response was never read, as far as their machines are still wanted.
///
/// Returns the other ones; only a search can tell whether they had an effect.
pub(super) async fn repeat_unanswered(cloud: &Cloud<'_>, missing: &[(Role, Vec<u32>)]) -> Result<Vec<Step>> {
    let mut open = Vec::new();
    for step in unanswered(cloud.record) {
        let lacks = |number: &u32| missing.iter().any(|(role, all)| *role == step.role && all.contains(number));
        if !step.numbers.iter().all(lacks) {
            open.push(step);
            continue;
        }
        // The recorded parameters are sent.
        let again = Request::new(Product::Ecs, RUN, Parameters::new());
        match place(cloud, &step, None, again).await {
            // It had no effect before and has none now; the machines are ordered anew.
            Err(error) if class(&error) == Some(Class::NextCandidate) => {}
            // The password has changed, so the order cannot be repeated as it was.
            Err(error) if class(&error) == Some(Class::Mismatch) => open.push(step),
            other => drop(other?),
        }
    }
    Ok(open)
}

/// Orders whose response was never read.
pub(super) fn unanswered(record: &Record) -> Vec<Step> {
    let orders = |resources: &Resources| -> Vec<Step> {
        let orders = resources.intents.iter().filter(|(_, intent)| intent.action == RUN);
        orders.filter_map(|(name, _)| Step::parse(name)).collect()
    };
    record.with(orders)
}

/// The name of an order in the record; it holds the numbers of its machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) role: Role,
    /// Numbers of the machines among those of their role.
    pub(super) numbers: Vec<u32>,
}

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = self.numbers.iter().map(u32::to_string).collect();
        write!(formatter, "run {} {}", self.role.as_str(), numbers.join(","))
    }
}

impl Step {
    /// Whether all its machines are recorded.
    pub(super) fn is_filled(&self, resources: &Resources) -> bool {
        let there = |number: &u32| resources.machines.values().any(|one| one.role == self.role && one.index == *number);
        self.numbers.iter().all(there)
    }

    fn parse(text: &str) -> Option<Self> {
        let (role, numbers) = text.strip_prefix("run ")?.split_once(' ')?;
        let numbers: Result<Vec<u32>, _> = numbers.split(',').map(str::parse).collect();
        Some(Self { role: Role::parse(role)?, numbers: numbers.ok()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_step_tells_which_machines_it_was_about() {
        let step = Step { role: Role::Node, numbers: vec![0, 1, 12] };
        assert_eq!(step.to_string(), "run node 0,1,12");
        assert_eq!(Step::parse("run node 0,1,12"), Some(step));
        for other in ["run", "run king 1", "run node", "run node x", "vpc"] {
            assert_eq!(Step::parse(other), None, "{other}");
        }
    }
}
