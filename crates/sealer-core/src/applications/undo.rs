//! Finds the command that takes away what a launch command made, where that can be told from its words.

/// Flags of `kubectl apply` that `kubectl delete` knows too; each of them but the last two has a value.
const KUBECTL_FLAGS: [&str; 8] = ["-f", "--filename", "-k", "--kustomize", "-n", "--namespace", "-R", "--recursive"];
/// Flags of `kubectl apply` without a value that mean nothing for a deletion.
const KUBECTL_OTHERS: [&str; 6] =
    ["--server-side", "--force-conflicts", "--force", "--wait", "--overwrite", "--save-config"];
/// Flags of helm without a value.
const HELM_SWITCHES: [&str; 14] = [
    "-i",
    "--install",
    "--wait",
    "--wait-for-jobs",
    "--atomic",
    "--create-namespace",
    "--debug",
    "--force",
    "--devel",
    "--dependency-update",
    "--reuse-values",
    "--reset-values",
    "--skip-crds",
    "--no-hooks",
];

/// The command that undoes `kubectl apply`, `kubectl create -f`, `helm install` and `helm upgrade --install`; none for
/// anything else, and none where a shell would do more than split words.
pub(super) fn undo(command: &str) -> Option<String> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || " ./_-:=@%+,~*?".contains(character);
    if !command.chars().all(is_plain) {
        return None;
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["kubectl", "apply" | "create", ref rest @ ..] => kubectl(rest),
        ["helm", "install", ref rest @ ..] => helm(rest),
        ["helm", "upgrade", ref rest @ ..] if rest.iter().any(|word| ["-i", "--install"].contains(word)) => helm(rest),
        _ => None,
    }
}

fn kubectl(arguments: &[&str]) -> Option<String> {
    let mut kept = vec!["kubectl", "delete", "--ignore-not-found"];
    let mut names_files = false;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let name = word.split_once('=').map_or(*word, |(name, _)| name);
        if KUBECTL_FLAGS.contains(&name) {
            names_files |= !["-n", "--namespace", "-R", "--recursive"].contains(&name);
            kept.push(word);
            if !word.contains('=') && !["-R", "--recursive"].contains(&name) {
                kept.push(words.next()?);
            }
        } else if !KUBECTL_OTHERS.contains(&name) && !name.starts_with("--validate") {
            return None;
        }
    }
    names_files.then(|| kept.join(" "))
}

fn helm(arguments: &[&str]) -> Option<String> {
    let (mut release, mut namespace) = (None, String::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if let Some(flag) = word.strip_prefix('-') {
            let value = match word.split_once('=') {
                Some((_, value)) => Some(value),
                None if HELM_SWITCHES.contains(word) => None,
                None => Some(*words.next()?),
            };
            let flag = flag.split_once('=').map_or(flag, |(flag, _)| flag);
            if ["n", "-namespace"].contains(&flag) {
                namespace = format!(" -n {}", value?);
            }
            // Whoever lets helm choose the name must be asked for it.
            if ["g", "-generate-name"].contains(&flag) {
                return None;
            }
        } else if release.is_none() {
            release = Some(*word);
        }
    }
    let release = release?;
    Some(format!("! helm status {release}{namespace} >/dev/null 2>&1 || helm uninstall {release}{namespace}"))
}

#[cfg(test)]
mod tests {
    use super::undo;

    #[test]
    fn what_was_applied_is_deleted_and_what_was_installed_uninstalled() {
        for (command, expected) in [
            ("kubectl apply -f a.yaml", "kubectl delete --ignore-not-found -f a.yaml"),
            (
                "kubectl apply --server-side -n shop -R -f manifests/",
                "kubectl delete --ignore-not-found -n shop -R -f manifests/",
            ),
            ("kubectl create --filename=a.yaml", "kubectl delete --ignore-not-found --filename=a.yaml"),
            ("helm install web charts/web", "! helm status web >/dev/null 2>&1 || helm uninstall web"),
            (
                "helm upgrade --install --set a=b -n shop --create-namespace web .",
                "! helm status web -n shop >/dev/null 2>&1 || helm uninstall web -n shop",
            ),
        ] {
            assert_eq!(undo(command).as_deref(), Some(expected));
        }
        for command in [
            "kubectl apply -f $FILE",
            "kubectl apply -f a.yaml && echo done",
            "kubectl create namespace shop",
            "kubectl label node --all a=b",
            "helm upgrade web .",
            "helm install --generate-name .",
            "bash install.sh",
            "kubectl apply -f",
        ] {
            assert_eq!(undo(command), None, "{command}");
        }
    }
}
