//! What does each instruction say with its variables replaced?

use crate::expand::scope::{Scope, Variables};
use crate::expand::script;
use crate::parse::{app_source_problem, owner, permissions, source_problem};
use crate::{
    App, Assignment, Base, Error, ErrorKind, Errors, Instruction, InstructionKind, Keyword, Kubefile, Resolved,
    ResolvedInstruction, ResolvedKind, ResolvedSource, ResolvedTransfer, Source, Transfer, Word,
};

type Result<T> = std::result::Result<T, Box<Error>>;

impl Kubefile {
    /// Replaces all variables.
    ///
    /// A variable has the value of ENV, else of ARG (where `build_args` win over the default in the file), else of
    /// `predefined`, which the caller fills with `ARCH`, `TARGETPLATFORM` and the like. RUN and CMD keep their text: a shell
    /// replaces variables there, and RUN gets them as its environment.
    ///
    /// # Errors
    /// All places where a value is missing, bad or too large.
    pub fn expand(&self, build_args: &Variables, predefined: &Variables) -> std::result::Result<Resolved, Errors> {
        let mut scope = Scope::new(&self.source, build_args, predefined);
        let mut instructions = Vec::new();
        let mut errors = Vec::new();
        for instruction in &self.instructions {
            match resolve(instruction, &mut scope) {
                Ok(kind) => {
                    let title = instruction.title();
                    instructions.push(ResolvedInstruction { span: instruction.span, title, kind });
                }
                Err(error) => errors.push(*error),
            }
        }
        if let Some(errors) = Errors::collect(errors) {
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

fn resolve(instruction: &Instruction, scope: &mut Scope<'_>) -> Result<ResolvedKind> {
    let span = instruction.span;
    Ok(match &instruction.kind {
        InstructionKind::From { image, platform, .. } => from(image, platform.as_ref(), scope)?,
        InstructionKind::Copy(transfer) => ResolvedKind::Copy(self::transfer(transfer, instruction, scope)?),
        InstructionKind::Add(transfer) => ResolvedKind::Add(self::transfer(transfer, instruction, scope)?),
        InstructionKind::Run(command) => {
            let command = script::whole(command, &instruction.heredocs);
            ResolvedKind::Run { command, environment: scope.environment() }
        }
        InstructionKind::Cmd(command) => ResolvedKind::Cmd(script::whole(command, &instruction.heredocs)),
        InstructionKind::Cmds(commands) => ResolvedKind::Cmds(commands.clone()),
        InstructionKind::Arg(args) => ResolvedKind::Arg(scope.declare(args, span)?),
        InstructionKind::Env(values) => {
            let values = assignments(values, scope)?;
            scope.set(&values, span)?;
            ResolvedKind::Env(values)
        }
        InstructionKind::Label(labels) => {
            let labels = labels
                .iter()
                .map(|label| Ok((scope.expand_filled(&label.key, "the label's key")?, scope.expand(&label.value)?)));
            ResolvedKind::Label(labels.collect::<Result<_>>()?)
        }
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

fn from(image: &Word, platform: Option<&Word>, scope: &mut Scope<'_>) -> Result<ResolvedKind> {
    let image = scope.expand_filled(image, "the image")?;
    let platform = platform.map(|platform| scope.expand_filled(platform, "the platform")).transpose()?;
    scope.enter_image();
    let base = if image == "scratch" { Base::Scratch } else { Base::Image(image) };
    Ok(ResolvedKind::From { base, platform })
}

fn assignments(values: &[Assignment], scope: &mut Scope<'_>) -> Result<Vec<(String, String)>> {
    values.iter().map(|Assignment { name, value }| Ok((name.text.clone(), scope.expand(value)?))).collect()
}

fn transfer(transfer: &Transfer, instruction: &Instruction, scope: &mut Scope<'_>) -> Result<ResolvedTransfer> {
    let Transfer { sources, destination, chown, chmod } = transfer;
    let mut resolved = Vec::new();
    for source in sources {
        resolved.push(match source {
            Source::Text(word) => text_source(word, source_problem, scope)?,
            Source::Heredoc(index) => heredoc_source(*index, instruction, scope)?,
        });
    }
    Ok(ResolvedTransfer {
        sources: resolved,
        destination: scope.expand_filled(destination, "the destination")?,
        chown: chown.as_ref().map(|word| converted(word, owner, scope)).transpose()?,
        chmod: chmod.as_ref().map(|word| converted(word, permissions, scope)).transpose()?,
    })
}

fn converted<T>(
    word: &Word,
    convert: fn(&str) -> std::result::Result<T, ErrorKind>,
    scope: &mut Scope<'_>,
) -> Result<T> {
    let text = scope.expand(word)?;
    convert(&text).map_err(|kind| scope.error(word.span, kind))
}

fn text_source(word: &Word, problem: fn(&str) -> Option<ErrorKind>, scope: &mut Scope<'_>) -> Result<ResolvedSource> {
    let text = scope.expand_filled(word, "the source")?;
    if let Some(kind) = problem(&text) {
        return Err(scope.error(word.span, kind));
    }
    let remote = text.starts_with("http://") || text.starts_with("https://");
    Ok(if remote { ResolvedSource::Url(text) } else { ResolvedSource::Path(text) })
}

fn heredoc_source(index: usize, instruction: &Instruction, scope: &mut Scope<'_>) -> Result<ResolvedSource> {
    let Some(heredoc) = instruction.heredocs.get(index) else {
        return Err(scope.error(instruction.span, ErrorKind::EmptyValue { what: "the here-document" }));
    };
    let content = scope.expand(&heredoc.template)?;
    Ok(ResolvedSource::Heredoc { name: heredoc.name.clone(), content })
}

fn app(declared_by: Keyword, app: &App, scope: &mut Scope<'_>) -> Result<ResolvedKind> {
    let mut sources = Vec::new();
    for word in &app.sources {
        sources.push(match text_source(word, app_source_problem, scope)? {
            ResolvedSource::Path(path) => {
                ResolvedSource::Path(path.strip_prefix("local://").unwrap_or(&path).to_owned())
            }
            other => other,
        });
    }
    Ok(ResolvedKind::App { declared_by, name: app.name.text.clone(), sources })
}
