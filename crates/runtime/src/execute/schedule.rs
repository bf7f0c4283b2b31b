//! The order in which the steps of a plan may happen, checked for circles.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::{Error, Plan};

/// A plan's order, checked.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The steps of each host, by their place in the plan, in order.
    pub(super) hosts: BTreeMap<IpAddr, Vec<usize>>,
    /// For each step, the steps that must be finished everywhere before.
    pub(super) after: Vec<Vec<usize>>,
    /// For each step, the steps that must have ended everywhere before, finished or not.
    pub(super) after_end_of: Vec<Vec<usize>>,
    /// For each step, on how many hosts it happens.
    pub(super) counts: Vec<usize>,
}

impl Schedule {
    /// Works out the order.
    ///
    /// # Errors
    ///
    /// When two steps have the same id, one waits for a step that is not there, or steps wait for each other in a circle.
    pub(super) fn of(plan: &Plan) -> Result<Self, Error> {
        let wrong = |reason| Error::Plan { cluster: plan.cluster.clone(), reason };
        let mut ids = BTreeMap::new();
        for (index, step) in plan.steps.iter().enumerate() {
            if ids.insert(step.id.as_str(), index).is_some() {
                return Err(wrong(format!("two steps are called `{}`", step.id)));
            }
        }
        let mut schedule =
            Self { hosts: BTreeMap::new(), after: Vec::new(), after_end_of: Vec::new(), counts: Vec::new() };
        for (index, step) in plan.steps.iter().enumerate() {
            let place = |id: &String| {
                let before = ids.get(id.as_str()).copied();
                before.ok_or_else(|| wrong(format!("step `{}` waits for `{id}`, which is not there", step.id)))
            };
            schedule.after.push(step.after.iter().map(place).collect::<Result<_, _>>()?);
            schedule.after_end_of.push(step.after_end_of.iter().map(place).collect::<Result<_, _>>()?);
            let hosts: BTreeSet<IpAddr> = step.hosts.iter().copied().collect();
            schedule.counts.push(hosts.len());
            for host in hosts {
                schedule.hosts.entry(host).or_default().push(index);
            }
        }
        let stuck = schedule.stuck();
        if stuck.is_empty() {
            return Ok(schedule);
        }
        let names: Vec<_> = stuck.iter().map(|&index| format!("`{}`", plan.steps[index].id)).collect();
        Err(wrong(format!("these steps wait for each other: {}", names.join(", "))))
    }

    /// The steps at which the hosts would wait for ever.
    fn stuck(&self) -> BTreeSet<usize> {
        let mut remaining = self.counts.clone();
        let mut places: BTreeMap<IpAddr, usize> = self.hosts.keys().map(|&host| (host, 0)).collect();
        loop {
            let mut moved = false;
            let mut waiting = BTreeSet::new();
            for (host, steps) in &self.hosts {
                let place = places.entry(*host).or_default();
                while let Some(&index) = steps.get(*place) {
                    if self.after[index].iter().chain(&self.after_end_of[index]).any(|&before| remaining[before] > 0) {
                        waiting.insert(index);
                        break;
                    }
                    remaining[index] -= 1;
                    *place += 1;
                    moved = true;
                }
            }
            if !moved {
                return waiting;
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::Step;

    fn plan(steps: &[(&str, &[u8], &[&str])]) -> Plan {
        let steps = steps.iter().map(|(id, hosts, after)| {
            let hosts = hosts.iter().map(|&last| IpAddr::from([10, 0, 0, last]));
            Step::write(*id, hosts, Vec::new()).after(after.iter().copied())
        });
        Plan::new("c").with_steps(steps)
    }

    fn reason(plan: &Plan) -> String {
        Schedule::of(plan).unwrap_err().to_string()
    }

    #[test]
    fn each_host_has_its_steps_in_order() {
        let schedule =
            Schedule::of(&plan(&[("a", &[1, 2], &[]), ("b", &[1], &["a"]), ("c", &[2, 2], &["b"])])).unwrap();
        assert_eq!(schedule.hosts.values().collect::<Vec<_>>(), [&vec![0, 1], &vec![0, 2]]);
        assert_eq!(schedule.counts, [2, 1, 1]);
    }

    #[test]
    fn circles_are_found_also_through_the_order_on_a_host() {
        assert!(reason(&plan(&[("a", &[1], &["b"]), ("b", &[2], &["a"])])).contains("`a`, `b`"));
        assert!(reason(&plan(&[("a", &[1], &["b"]), ("b", &[1], &[])])).contains("`a`"));
        assert!(
            reason(&plan(&[("a", &[1], &["d"]), ("b", &[1], &[]), ("c", &[2], &["b"]), ("d", &[2], &[])]))
                .contains("`a`, `c`")
        );
        assert!(reason(&plan(&[("a", &[1], &["a"])])).contains("`a`"));
    }

    #[test]
    fn unknown_and_double_names_are_told() {
        assert!(reason(&plan(&[("a", &[1], &["x"])])).contains("`a` waits for `x`"));
        assert!(reason(&plan(&[("a", &[1], &[]), ("a", &[2], &[])])).contains("two steps are called `a`"));
    }

    #[test]
    fn a_step_on_no_host_holds_nobody_up() {
        assert!(Schedule::of(&plan(&[("a", &[], &[]), ("b", &[1], &["a"])])).is_ok());
    }
}
