//! Plans the layers of a build. Pure: reads no store, no context, no network.

use std::collections::BTreeMap;
use std::fmt;

use kubefile::{Base, Kubefile, ResolvedKind, ResolvedSource, ShellOrExec};
use serde::Serialize;

use super::options::BuildOptions;
use crate::error::Result;
use crate::platform::Platform;

/// What a build would do, instruction by instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LayerPlan {
    /// The name the image would get.
    pub tag: Option<String>,
    /// The first of its platforms.
    pub platform: Platform,
    /// The platforms it would be for, sorted.
    pub platforms: Vec<Platform>,
    /// How layers would be compressed.
    pub compression: String,
    /// One for each instruction.
    pub steps: Vec<PlannedStep>,
    /// What is probably a mistake.
    pub warnings: Vec<String>,
}

/// One instruction of a [`LayerPlan`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PlannedStep {
    /// Line in the Kubefile.
    pub line: usize,
    /// For example `COPY`.
    pub keyword: String,
    /// The arguments with every variable replaced, on one line; those of the first platform where they differ.
    pub arguments: String,
    /// The arguments for each platform, where they are not the same for all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments_of: BTreeMap<String, String>,
    /// What it adds to the image.
    pub effect: Effect,
}

/// What an instruction adds to the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Effect {
    /// The layers and carried images of the base image.
    Base,
    /// A layer of copied files.
    Layer,
    /// A layer with what the command changes.
    Run,
    /// A line in the image's config or annotations.
    Recorded,
    /// Nothing by itself: it concerns other instructions.
    None,
}

/// Says what [`build`](super::build) would do with a Kubefile.
///
/// # Errors
/// [`crate::Error::Kubefile`] for errors that show only when variables have values.
pub fn plan_build(kubefile: &Kubefile, options: &BuildOptions) -> Result<LayerPlan> {
    let platforms = options.platforms();
    let mut plan = LayerPlan {
        tag: options.tag.clone(),
        platform: platforms.first().cloned().unwrap_or_default(),
        platforms: platforms.clone(),
        compression: options.compression.as_str().to_owned(),
        steps: Vec::new(),
        warnings: Vec::new(),
    };
    for platform in &platforms {
        let resolved = kubefile.expand(&options.build_args, &super::predefined(platform))?;
        for (at, instruction) in resolved.instructions.iter().enumerate() {
            let (arguments, effect) = describe(&instruction.kind);
            if plan.steps.len() == at {
                let keyword = instruction.title.split(' ').next().unwrap_or_default().to_owned();
                let (line, arguments_of) = (instruction.span.line, BTreeMap::new());
                let arguments = arguments.clone();
                plan.steps.push(PlannedStep { line, keyword, arguments, arguments_of, effect });
            }
            plan.steps[at].arguments_of.insert(platform.to_string(), arguments);
        }
        for warning in resolved.warnings.iter().map(ToString::to_string) {
            if !plan.warnings.contains(&warning) {
                plan.warnings.push(warning);
            }
        }
    }
    for step in &mut plan.steps {
        if step.arguments_of.values().all(|arguments| *arguments == step.arguments) {
            step.arguments_of.clear();
        }
    }
    Ok(plan)
}

fn describe(kind: &ResolvedKind) -> (String, Effect) {
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    match kind {
        ResolvedKind::From { base: Base::Scratch, .. } => ("scratch".to_owned(), Effect::None),
        ResolvedKind::From { base: Base::Image(name), .. } => (name.clone(), Effect::Base),
        ResolvedKind::Copy(transfer) | ResolvedKind::Add(transfer) => {
            (format!("{} -> {}", sources(&transfer.sources), transfer.destination), Effect::Layer)
        }
        ResolvedKind::Run { command, .. } => (one_line(&command_text(command)), Effect::Run),
        ResolvedKind::Cmd(command) => (one_line(&command_text(command)), Effect::Recorded),
        ResolvedKind::Cmds(commands) => {
            (commands.iter().map(|command| one_line(command)).collect::<Vec<_>>().join("; "), Effect::Recorded)
        }
        ResolvedKind::Arg(values) => {
            let value = |(name, value): &(String, Option<String>)| {
                value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}"))
            };
            (values.iter().map(value).collect::<Vec<_>>().join(" "), Effect::None)
        }
        ResolvedKind::Env(values) | ResolvedKind::Label(values) => (pairs(values), Effect::Recorded),
        ResolvedKind::Maintainer(text) => (text.clone(), Effect::Recorded),
        ResolvedKind::App { name, sources: from, .. } => {
            (format!("{} -> {}/{name}", sources(from), crate::extension::APPLICATIONS), Effect::Layer)
        }
        ResolvedKind::AppCmds { name, commands } => (format!("{name}: {}", commands.join("; ")), Effect::Recorded),
        ResolvedKind::AppEnv { name, values } => (format!("{name}: {}", pairs(values)), Effect::Recorded),
        ResolvedKind::Launch(names) => (names.join(" "), Effect::Recorded),
        ResolvedKind::KubeVersion(range) => (range.clone(), Effect::Recorded),
        _ => (String::new(), Effect::Recorded),
    }
}

fn sources(sources: &[ResolvedSource]) -> String {
    let text = |source: &ResolvedSource| match source {
        ResolvedSource::Path(path) | ResolvedSource::Url(path) => path.clone(),
        ResolvedSource::Heredoc { name, content } => format!("<<{name} ({} bytes)", content.len()),
    };
    sources.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The text of a command: of an argument vector, the words that a shell would read back the same.
pub(crate) fn command_text(command: &ShellOrExec) -> String {
    match command {
        ShellOrExec::Shell(text) => text.clone(),
        ShellOrExec::Exec(words) => {
            words.iter().map(|word| crate::extension::quote(word)).collect::<Vec<_>>().join(" ")
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Base => "base",
            Self::Layer => "layer",
            Self::Run => "run",
            Self::Recorded => "recorded",
            Self::None => "-",
        })
    }
}

/// A table, one line for each instruction.
impl fmt::Display for LayerPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.tag.as_deref().unwrap_or("(no name)");
        let platforms: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
        writeln!(formatter, "{name}  {}  {}", platforms.join(", "), self.compression)?;
        let width = self.steps.iter().map(|step| step.keyword.len()).max().unwrap_or(0);
        for (index, step) in self.steps.iter().enumerate() {
            let number = format!("[{}/{}]", index + 1, self.steps.len());
            writeln!(
                formatter,
                "{number:>7} line {:<4} {:<width$}  {:<8}  {}",
                step.line,
                step.keyword,
                step.effect.to_string(),
                if step.arguments_of.is_empty() { &step.arguments } else { "as follows" }
            )?;
            for (platform, arguments) in &step.arguments_of {
                writeln!(formatter, "{:>14} {platform}  {arguments}", "")?;
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(formatter, "warning: {warning}"))
    }
}
