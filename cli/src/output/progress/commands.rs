//! Lists the commands that a step runs, for `--verbose`.

use sealer_core::runtime::{Action, Plan};

/// What an action does, one line each.
pub(super) fn of(action: &Action, plan: &Plan) -> Vec<String> {
    match action {
        Action::Run { script, .. } => {
            let shared = shared_lines(plan);
            script.lines().skip(shared).map(str::to_owned).collect()
        }
        Action::Write { files } => files.iter().map(|file| format!("{:04o} {}", file.mode, file.path)).collect(),
        Action::Content { image, rootfs, .. } => vec![format!("{image} -> {rootfs}")],
        Action::Wait { until, timeout_seconds, .. } => vec![format!("until {until}, at most {timeout_seconds} s")],
        _ => Vec::new(),
    }
}

/// How many lines all scripts of a plan begin with: definitions that would only hide what matters.
fn shared_lines(plan: &Plan) -> usize {
    let mut scripts = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Run { script, .. } => Some(script.as_str()),
        _ => None,
    });
    let Some(first) = scripts.next() else { return 0 };
    let mut shared: Option<usize> = None;
    for script in scripts.filter(|script| *script != first) {
        let same = first.lines().zip(script.lines()).take_while(|(one, other)| one == other).count();
        shared = Some(shared.map_or(same, |shared| shared.min(same)));
    }
    shared.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sealer_core::runtime::Step;

    use super::*;

    fn step(script: &str) -> Step {
        let action = Action::Run {
            script: script.to_owned(),
            env: BTreeMap::new(),
            timeout_seconds: 1,
            show_output: false,
            diagnose: None,
        };
        Step { id: script.to_owned(), title: String::new(), hosts: Vec::new(), after: Vec::new(), action }
    }

    #[test]
    fn what_all_scripts_begin_with_is_left_out() {
        let plan =
            Plan { steps: vec![step("set -eu\nf() { :; }\na\nb"), step("set -eu\nf() { :; }\nc")], ..Plan::default() };
        assert_eq!(of(&plan.steps[0].action, &plan), ["a", "b"]);
        assert_eq!(of(&plan.steps[1].action, &plan), ["c"]);
        let alone = Plan { steps: vec![step("set -eu\na")], ..Plan::default() };
        assert_eq!(of(&alone.steps[0].action, &alone), ["set -eu", "a"]);
    }
}
