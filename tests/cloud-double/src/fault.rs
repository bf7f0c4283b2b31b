//! Describes the faults that tests inject.

use std::collections::BTreeMap;
use std::time::Duration;

/// One call that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The action; [`None`] counts the calls of all actions together.
    pub action: Option<String>,
    /// Which of those calls, from 1; 0 is every one. Counted from the making of the double.
    pub nth: usize,
    /// What happens.
    pub kind: FaultKind,
}

/// How a call goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// It takes effect, and the answer is 500 `InternalError`.
    ErrorAfter,
    /// Nothing happens but an answer with this status and code.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code.
        code: String,
    },
    /// The connection breaks before anything happens.
    Reset,
    /// It takes effect, and the connection breaks before the answer.
    LostReply,
    /// It takes effect, and the body of the answer takes so much longer.
    SlowBody(Duration),
    /// Refused as throttled, for so long.
    Throttled(Duration),
    /// Only so many machines can be made.
    Partial(u32),
    /// The first machine of the call disappears after so long.
    Vanish(Duration),
    /// The address does not get bound, although the call says so.
    BindFails,
}

impl Fault {
    /// The `nth` call of `action` goes wrong.
    #[must_use]
    pub fn at(action: &str, nth: usize, kind: FaultKind) -> Fault {
        Fault { action: Some(action.to_string()), nth, kind }
    }

    /// The `nth` call of all goes wrong.
    #[must_use]
    pub fn at_call(nth: usize, kind: FaultKind) -> Fault {
        Fault { action: None, nth, kind }
    }
}

/// The moment from which callers get no more answers, as if they had been killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect {
    /// So many calls of all are still answered; counted from the making of the double.
    pub after: usize,
    /// Whether the next call still takes effect. The ones after it never do.
    pub effect: bool,
}

/// The faults to come, and the calls so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Vec<Fault>,
    counts: BTreeMap<String, usize>,
    total: usize,
}

impl Faults {
    pub(crate) fn plan(&mut self, fault: Fault) {
        self.planned.push(fault);
    }

    /// Calls of one action so far.
    pub(crate) fn count(&self, action: &str) -> usize {
        self.counts.get(action).copied().unwrap_or_default()
    }

    /// Counts one call and tells what goes wrong with it.
    pub(crate) fn next(&mut self, action: &str) -> Option<FaultKind> {
        self.total += 1;
        let count = self.counts.entry(action.to_string()).or_default();
        *count += 1;
        let (count, total) = (*count, self.total);
        let fits = |fault: &&Fault| match &fault.action {
            Some(known) => known == action && (fault.nth == 0 || fault.nth == count),
            None => fault.nth == 0 || fault.nth == total,
        };
        self.planned.iter().find(fits).map(|fault| fault.kind.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn calls_are_counted_by_action_and_together() {
        let mut faults = Faults::default();
        faults.plan(Fault::at("B", 2, FaultKind::Reset));
        faults.plan(Fault::at_call(4, FaultKind::LostReply));
        let found: Vec<_> = ["A", "B", "B", "A", "B"].map(|action| faults.next(action)).to_vec();
        assert_eq!(found, [None, None, Some(FaultKind::Reset), Some(FaultKind::LostReply), None]);
    }
}
