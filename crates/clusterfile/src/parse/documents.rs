//! Reads Config, Plugin and Application documents.

use super::{
    cluster::read_env,
    fields::{Fields, Problems, text},
    rules,
};
use crate::{
    Application, ApplicationConfig, ApplicationFile, Config, ErrorKind, KubeadmDocument, Plugin, Strategy,
    documents::PLUGIN_TYPES,
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
}

impl Documents {
    /// Reads a document of one of the three kinds.
    pub(crate) fn add(&mut self, kind: &str, mut fields: Fields<'_>, problems: &mut Problems) {
        let name = read_name(&mut fields, problems);
        if let Some(node) = fields.require("spec")
            && let Some(mut spec) = Fields::open(node, "spec", problems)
        {
            match kind {
                "Config" => self.configs.push(read_config(name, &mut spec, problems)),
                "Plugin" => self.plugins.push(read_plugin(name, &mut spec, problems)),
                _ => self.applications.push(read_application(name, &mut spec, problems)),
            }
            spec.finish(problems);
        }
        fields.take("status");
        fields.finish(problems);
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
    Config {
        name,
        path: spec.require_valid("path", rules::INNER_PATH, problems).unwrap_or_default(),
        data: read_data(spec, problems),
        strategy: read_strategy(spec, problems),
        process: spec.text("process", problems),
        app_name: spec.valid("appName", rules::WORD, problems),
    }
}

fn read_plugin(name: String, spec: &mut Fields<'_>, problems: &mut Problems) -> Plugin {
    let plugin_type = spec.require("type").and_then(|node| {
        let name = text(node, problems)?;
        if !PLUGIN_TYPES.contains(&name.as_str()) {
            let rule = "SHELL, LABEL, TAINT, HOSTNAME, CLUSTERCHECK or ETCD";
            problems.add_word(
                node.span,
                ErrorKind::Invalid { what: "type of plugin", value: name.clone(), rule },
                &name,
                PLUGIN_TYPES,
            );
        }
        Some(name)
    });
    let action = spec.require("action").and_then(|node| {
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
        action: action.unwrap_or_default(),
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
