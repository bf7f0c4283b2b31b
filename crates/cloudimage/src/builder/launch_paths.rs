//! Finds paths of launch commands that the rootfs, in which they run, does not hold.

use std::path::Path;

use super::copy::CONVENTIONAL;
use crate::extension::Extension;
use crate::layer::listing::Merged;

/// Options after which a path follows.
const OPTIONS: [&str; 4] = ["-f", "--filename", "-k", "--kustomize"];
/// Endings of what commands read from files.
const ENDINGS: [&str; 6] = [".yaml", ".yml", ".json", ".sh", ".tgz", ".tmpl"];

/// One sentence for each path that a launch command names and the rootfs does not have.
pub(super) fn missing(extension: &Extension, rootfs: &Merged) -> Vec<String> {
    let mut remarks = Vec::new();
    // Where a command changes its directory, or makes files itself, only a shell knows what a path is.
    let plain = extension.launch.cmds.iter().filter(|command| !command.contains("cd ") && !command.contains('>'));
    for command in plain {
        for path in paths(command) {
            let is_there = |path: &str| rootfs.get(&rootfs.resolve(Path::new(path))).is_some();
            if !is_there(path) && !is_there(&format!("{path}.tmpl")) {
                remarks.push(format!("the launch command `{command}` names {path}, which the rootfs does not hold"));
            }
        }
    }
    remarks
}

/// The words of a command that are relative paths for sure.
fn paths(command: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut after_option = false;
    for word in command.split_whitespace() {
        let was_after = std::mem::replace(&mut after_option, OPTIONS.contains(&word));
        let (option, value) = word.split_once('=').unwrap_or(("", word));
        let word = value.trim_matches(['"', '\'', ';']).trim_start_matches("./").trim_end_matches('/');
        let is_plain = !word.is_empty() && !word.contains(['$', '*', '?', '{', '`', '|', '&', ':', ',', '@']);
        let is_relative = !word.starts_with(['/', '-', '~', '.']);
        let named = was_after || OPTIONS.contains(&option);
        let below_layout = word.split_once('/').is_some_and(|(first, _)| CONVENTIONAL.contains(&first));
        let ends = option.is_empty() && ENDINGS.iter().any(|ending| word.ends_with(ending));
        if is_plain && is_relative && (named || below_layout || ends) {
            found.push(word);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::paths;

    #[test]
    fn only_what_is_a_relative_path_for_sure() {
        for (command, expected) in [
            ("kubectl apply -f manifests/a.yaml -n x", vec!["manifests/a.yaml"]),
            ("kubectl apply -f dir --filename=b/c", vec!["dir", "b/c"]),
            ("helm install x charts/x --set a=b/c.yaml", vec!["charts/x"]),
            ("kubectl rollout status deployment/x && bash run.sh", vec!["run.sh"]),
            ("kubectl apply -f https://h/a.yaml -f /etc/a.yaml -f $A/b.yaml -f -", vec![]),
            ("./scripts/a.sh; kubectl get ns/x", vec!["scripts/a.sh"]),
        ] {
            assert_eq!(paths(command), expected, "{command}");
        }
    }
}
