//! Advances all states to the present.

use std::time::Duration;

use super::{EipState, Instance, Phase, Task, World, over};

impl World {
    /// Advances all states whose time has come.
    pub(crate) fn settle(&mut self, now: Duration) {
        for instance in &mut self.instances {
            if let Some(task) = instance.settle(now) {
                self.tasks.push(task);
            }
        }
        let gone = |instance: &Instance| {
            matches!(instance.phase, Phase::Releasing { until } if over(until, now))
                || instance.vanish_at.is_some_and(|at| over(at, now))
        };
        for instance in self.instances.extract_if(.., |instance| gone(instance)) {
            // Those that are released were sent away when their deletion began.
            if self.hooked && !matches!(instance.phase, Phase::Releasing { .. }) {
                self.tasks.push(Task::Release(instance.id.clone()));
            }
            self.disks.extend(instance.disks.into_iter().filter(|disk| !disk.delete_with_instance));
        }
        let instances = &self.instances;
        for eip in &mut self.eips {
            let next = match &eip.state {
                EipState::Associating { until, fails: true, .. } if over(*until, now) => Some(EipState::Available),
                EipState::Associating { instance, until, .. } if over(*until, now) => {
                    if self.hooked {
                        self.tasks.push(Task::Bind { instance: instance.clone(), eip: eip.address });
                    }
                    Some(EipState::InUse { instance: instance.clone() })
                }
                EipState::Unassociating { until, .. } if over(*until, now) => Some(EipState::Available),
                _ => None,
            };
            eip.state = next.unwrap_or_else(|| eip.state.clone());
            if eip.instance().is_some_and(|id| !instances.iter().any(|instance| instance.id == id)) {
                eip.state = EipState::Available;
            }
        }
    }
}

impl Instance {
    fn settle(&mut self, now: Duration) -> Option<Task> {
        if let Phase::Pending { until, running_at } = self.phase
            && over(until, now)
        {
            self.phase = Phase::Starting { until: running_at };
        }
        match self.phase {
            Phase::Starting { until } if over(until, now) && !self.awaits_host => self.phase = Phase::Running,
            Phase::Stopping { until } if over(until, now) => self.phase = Phase::Stopped,
            _ => {}
        }
        if let (Some(at), false) = (self.auto_release, matches!(self.phase, Phase::Releasing { .. }))
            && over(at, now)
        {
            self.phase = Phase::Releasing { until: now };
            return Some(Task::Release(self.id.clone()));
        }
        None
    }
}
