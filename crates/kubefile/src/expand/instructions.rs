//! Expands the variables of each instruction.

use crate::expand::scope::{Scope, Variables};
use crate::expand::script;
use crate::parse::{app_source_problem, checksum, owner, permissions, source_problem};
use crate::{
    App, Assignment, Base, ErrorKind, Errors, Instruction, InstructionKind, Keyword, Kubefile, Label, Resolved,
    ResolvedInstruction, ResolvedKind, ResolvedSource, ResolvedTransfer, ShellOrExec, Source, Span, Transfer, Warning,
    Word,
};

impl Kubefile {
    /// Replaces all variables.
    ///
    /// A variable has the value of ENV, else of ARG (where `build_args` win over the default in the file), else of
    /// `predefined`, which the caller fills with `ARCH`, `TARGETPLATFORM` and the like. RUN and CMD keep their text: a shell
    /// replaces variables there, and RUN gets them as its environment.
    ///
    /// # Errors
    /// All places where a value is missing, bad or too large.
    pub fn expand(&self, build_args: &Variables, predefined: &Variables) -> Result<Resolved, Errors> {
        let mut scope = Scope::new(&self.source, build_args, predefined);
        let mut instructions = Vec::new();
        for instruction in &self.instructions {
            if let Some(kind) = resolve(instruction, &mut scope) {
                let title = instruction.title();
                instructions.push(ResolvedInstruction { span: instruction.span, title, kind });
            }
        }
        if let Some(errors) = Errors::collect(std::mem::take(&mut scope.errors)) {
            return Err(errors);
        }
        scope.warn_unused(&self.declared());
        let (arguments, environment) = (scope.arguments(), scope.env().clone());
        Ok(Resolved { instructions, arguments, environment, warnings: scope.warnings })
    }

    /// The names of all ARG.
    fn declared(&self) -> Vec<&str> {
        let args = self.instructions.iter().filter_map(|instruction| match &instruction.kind {
            InstructionKind::Arg(args) => Some(args),
            _ => None,
        });
        args.flatten().map(|arg| arg.name.text.as_str()).collect()
    }
}

/// The instruction's meaning; `None` when the scope has got an error of it.
fn resolve(instruction: &Instruction, scope: &mut Scope<'_>) -> Option<ResolvedKind> {
    let span = instruction.span;
    Some(match &instruction.kind {
        InstructionKind::From { image, platform, .. } => from(image, platform.as_ref(), scope)?,
        InstructionKind::Copy(transfer) => ResolvedKind::Copy(self::transfer(transfer, instruction, scope)?),
        InstructionKind::Add(transfer) => ResolvedKind::Add(self::transfer(transfer, instruction, scope)?),
        InstructionKind::Run(command) => {
            let command = script::whole(command, &instruction.heredocs);
            ResolvedKind::Run { command, environment: scope.environment() }
        }
        InstructionKind::Cmd(ShellOrExec::Exec(words)) => command_list(words, span, scope),
        InstructionKind::Cmd(command) => ResolvedKind::Cmd(script::whole(command, &instruction.heredocs)),
        InstructionKind::Cmds(commands) => ResolvedKind::Cmds(commands.clone()),
        InstructionKind::Arg(args) => ResolvedKind::Arg(scope.declare(args, span)?),
        InstructionKind::Env(values) => {
            let values = assignments(values, scope)?;
            scope.set(&values, span)?;
            ResolvedKind::Env(values)
        }
        InstructionKind::Label(labels) => ResolvedKind::Label(all(labels, |Label { key, value }| {
            let (key, value) = (scope.expand_filled(key, "the label's key"), scope.expand(value));
            Some((key?, value?))
        })?),
        InstructionKind::Maintainer(text) => ResolvedKind::Maintainer(text.clone()),
        InstructionKind::App(app) => self::app(Keyword::App, app, scope)?,
        InstructionKind::Cni(app) => self::app(Keyword::Cni, app, scope)?,
        InstructionKind::Csi(app) => self::app(Keyword::Csi, app, scope)?,
        InstructionKind::AppCmds { name, commands } => {
            ResolvedKind::AppCmds { name: name.text.clone(), commands: commands.clone() }
        }
        InstructionKind::AppEnv { name, values } => {
            ResolvedKind::AppEnv { name: name.text.clone(), values: assignments(values, scope)? }
        }
        InstructionKind::Launch(names) => ResolvedKind::Launch(names.iter().map(|name| name.text.clone()).collect()),
        InstructionKind::KubeVersion(range) => {
            ResolvedKind::KubeVersion(scope.expand_filled(range, "the range of versions")?)
        }
    })
}

