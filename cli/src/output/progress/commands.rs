//! Lists the commands that a step runs, for `--verbose`.

use sealer_core::runtime::{Action, Content, Plan, Run, Wait};

/// What an action does, one line each.
pub(super) fn of(action: &Action, plan: &Plan) -> Vec<String> {
    match action {
        Action::Run(Run { script, .. }) => {
            let shared = shared_lines(plan);
            script.lines().skip(shared).map(str::to_owned).collect()
        }
        Action::Write { files } => files.iter().map(|file| format!("{:04o} {}", file.mode, file.path)).collect(),
        Action::Content(Content { image, rootfs, .. }) => vec![format!("{image} -> {rootfs}")],
        Action::Wait(Wait { until, timeout_seconds, .. }) => {
            vec![format!("until {until}, at most {timeout_seconds} s")]
        }
        _ => Vec::new(),
    }
}

/// How many lines all scripts of a plan begin with: definitions that would only hide what matters.
fn shared_lines(plan: &Plan) -> usize {
    let mut scripts = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Run(Run { script, .. }) => Some(script.as_str()),
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
    use sealer_core::runtime::Step;

    use super::*;

    fn step(script: &str) -> Step {
        Step::run(script, [], script)
    }

    #[test]
    fn what_all_scripts_begin_with_is_left_out() {
        let plan = Plan::new("c").with_steps([step("set -eu\nf() { :; }\na\nb"), step("set -eu\nf() { :; }\nc")]);
        assert_eq!(of(&plan.steps[0].action, &plan), ["a", "b"]);
        assert_eq!(of(&plan.steps[1].action, &plan), ["c"]);
        let alone = Plan::new("c").with_steps([step("set -eu\na")]);
        assert_eq!(of(&alone.steps[0].action, &alone), ["set -eu", "a"]);
    }
}
