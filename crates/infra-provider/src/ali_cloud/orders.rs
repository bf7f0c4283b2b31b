//! Which orders of machines were made, and which of them were never answered?

use super::api::ecs::RunInstances;
use super::api::{Action, Class};
use super::cloud::{Cloud, Prerequisite, class};
use super::record::{Machine, Record, Things};
use super::settings::Role;
use crate::Result;

/// Orders once, or again as it stands in the record; how many machines came of it.
pub(super) async fn place(
    cloud: &Cloud<'_>,
    step: &Step,
    prerequisite: Option<Prerequisite>,
    request: impl FnOnce(String) -> RunInstances,
) -> Result<usize> {
    let name = step.to_string();
    let made = cloud.make(&name, prerequisite, request, |things, answer| {
        let stored = things.intents.get(&name).and_then(|intent| intent.parameters.get("InstanceType"));
        let instance_type = stored.cloned().unwrap_or_default();
        for (id, index) in answer.instance_ids.iter().zip(step.numbers.iter().copied()) {
            let machine = Machine { role: step.role, index, address: None, instance_type: instance_type.clone() };
            things.machines.entry(id.clone()).or_insert(machine);
        }
    });
    Ok(made.await?.instance_ids.len())
}

/// Repeats the orders whose answers were never read, as far as their machines are still wanted.
///
/// Returns the orders that are not: whether they had an effect only a search can tell.
pub(super) async fn settle(cloud: &Cloud<'_>, missing: &[(Role, Vec<u32>)]) -> Result<Vec<Step>> {
    let mut open = Vec::new();
    for step in unanswered(cloud.record) {
        let lacks = |number: &u32| missing.iter().any(|(role, all)| *role == step.role && all.contains(number));
        if !step.numbers.iter().all(lacks) {
            open.push(step);
            continue;
        }
        // What is stored is what is sent; nothing is made up here.
        match place(cloud, &step, None, |client_token| RunInstances { client_token, ..RunInstances::default() }).await {
            // It had no effect then and has none now; what is lacking is ordered anew.
            Err(error) if class(&error) == Some(Class::NextCandidate) => {}
            // The password is another one now, so it cannot be repeated as it was.
            Err(error) if class(&error) == Some(Class::Mismatch) => open.push(step),
            other => drop(other?),
        }
    }
    Ok(open)
}

/// The orders whose answers were never read.
pub(super) fn unanswered(record: &Record) -> Vec<Step> {
    let orders = |things: &Things| -> Vec<Step> {
        let orders = things.intents.iter().filter(|(_, intent)| intent.action == RunInstances::NAME);
        orders.filter_map(|(name, _)| Step::parse(name)).collect()
    };
    record.with(orders)
}

/// The name of an order in the record: who reads it can tell which machines it was about.
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
    /// Whether each of its machines is known.
    pub(super) fn is_filled(&self, things: &Things) -> bool {
        let there = |number: &u32| things.machines.values().any(|one| one.role == self.role && one.index == *number);
        self.numbers.iter().all(there)
    }

    fn parse(text: &str) -> Option<Self> {
        let (role, numbers) = text.strip_prefix("run ")?.split_once(' ')?;
        let role = [Role::Master, Role::Node].into_iter().find(|known| known.as_str() == role)?;
        let numbers: Result<Vec<u32>, _> = numbers.split(',').map(str::parse).collect();
        Some(Self { role, numbers: numbers.ok()? })
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
