//! Reads Config, Plugin and Application documents.

use super::{
    cluster::read_env,
    fields::{Fields, Problems, text},
    rules,
};
use crate::{
    Application, ApplicationConfig, ApplicationFile, Config, ErrorKind, KubeadmDocument, Plugin, Strategy,
    documents::{PLUGIN_TYPES, PROCESSES},
};

const ACTIONS: [&str; 22] = [
    "Originally",
    "PreInit",
    "PreJoin",
    "PostJoin",
    "PreInstall",
    "PostInstall",
    "PreGuest",
    "PreClean",
    "PostClean",
    "pre-install",
    "post-install",
    "pre-uninstall",
    "post-uninstall",
    "pre-scaleup",
    "post-scaleup",
    "upgrade",
    "rollback",
    "pre-init-host",
    "post-init-host",
    "pre-clean-host",
    "post-clean-host",
    "upgrade-host",
];

/// The documents beside the Cluster.
#[derive(Default)]
pub(crate) struct Documents {
    pub(crate) configs: Vec<Config>,
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) applications: Vec<Application>,
    pub(crate) kubeadm: Vec<KubeadmDocument>,
    /// Kind and name of each.
    names: Vec<(String, String)>,
}

impl Documents {
    /// Reads a document of one of the three kinds.
    pub(crate) fn add(&mut self, kind: &str, mut fields: Fields<'_>, problems: &mut Problems) {
        let name = read_name(&mut fields, problems);
        if let Some(node) = fields.require("spec")
            && let Some(mut spec) = Fields::open(node, "spec", problems)
        {
            let known = (kind.to_owned(), name.clone());
            let other = self.names.iter().find(|(of, other)| *of == kind && other.eq_ignore_ascii_case(&name));
            if let Some((_, other)) = other.filter(|(_, other)| *other != name) {
                let kind = ErrorKind::NameCase { kind: kind.to_owned(), name: name.clone(), other: other.clone() };
                problems.add(node.span, kind);
            }
            self.names.push(known);
            match kind {
                "Config" => self.config(name, &mut spec, problems),
                "Plugin" => self.plugins.push(read_plugin(name, &mut spec, problems)),
                _ => self.applications.push(read_application(name, &mut spec, problems)),
            }
            spec.finish(problems);
        }
        fields.take("status");
        fields.finish(problems);
    }

    fn config(&mut self, name: String, spec: &mut Fields<'_>, problems: &mut Problems) {
        let config = read_config(name, spec, problems);
        let same = |known: &&Config| known.inner_path() == config.inner_path() && !config.path.is_empty();
        if let Some(known) = self.configs.iter().find(same).filter(|_| config.strategy == Strategy::Overwrite) {
            let kind = ErrorKind::SecondConfig { path: config.path.clone(), first: known.name.clone() };
            problems.add(spec.span_of("path"), kind);
        }
        self.configs.push(config);
    }
}

fn read_name(fields: &mut Fields<'_>, problems: &mut Problems) -> String {
    let Some(mut metadata) = fields.take("metadata").and_then(|node| Fields::open(node, "metadata", problems)) else {
        return String::new();
    };
    let name = metadata.valid("name", rules::WORD, problems).unwrap_or_default();
    metadata.take("creationTimestamp");
    metadata.finish(problems);
    name
}

fn read_config(name: String, spec: &mut Fields<'_>, problems: &mut Problems) -> Config {
    if !spec.has("data") {
        spec.missing("data");
    }
    Config {
        name,
        path: spec.require_valid("path", rules::INNER_PATH, problems).unwrap_or_default(),
        data: read_data(spec, problems),
        strategy: read_strategy(spec, problems),
        process: read_process(spec, problems),
        app_name: spec.valid("appName", rules::WORD, problems),
    }
}

fn read_process(spec: &mut Fields<'_>, problems: &mut Problems) -> Option<String> {
    let process = spec.text("process", problems)?;
    let span = spec.value("process").map_or(spec.span(), |node| node.span);
    for step in process.split('|').map(str::trim).filter(|step| !PROCESSES.contains(step)) {
        let rule = "value, toJson, toBase64 and toSecret, joined by `|`";
        let kind = ErrorKind::Invalid { what: "step of process", value: step.to_owned(), rule };
        problems.add_word(span, kind, step, PROCESSES);
    }
    Some(process)
}

