//! Finds what an image launches: its own commands and applications, or what documents and options say instead.

use std::collections::BTreeMap;

use cloudimage::format::CNI_LABEL_PREFIX;
use cloudimage::{Application, Extension, Image, LaunchCommand};
use clusterfile::{ApplicationConfig, ApplicationFile, Cluster, Clusterfile, Strategy};
use content_store::Digest;
use runtime::LaunchFile;

use super::undo::undo;
use super::{ApplicationError, InstalledApplication};
use crate::Error;

/// No chart description, and no file that is merged into, is larger than this.
const FILE_LIMIT: u64 = 1 << 20;

/// What is launched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolved {
    pub(crate) commands: Vec<runtime::LaunchCommand>,
    pub(crate) files: Vec<LaunchFile>,
    pub(crate) applications: Vec<InstalledApplication>,
    /// Remarks for the plan.
    pub(crate) notes: Vec<String>,
}

/// What documents and options say of applications, all of it in one place.
#[derive(Debug, Default)]
struct Asked<'a> {
    /// In place of everything that the image launches.
    commands: Vec<String>,
    /// The applications in place of those that it launches.
    names: Vec<String>,
    configs: Vec<&'a ApplicationConfig>,
}

/// What an image launches on a cluster.
pub(crate) fn resolve(image: &Image, wanted: &Clusterfile) -> Result<Resolved, Error> {
    let asked = Asked::of(wanted)?;
    let shown = &wanted.cluster.image;
    let mut extension = image.extension().clone();
    for config in &asked.configs {
        configure(&mut extension, shown, config)?;
    }
    let is_chosen = !asked.commands.is_empty() || !asked.names.is_empty();
    if !asked.commands.is_empty() {
        extension.launch.cmds = asked.commands;
        extension.launch.app_names.clear();
    } else if !asked.names.is_empty() {
        extension.launch.cmds.clear();
        extension.launch.app_names = asked.names;
    }
    let mut notes = Vec::new();
    if wanted.cluster.network.without_cni && !super::is_application(image) {
        let is_network = |name: &str| image.labels().contains_key(&format!("{CNI_LABEL_PREFIX}{name}"));
        let (left_out, launched) = extension.launch.app_names.into_iter().partition(|name| is_network(name));
        extension.launch.app_names = launched;
        let launches = !extension.launch.app_names.is_empty() || !extension.launch.cmds.is_empty();
        notes.extend(network_left_out(shown, &left_out, is_chosen || !launches)?);
    }
    for name in &extension.launch.app_names {
        let application = known(&extension, shown, name)?;
        if application.commands().is_empty() {
            return Err(ApplicationError::NoCommands { image: shown.clone(), name: name.clone() }.into());
        }
    }
    let launched = extension.launch(&wanted.cluster.command_args);
    let is_launched = |name: &String| extension.launch.app_names.contains(name);
    let unused = asked.configs.iter().map(|config| &config.name).filter(|name| !is_launched(name));
    notes.extend(unused.map(|name| format!("the application {name} is configured and not launched")));
    let mut files = Vec::new();
    for config in asked.configs.iter().filter(|config| is_launched(&config.name)) {
        for file in &config.files {
            files.push(launch_file(image, known(&extension, shown, &config.name)?, file)?);
        }
    }
    Ok(Resolved {
        files,
        applications: installed(image, &extension, &launched)?,
        commands: launched
            .into_iter()
            .map(|command| self::command(command, image.extension(), &asked.configs))
            .collect(),
        notes,
    })
}

/// What is said of `withoutCNI`: a command that installs a network plugin looks like any other, so only what CNI declares
/// can be left out, or nothing when it was chosen what is launched, or nothing is.
fn network_left_out(image: &str, left_out: &[String], is_clear: bool) -> Result<Option<String>, ApplicationError> {
    match left_out {
        [] if !is_clear => Err(ApplicationError::NoCni { image: image.to_owned() }),
        [] => Ok(None),
        names => Ok(Some(format!(
            "{} is not launched (withoutCNI): nodes are Ready once you install a network plugin",
            names.join(", ")
        ))),
    }
}

impl Resolved {
    /// What tells this launch from one with other commands, variables or files.
    pub(crate) fn digest(&self, cluster: &Cluster) -> String {
        let variables: Vec<_> = cluster.env.iter().map(|(key, _)| (key, cluster.env.values(key))).collect();
        let text = format!("{} {variables:?}", runtime::launch_text(&self.commands, &self.files));
        Digest::of(text.as_bytes()).hex()
    }
}

/// Whether documents agree about what is launched, as far as that needs no image.
pub(crate) fn check(wanted: &Clusterfile) -> Result<(), ApplicationError> {
    Asked::of(wanted).map(drop)
}

impl<'a> Asked<'a> {
    fn of(wanted: &'a Clusterfile) -> Result<Self, ApplicationError> {
        let Cluster { commands, app_names, .. } = &wanted.cluster;
        let mut asked = Self { commands: commands.clone(), names: app_names.clone(), configs: Vec::new() };
        let contradict = |reason: String| ApplicationError::Contradiction { reason };
        for document in &wanted.applications {
            for (said, more, what) in [
                (&mut asked.commands, &document.commands, "commands (cmds)"),
                (&mut asked.names, &document.launch_apps, "applications (launchApps, appNames)"),
            ] {
                if !said.is_empty() && !more.is_empty() && said != more {
                    return Err(contradict(format!("the {what} to launch are said twice, and differently")));
                }
                if said.is_empty() {
                    said.clone_from(more);
                }
            }
            asked.configs.extend(&document.configs);
        }
        if !asked.commands.is_empty() && !asked.names.is_empty() {
            let reason = "both commands and applications are chosen to be launched; choose one of them";
            return Err(contradict(reason.to_owned()));
        }
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for name in asked.configs.iter().map(|config| &config.name).chain(&asked.names) {
            match seen.insert(name.to_lowercase(), name) {
                Some(before) if before != name => {
                    return Err(contradict(format!(
                        "the applications {before} and {name} differ only in upper and lower case"
                    )));
                }
                _ => {}
            }
        }
        for list in [&asked.names, &asked.configs.iter().map(|config| config.name.clone()).collect()] {
            if let Some((_, name)) = list.iter().enumerate().find(|(index, name)| list[..*index].contains(name)) {
                return Err(contradict(format!("the application {name} is named twice")));
            }
        }
        Ok(asked)
    }
}