/// A list in CMD is one of command lines when its first text has a blank, as nearly all published Kubefiles mean it; else
/// it is one command and its arguments, as docker has it.
fn command_list(words: &[String], span: Span, scope: &mut Scope<'_>) -> ResolvedKind {
    if words.first().is_some_and(|first| first.trim().contains(char::is_whitespace)) {
        return ResolvedKind::Cmds(words.to_vec());
    }
    if words.len() > 1 {
        scope.warnings.push(Warning::OneCommand { span });
    }
    ResolvedKind::Cmd(ShellOrExec::Exec(words.to_vec()))
}

/// Converts every item, also behind one that fails, so that all errors are found.
fn all<T, U>(items: &[T], convert: impl FnMut(&T) -> Option<U>) -> Option<Vec<U>> {
    let converted: Vec<Option<U>> = items.iter().map(convert).collect();
    converted.into_iter().collect()
}

fn from(image: &Word, platform: Option<&Word>, scope: &mut Scope<'_>) -> Option<ResolvedKind> {
    let image = scope.expand_filled(image, "the image");
    let platform = optional(platform, |platform| scope.expand_filled(platform, "the platform"));
    scope.enter_image();
    let image = image?;
    let base = if image == "scratch" { Base::Scratch } else { Base::Image(image) };
    Some(ResolvedKind::From { base, platform: platform? })
}

/// The conversion of what is there; `None` only when it failed.
fn optional<T>(word: Option<&Word>, convert: impl FnOnce(&Word) -> Option<T>) -> Option<Option<T>> {
    word.map_or(Some(None), |word| convert(word).map(Some))
}

fn assignments(values: &[Assignment], scope: &mut Scope<'_>) -> Option<Vec<(String, String)>> {
    all(values, |Assignment { name, value }| Some((name.text.clone(), scope.expand(value)?)))
}

fn transfer(transfer: &Transfer, instruction: &Instruction, scope: &mut Scope<'_>) -> Option<ResolvedTransfer> {
    let chown = optional(transfer.chown.as_ref(), |word| converted(word, owner, scope));
    let chmod = optional(transfer.chmod.as_ref(), |word| converted(word, permissions, scope));
    let sources = all(&transfer.sources, |source| match source {
        Source::Text(word) => text_source(word, source_problem, scope),
        Source::Heredoc(index) => heredoc_source(*index, instruction, scope),
    });
    let checksum = optional(transfer.checksum.as_ref(), |word| {
        let sum = converted(word, checksum, scope)?;
        // As docker: what is in the context needs none, and one sum cannot be that of two files.
        match sources.as_deref() {
            Some([ResolvedSource::Url(_)]) | None => Some(sum),
            _ => {
                scope.report(word.span, ErrorKind::ChecksumOfFiles);
                None
            }
        }
    });
    let destination = scope.expand_filled(&transfer.destination, "the destination");
    Some(ResolvedTransfer {
        sources: sources?,
        destination: destination?,
        chown: chown?,
        chmod: chmod?,
        checksum: checksum?,
    })
}

fn converted<T>(word: &Word, convert: fn(&str) -> Result<T, ErrorKind>, scope: &mut Scope<'_>) -> Option<T> {
    let text = scope.expand(word)?;
    convert(&text).map_err(|kind| scope.report(word.span, kind)).ok()
}

fn text_source(word: &Word, problem: fn(&str) -> Option<ErrorKind>, scope: &mut Scope<'_>) -> Option<ResolvedSource> {
    let text = scope.expand_filled(word, "the source")?;
    if let Some(kind) = problem(&text) {
        scope.report(word.span, kind);
        return None;
    }
    let remote = text.starts_with("http://") || text.starts_with("https://");
    if remote {
        return Some(ResolvedSource::Url(text));
    }
    let pattern = word.pattern().map_or(Some(text), |pattern| scope.expand(&pattern))?;
    Some(ResolvedSource::Path(pattern))
}

fn heredoc_source(index: usize, instruction: &Instruction, scope: &mut Scope<'_>) -> Option<ResolvedSource> {
    // `None` is for indexes that the parser never makes.
    let heredoc = instruction.heredocs.get(index)?;
    let content = scope.expand(&heredoc.template)?;
    Some(ResolvedSource::Heredoc { name: heredoc.name.clone(), content })
}

fn app(declared_by: Keyword, app: &App, scope: &mut Scope<'_>) -> Option<ResolvedKind> {
    let sources = all(&app.sources, |word| {
        Some(match text_source(word, app_source_problem, scope)? {
            ResolvedSource::Path(path) => {
                ResolvedSource::Path(path.strip_prefix("local://").unwrap_or(&path).to_owned())
            }
            other => other,
        })
    });
    Some(ResolvedKind::App { declared_by, name: app.name.text.clone(), sources: sources? })
}