fn read_plugin(name: String, spec: &mut Fields<'_>, problems: &mut Problems) -> Plugin {
    // Until 0.5 the name of the document was its type, and two types knew when to act.
    let named = PLUGIN_TYPES.contains(&name.as_str()) && !spec.has("type");
    let plugin_type = if named { spec.take("type") } else { spec.require("type") };
    let plugin_type = plugin_type.and_then(|node| {
        let name = text(node, problems)?;
        if !PLUGIN_TYPES.contains(&name.as_str()) {
            let rule = "SHELL, LABEL, TAINT, HOSTNAME or CLUSTERCHECK; plugins compiled by Go (.so) run only in the program they were built for";
            problems.add_word(
                node.span,
                ErrorKind::Invalid { what: "type of plugin", value: name.clone(), rule },
                &name,
                PLUGIN_TYPES,
            );
        }
        Some(name)
    });
    let plugin_type = plugin_type.or_else(|| named.then(|| name.clone()));
    let usual = match plugin_type.as_deref() {
        Some("HOSTNAME") => Some("PreInit"),
        Some("LABEL") => Some("PostInstall"),
        _ => None,
    };
    let action = if usual.is_some() { spec.take("action") } else { spec.require("action") };
    let action = action.and_then(|node| {
        let action = text(node, problems)?;
        for phase in action.split('|').map(str::trim).filter(|phase| !ACTIONS.contains(phase)) {
            let rule = "the name of a phase such as pre-install or PostInstall, several joined by `|`";
            problems.add_word(
                node.span,
                ErrorKind::Invalid { what: "phase", value: phase.to_owned(), rule },
                phase,
                ACTIONS,
            );
        }
        Some(action)
    });
    Plugin {
        name,
        plugin_type: plugin_type.unwrap_or_default(),
        data: read_data(spec, problems),
        action: action.or(usual.map(str::to_owned)).unwrap_or_default(),
        on: spec.text("on", problems),
        scope: spec.text("scope", problems),
    }
}

fn read_application(name: String, spec: &mut Fields<'_>, problems: &mut Problems) -> Application {
    Application {
        name,
        commands: read_commands(spec, problems),
        launch_apps: spec.valid_texts("launchApps", rules::WORD, problems),
        configs: spec
            .list("configs", problems)
            .iter()
            .filter_map(|node| {
                let mut fields = Fields::open(node, "the application's config", problems)?;
                let config = read_application_config(&mut fields, problems);
                fields.finish(problems);
                Some(config)
            })
            .collect(),
    }
}

fn read_application_config(fields: &mut Fields<'_>, problems: &mut Problems) -> ApplicationConfig {
    let name = fields.require_valid("name", rules::WORD, problems).unwrap_or_default();
    let env = read_env(fields, "env", problems);
    let mut files = Vec::new();
    for node in fields.list("files", problems) {
        let Some(mut file) = Fields::open(node, "the file", problems) else {
            continue;
        };
        let path = file.require_valid("path", rules::INNER_PATH, problems).unwrap_or_default();
        files.push(ApplicationFile {
            path,
            strategy: read_strategy(&mut file, problems),
            data: read_data(&mut file, problems),
        });
        file.finish(problems);
    }
    let mut launch_commands = Vec::new();
    if let Some(mut launch) = fields.take("launch").and_then(|node| Fields::open(node, "launch", problems)) {
        launch_commands = read_commands(&mut launch, problems);
        launch.finish(problems);
    }
    ApplicationConfig { name, env, files, launch_commands }
}

fn read_commands(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<String> {
    fields.texts("cmds", problems).into_iter().map(|(_, command)| command).collect()
}

/// Data is kept to the byte, also when it is empty.
fn read_data(fields: &mut Fields<'_>, problems: &mut Problems) -> String {
    fields.take("data").and_then(|node| text(node, problems)).unwrap_or_default()
}

fn read_strategy(fields: &mut Fields<'_>, problems: &mut Problems) -> Strategy {
    let Some(node) = fields.take("strategy") else {
        return Strategy::Overwrite;
    };
    match text(node, problems).as_deref() {
        None | Some("" | "overwrite") => Strategy::Overwrite,
        Some("merge") => Strategy::Merge,
        Some(other) => {
            let kind = ErrorKind::Invalid { what: "strategy", value: other.to_owned(), rule: "overwrite or merge" };
            problems.add_word(node.span, kind, other, ["overwrite", "merge"]);
            Strategy::Overwrite
        }
    }
}