/// Changes an application as its config says; files are written where it is launched.
fn configure(extension: &mut Extension, image: &str, config: &ApplicationConfig) -> Result<(), Error> {
    known(extension, image, &config.name)?;
    let applications = extension.applications.iter_mut();
    for application in applications.filter(|application| application.name == config.name) {
        let env = config.env.iter().map(|(key, _)| (key.to_owned(), config.env.values(key).join(";")));
        application.env.extend(env);
        if !config.launch_commands.is_empty() {
            application.cmds.clone_from(&config.launch_commands);
        }
    }
    Ok(())
}

/// The application of this name, as the image writes it.
fn known<'e>(extension: &'e Extension, image: &str, name: &str) -> Result<&'e Application, ApplicationError> {
    extension.application(name).ok_or_else(|| {
        let names = || extension.applications.iter().map(|application| application.name.as_str());
        let meant = clusterfile::closest(name, names());
        let known = meant.map_or_else(|| names().map(str::to_owned).collect(), |meant| vec![meant.to_owned()]);
        ApplicationError::Unknown { image: image.to_owned(), name: name.to_owned(), known }
    })
}

/// A file of an application as it is written: what the image has is merged into here.
fn launch_file(image: &Image, application: &Application, file: &ApplicationFile) -> Result<LaunchFile, Error> {
    let (name, path) = (&application.name, format!("{}/{}", application.directory(), file.path));
    if file.strategy == Strategy::Overwrite {
        return Ok(LaunchFile::new(name, path, &file.data));
    }
    let there = image.read_files(&[&path], FILE_LIMIT)?.remove(&path);
    let there = there.ok_or_else(|| ApplicationError::NoFile { name: name.clone(), path: file.path.clone() })?;
    let named = format!("what is merged into {} of the application {name}", file.path);
    Ok(LaunchFile::new(name, &path, runtime::merge_documents(&path, &there, &named, &file.data)?))
}

/// A command with its variables; what only the image says of them gives way to the variables of the host.
fn command(command: LaunchCommand, image: &Extension, configs: &[&ApplicationConfig]) -> runtime::LaunchCommand {
    let LaunchCommand { application, command, directory, env, .. } = command;
    let of_image = application.as_deref().and_then(|name| image.application(name));
    let config = configs.iter().find(|config| Some(&config.name) == application.as_ref());
    let (defaults, env) = env.into_iter().partition(|(name, _)| {
        of_image.is_some_and(|known| known.env.contains_key(name))
            && config.is_none_or(|config| config.env.get(name).is_none())
    });
    runtime::LaunchCommand::from(command).within(directory, env).with_defaults(defaults)
}

/// What is remembered of each application that is launched, and of commands that are of none.
fn installed(
    image: &Image,
    extension: &Extension,
    launched: &[LaunchCommand],
) -> Result<Vec<InstalledApplication>, Error> {
    let names = extension.launch.app_names.iter().map(|name| Some(name.as_str())).chain([None]);
    let mut installed = Vec::new();
    for name in names {
        let own: Vec<&LaunchCommand> =
            launched.iter().filter(|command| command.application.as_deref() == name).collect();
        if own.is_empty() {
            continue;
        }
        let application = name.and_then(|name| extension.application(name));
        installed.push(InstalledApplication {
            name: name.unwrap_or_default().to_owned(),
            kind: application.map(|application| application.kind.clone()).unwrap_or_default(),
            version: match application.filter(|application| application.kind == "helm") {
                Some(application) => chart_version(image, application)?,
                None => String::new(),
            },
            commands: own.iter().map(|command| command.command.clone()).collect(),
            removal: removal(application, &own),
        });
    }
    Ok(installed)
}

/// The commands that take away what these launched, the last first.
fn removal(application: Option<&Application>, launched: &[&LaunchCommand]) -> Option<Vec<(String, String)>> {
    if let Some(application) = application.filter(|application| application.cmds.is_empty()) {
        let commands = application.removal();
        return (!commands.is_empty()).then(|| commands.into_iter().map(|one| (one, String::new())).collect());
    }
    launched.iter().rev().map(|command| Some((undo(&command.command)?, command.directory.clone()))).collect()
}

/// What a chart calls its version; empty when it does not say.
fn chart_version(image: &Image, application: &Application) -> Result<String, Error> {
    let path = format!("{}/Chart.yaml", application.directory());
    let found = image.read_files(&[&path], FILE_LIMIT)?;
    let text = String::from_utf8_lossy(found.get(&path).map_or(&[][..], Vec::as_slice)).into_owned();
    let version = text.lines().find_map(|line| line.strip_prefix("version:"));
    Ok(version.map(|version| version.trim().trim_matches(['"', '\'']).to_owned()).unwrap_or_default())
}
