//! What is on a machine, so that two moments can be compared.

use std::collections::BTreeSet;

use crate::Machine;

/// Everything on a machine that an installation could leave behind, one line for each thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    lines: BTreeSet<String>,
}

impl Inventory {
    /// What is on a machine now.
    ///
    /// # Panics
    ///
    /// When the machine does not tell.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        let told = machine.shell(include_str!("inventory.sh"));
        Self { lines: told.lines().map(str::to_owned).collect() }
    }

    /// What came (`+`) and went (`-`) until a later moment; empty when both are equal.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let gone = self.lines.difference(&later.lines).map(|line| format!("- {line}"));
        gone.chain(later.lines.difference(&self.lines).map(|line| format!("+ {line}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_what_came_and_what_went() {
        let inventory = |lines: &[&str]| Inventory { lines: lines.iter().map(|line| (*line).to_owned()).collect() };
        let (before, after) = (inventory(&["file /a", "link eth0"]), inventory(&["file /a", "link cni0"]));
        assert_eq!(before.changes(&after), ["- link eth0", "+ link cni0"]);
        assert_eq!(before.changes(&before), Vec::<String>::new());
    }
}
